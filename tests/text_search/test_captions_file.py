"""The CSV of captions: what is refused, with counts and the first rows."""

import re

import pytest

from cir.core.errors import UserError
from cir.text_search.data import captions_file

HEADER = b"file,caption,by\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"c.csv does not exist$"),
        (b"", r"c.csv has no column file, caption, by: expected"),
        (
            b"file,caption\na,b\n",
            r"no column by: expected file, caption, by, got file, caption$",
        ),
        (HEADER + b"a,\xff,people\n", r"c.csv is not a CSV file in UTF-8: "),
        (HEADER + b"a," + b"x" * 140_000, r"c.csv is not a CSV file .*: field larger"),
        (HEADER + b"a,b,model\nc,d,people,e,f\n", r": 1 of 2 rows do not have the 3 values .*: 3$"),
        (HEADER + b"a,a dog, running,people\n", r": 1 of 1 rows do not have the 3 values .*: 2$"),
        (HEADER + b"a,b\nc,d,model\n", r": 1 of 2 rows do not have the 3 values .*: 2$"),
        (HEADER + b"a,b,\n", r": 1 of 1 rows cannot be read: row 2: no by$"),
        (HEADER + b"a,b,Ann\n", r"read: row 2: by must be people or model, got Ann$"),
        (HEADER + b"a, ,people\n", r"read: row 2: no caption$"),
        (HEADER + b",b,people\n", r"read: row 2: no file$"),
        (
            HEADER + b"a,b,people\n" + b",b,people\na,,people\n" * 3,
            r"6 of 7 rows cannot be read: row 3: no file; row 4: no caption; row 5: no file "
            r"and 3 more$",
        ),
    ],
)
def test_what_is_no_file_of_captions(tmp_path, content, sentence):
    path = tmp_path / "c.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        captions_file.read(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_said_to_be_one(tmp_path):
    with pytest.raises(UserError, match=f"{re.escape(str(tmp_path))} is a folder, not a file"):
        captions_file.read(tmp_path)


def test_further_columns_and_a_byte_order_mark_do_no_harm(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbfby,file,note,caption\r\npeople,a,,b\r\n")
    assert captions_file.read(tmp_path / "c.csv") == [("a", "b", "people")]
