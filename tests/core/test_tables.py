"""Tables that a user wrote, and the names of files in them."""

import pytest

from cir.core.errors import UserError
from cir.core.tables import FileNames, leads_out, printable, read_json_lines, read_table, strings


def test_rows_are_numbered_as_a_spreadsheet_counts(tmp_path):
    text = '\ufeffb, a ,c\r\n1, x y ,\r\n\r\n,,\r\n"2\nand more",z,3\r\n4,w,5\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    rows = read_table(tmp_path / "t.csv", ("a", "b"))
    assert [(row.number, row.values) for row in rows] == [
        (2, {"a": "x y", "b": "1"}),
        (5, {"a": "z", "b": "2\nand more"}),
        (6, {"a": "w", "b": "4"}),
    ]
    assert read_table(tmp_path / "t.csv", ("a",), strip=False)[0]["a"] == " x y "


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"t\.csv does not exist$"),
        (b"", r"t\.csv has no column a, b: expected a, b, got an empty file$"),
        (b"a,\x1b[2J\n", r"has no column b: expected a, b, got a, \\x1b\[2J$"),
        (b"a,b\n\xff,1\n", r"t\.csv is not a CSV file in UTF-8: .*0xff"),
        (b'a,b\n"1,2\n', r"t\.csv is not a CSV file in UTF-8: unexpected end"),
        (b"a,b\n1,2\n1,2,3\n1\n", r"t\.csv: 2 of 3 rows do not have the 2 values .*: 3, 4$"),
    ],
)
def test_a_file_that_is_not_such_a_table(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_table(tmp_path / "t.csv", ("a", "b"))


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_table(tmp_path, ("a",))


def test_bytes_of_file_names_can_be_kept(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\ncaf\xe9\n")
    (row,) = read_table(tmp_path / "t.csv", ("a",), errors="surrogateescape")
    assert row["a"].encode(errors="surrogateescape") == b"caf\xe9"


def test_json_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('\ufeff["a\u2028", "b"]\n\n["c"]\n', encoding="utf-8")
    assert read_json_lines(path, strings, "a list") == [("a\u2028", "b"), ("c",)]
    path.write_text('["a"]\n\n["b", 3]\n')
    with pytest.raises(UserError, match=r't\.jsonl, line 3: expected a list, got \["b", 3\]$'):
        read_json_lines(path, strings, "a list")
    path.write_bytes(b'["\xff"]')
    with pytest.raises(UserError, match=r"t\.jsonl is not UTF-8"):
        read_json_lines(path, strings, "a list")


def test_names_that_are_spelt_in_other_ways_find_their_file():
    names = FileNames(["q/caf\u00e9.png", "q/b.png", "r/b.png"])
    assert names.find("./q\\cafe\u0301.png") == ["q/caf\u00e9.png"]
    assert names.find("b.png") == []
    assert FileNames(["q/b.png", "r/b.png"], ends=True).find("b.png") == ["q/b.png", "r/b.png"]
    assert FileNames(["q\\b.png", "q/b.png"]).find("q\\b.png") == ["q\\b.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.png", False),
        ("..a/b...png", False),
        ("./a.png", False),
        ("a:b.png", False),
        ("/a.png", True),
        ("\\a.png", True),
        ("C:\\a.png", True),
        ("a/../../b.png", True),
        ("..\\b.png", True),
    ],
)
def test_names_that_lead_out_of_the_folder(name, expected):
    assert leads_out(name) == expected


def test_names_are_printable():
    assert printable("caf\u00e9\udce9\n") == "caf\u00e9\\udce9\\n"
