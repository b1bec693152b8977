"""Tables that a user wrote, and the names of files in them."""

import codecs
import csv
import io
import json
import unicodedata

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cir.core.errors import UserError
from cir.core.file_names import FileNames
from cir.core.tables import leads_out, printable, read_json_lines, read_table, strings

TRIED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


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
        (
            b'a,b\n1,2\n\n"1,2\n',
            r"not a CSV file that can be read: row 4: unexpected end .* doubled$",
        ),
        (
            b'a,b\n"1" x,2\n',
            r"not a CSV file that can be read: row 2: ',' expected after",
        ),
        (b"a,b\n1,\x00\n", r"t\.csv is not a CSV file in UTF-8: line 2 has a byte of zero$"),
        (b"\xff\xfea\0,\0b", r"t\.csv is not a CSV file in UTF-16-LE: line 1: .*truncated"),
        (b"a,b,A\n1,2,3\n", None),
        (b"a,b,a\n1,2,1\n", None),
        (b"a,b,a\n1,2,1\n1,2,3\n", r"the column a 2 times, with different values in 1 of 2 .*: 3$"),
        (b"A,b,a \n1,2,3\n", None),
        (b"A,b, A\n1,2,3\n", r"the column a 2 times, with different values in 1 of 1 rows: 2$"),
        (b'b,a\n1,"x\n2,y.jpg\n3,z"\n', r"t\.csv: row 2 has a value .* swallowed other rows: "),
        (b'b,a\n1,"x, y\nand z"\n', None),
        (b"a,b\n1,2\n1,2,3\n1\n", r"t\.csv: 2 of 3 rows do not have the 2 values .*: 3, 4$"),
    ],
)
def test_a_file_that_is_not_such_a_table(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    if sentence is None:
        assert len(read_table(tmp_path / "t.csv", ("a", "b"))) == 1
        return
    with pytest.raises(UserError, match=sentence):
        read_table(tmp_path / "t.csv", ("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        'query_image,query_text\na.jpg,"x, y"\n',
        "Query Image ; QUERY-TEXT;\na.jpg;x, y;\n",
        "more\tquery_image\tquery_text\n\ta.jpg\tx, y\n",
        "sep=|\r\nquery_image|query_text\r\na.jpg|x, y\r\n",
        'query_image, query_text\na.jpg, "x, y"\n',
        '\n\n\u200bquery_image,query_text\n\n\na.jpg,"x, y",,\n',
        'query_image,query_text\ra.jpg,"x, y"\r',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_table_in_many_spellings(tmp_path, text, encoding):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    (row,) = read_table(tmp_path / "t.csv", ("query_image", "query_text"))
    assert row.values == {"query_image": "a.jpg", "query_text": "x, y"}


def test_a_space_before_a_quotation_mark_belongs_to_neither_value(tmp_path):
    (tmp_path / "t.csv").write_text('a, b\n"x y", "a ""red"" mug, please"\n')
    (row,) = read_table(tmp_path / "t.csv", ("a", "b"), strip=False)
    assert row.values == {"a": "x y", "b": 'a "red" mug, please'}


# Without the letter "j" no value looks like the name of an image file.
VALUES = st.text(st.sampled_from(list("ab é\u0301,;|\t\"'\\\n\u2028=.")), max_size=9)
TABLES = st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8)


def written(rows, separator, quoting, ends):
    """Write a table with blank rows between others, as Python's csv module does."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=ends)
    writer.writerow(["More", "a", " B b "])
    for number, row in enumerate(rows):
        writer.writerow(row)
        if number % 3 == 1:
            file.write(ends)
    return file.getvalue()


@TRIED
@given(
    TABLES,
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_read_is_what_was_written(tmp_path, rows, separator, quoting, ends, encoding):
    if ends == "\r":  # the writer of Python 3.10 leaves a line feed of a value unquoted
        quoting = csv.QUOTE_ALL
    text = written(rows, separator, quoting, ends)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    read = read_table(tmp_path / "t.csv", ("b_b", "a"))
    meant = [(row[1].strip(), row[2].strip()) for row in rows if any(map(str.strip, row))]
    assert [(row["a"], row["b_b"]) for row in read] == meant


@TRIED
@given(TABLES, st.data())
def test_a_table_that_is_cut_off_gives_whole_rows_or_is_refused(tmp_path, rows, data):
    text = written(rows, ",", csv.QUOTE_ALL, "\n")
    (tmp_path / "t.csv").write_text(text[: data.draw(st.integers(0, len(text)))], newline="")
    meant = [(row[1].strip(), row[2].strip()) for row in rows if any(map(str.strip, row))]
    try:
        read = read_table(tmp_path / "t.csv", ("b_b", "a"))
    except UserError:
        return
    assert len(read) <= len(meant)
    whole = [(row["a"], row["b_b"]) for row in read[:-1]]
    assert whole == meant[: len(whole)]
    for row, (first, last) in zip(read[-1:], meant[len(whole) :], strict=False):
        assert row["a"] == first
        assert last.startswith(row["b_b"])  # nothing tells whether its own end is missing


@TRIED
@given(st.lists(st.text(st.sampled_from('ab "'), max_size=6), min_size=2, max_size=9), st.data())
def test_a_stray_quotation_mark_loses_no_row(tmp_path, texts, data):
    """As in 049.jpg,"a thing: rows up to the next mark would become one value."""
    texts = [text.strip() for text in texts]
    place = data.draw(st.integers(0, len(texts) - 1))
    assume(not any(text.startswith('"') for text in texts) and not texts[place].endswith('"'))
    lines = [f"{number}.jpg,{text}" for number, text in enumerate(texts)]
    lines[place] = f'{place}.jpg,"{texts[place]}'
    (tmp_path / "t.csv").write_text("\n".join(["image,caption", *lines, ""]))
    with pytest.raises(UserError, match=rf"row {place + 2}"):
        read_table(tmp_path / "t.csv", ("image", "caption"))


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)


@TRIED
@given(st.lists(JSON, max_size=6), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_json_lines_are_read_as_they_were_written(tmp_path, values, escaped, ends):
    assume(all("\\ud" not in json.dumps(value) for value in values))
    text = "".join(json.dumps(value, ensure_ascii=escaped) + ends for value in values)
    (tmp_path / "t.jsonl").write_bytes(codecs.BOM_UTF8 + text.encode())
    assert read_json_lines(tmp_path / "t.jsonl", lambda value: value, "JSON") == values


@pytest.mark.parametrize("line", ['{"a": 1, "a": 2}', '"\\ud800"', "[" * 100_000, "9" * 5000])
def test_json_that_would_lose_something_is_refused(tmp_path, line):
    (tmp_path / "t.jsonl").write_text(f"[]\n{line}\n")
    with pytest.raises(UserError, match=r"t\.jsonl, line 2: expected a list, got"):
        read_json_lines(tmp_path / "t.jsonl", strings, "a list")


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
    assert FileNames([" b.png"]).find("b.png ") == [" b.png"]
    assert names.find("/q/b.png") == []
    inside = FileNames(["b.png", "q/c.png"], folder="q")
    assert (inside.find("q/b.png"), inside.find(".\\q\\b.png")) == (["b.png"], ["b.png"])
    assert (inside.find("q/c.png"), inside.find("q/q/c.png")) == (["q/c.png"], ["q/c.png"])
    assert inside.find("r/b.png") == []


PARTS = st.text(st.sampled_from(list("aée\u0301 .")), min_size=1, max_size=3)


@TRIED
@given(st.lists(PARTS, min_size=1, max_size=3), st.sampled_from(["NFC", "NFD"]), st.booleans())
def test_a_name_is_found_in_every_spelling(parts, form, windows):
    assume(not any(part.strip() in ("", ".", "..") or part != part.strip() for part in parts))
    path = unicodedata.normalize("NFC" if form == "NFD" else "NFD", "/".join(parts))
    spelt = unicodedata.normalize(form, path).replace("/", "\\" if windows else "//")
    assert FileNames([path, "other"]).find(f"./{spelt} ") == [path]


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
