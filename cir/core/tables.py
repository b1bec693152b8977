"""Read tables that a user wrote, as CSV or JSON lines.

One set of promises holds for every table: what is read equals what was meant, or one sentence
names the row and what is wrong with it. Nothing is left out without a word but blank rows.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cir.core.english import listed
from cir.core.errors import UserError

T = TypeVar("T")

_SEPARATORS = (",", ";", "\t", "|")
# Spreadsheets write UTF-16 as "Unicode text"; the mark at its start tells the order of the bytes.
_ENCODINGS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060\u00ad"
_A_FILE = re.compile(r"\S\.(?:jpe?g|jfif|png|webp|gif|bmp|tiff?|ppm|jp2)\s*$", re.IGNORECASE)
_QUOTES = (
    "a value that begins with a quotation mark must end with one, and those within it are doubled"
)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        number: its number as a spreadsheet counts: the first row is 1, and blank rows count.
        values: the required columns, by name.
    """

    number: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def read_table(
    path: Path, columns: Sequence[str], strip: bool = True, errors: str = "strict"
) -> list[Row]:
    """Read the rows of a CSV file; blank rows are left out.

    The values stand between commas, semicolons, tabs or vertical bars, as the header shows; the
    text is UTF-8, or UTF-16 with its mark. A byte order mark, all line ends and more columns are
    allowed. Names of columns may differ from `columns` in capitals, and in spaces or hyphens for
    underscores.

    Args:
        columns: the columns that the table must have.
        strip: remove spaces around the values.
        errors: the handling of bytes that are not UTF-8, as for `open`.

    Raises:
        UserError: the file is missing or is not such a table, a column is missing or stands there
            twice with different values, or rows do not have as many values as the header.
    """
    text = read_text(path, "a CSV file", errors)
    hint = re.match(r"sep=(.)(?:\r\n|\r|\n|$)", text)  # a line for Excel, which does not count it
    text = text[hint.end() :] if hint else text
    separator = hint[1] if hint else _separator(text, columns)
    # A space between separator and quotation mark would make the mark a part of the value.
    spaced = strip or bool(re.search(rf'[{re.escape(separator)}] +"', text))
    table = list(_records(path, text, separator, spaced))
    header = table.pop(0)[1] if table else []
    places = _places(header, columns)
    missing = [column for column in columns if not places[column]]
    if missing:
        names = [value.strip() for value in header]
        raise UserError(
            f"{path} has no column {', '.join(missing)}: expected {', '.join(columns)}, "
            f"got {printable(', '.join(names)) or 'an empty file'}"
        )
    _refuse_uneven(path, table, len(header))
    _refuse_twice(path, table, places)
    return [
        Row(
            number,
            {c: row[own[0]].strip() if strip else row[own[0]] for c, own in places.items()},
        )
        for number, row in table
    ]


def read_text(path: Path, kind: str = "", errors: str = "strict") -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark, without the mark.

    Args:
        kind: what the file should be, for error messages, such as "a CSV file".
        errors: the handling of bytes that are not UTF-8, as for `open`.

    Raises:
        UserError: the file is missing, cannot be read, or has another encoding.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    mark = next((mark for mark in _ENCODINGS if content.startswith(mark)), b"")
    encoding = _ENCODINGS.get(mark, "utf-8")
    expected = (f"{kind} in " if kind else "") + encoding.upper()
    try:
        text = content[len(mark) :].decode(encoding, errors if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, len(mark) + error.start) + 1
        raise UserError(
            f"{path} is not {expected}: line {line}: {error}; save it in UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path} is not {expected}: line {line} has a byte of zero")
    return text.lstrip("\ufeff")


def _separator(text: str, columns: Sequence[str]) -> str:
    """Return the first separator by which the header has all columns, or else the comma."""
    for separator in _SEPARATORS:
        try:
            header = next(filter(_is_filled, _parsed_rows(text, separator, True)), [])
        except csv.Error:
            continue
        if all(_places(header, columns).values()):
            return separator
    return ","


def _parsed_rows(text: str, separator: str, spaced: bool) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=spaced)


def _is_filled(row: Sequence[str]) -> bool:
    return any(map(str.strip, row))


def _records(
    path: Path, text: str, separator: str, spaced: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, with their numbers; raise UserError for wrong quotes."""
    rows, number = _parsed_rows(text, separator, spaced), 0
    while True:
        number += 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise UserError(
                f"{path} is not a CSV file that can be read: row {number}: {error}; {_QUOTES}"
            ) from None
        if row is None:
            return
        if any(_holds_rows(value, separator) for value in row):
            raise UserError(
                f"{path}: row {number} has a value in quotation marks that goes over several lines "
                f"and holds names of files, so it has swallowed other rows: {_QUOTES}"
            )
        if _is_filled(row):
            yield number, row


def _holds_rows(value: str, separator: str) -> bool:
    """Tell whether a value has swallowed rows, as it does where a closing mark is missing."""
    if "\n" not in value and "\r" not in value:
        return False
    cells = [line.split(separator) for line in value.splitlines() if separator in line]
    return any(_A_FILE.search(cell) for line in cells for cell in line)


def _places(header: Sequence[str], columns: Sequence[str]) -> dict[str, list[int]]:
    """Return where each column stands: by its exact name, or else by a name like it."""
    names = [name.strip().strip(_UNSEEN) for name in header]
    alike = [_plain_column(name) for name in names]
    return {
        column: [place for place, name in enumerate(names) if name == column]
        or [place for place, name in enumerate(alike) if name == _plain_column(column)]
        for column in columns
    }


def _plain_column(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFC", name).casefold())


def _refuse_uneven(path: Path, table: Sequence[tuple[int, list[str]]], width: int) -> None:
    """Raise UserError for rows without the header's number of values; blank ones may follow."""
    uneven = [
        number for number, row in table if len(row) < width or any(map(str.strip, row[width:]))
    ]
    if uneven:
        raise UserError(
            f"{path}: {len(uneven)} of {len(table)} rows do not have the {width} values of "
            f"the header (a text with a comma needs quotes around it): {listed(uneven)}"
        )


def _refuse_twice(
    path: Path, table: Sequence[tuple[int, list[str]]], places: Mapping[str, Sequence[int]]
) -> None:
    for column, own in places.items():
        differing = [n for n, row in table if len({row[place].strip() for place in own}) > 1]
        if differing:
            raise UserError(
                f"{path} has the column {column} {len(own)} times, with different values in "
                f"{len(differing)} of {len(table)} rows: {listed(differing)}"
            )


def read_json_lines(path: Path, parse: Callable[[Any], T], expected: str) -> list[T]:
    """Read a file in UTF-8 with one JSON object per line; blank lines are left out.

    Args:
        parse: makes a result of a JSON value; for a value of another form it raises KeyError,
            TypeError or ValueError.
        expected: the form in words, for error messages.

    Raises:
        UserError: the file is missing, is not UTF-8, or a line does not have the form.
    """
    lines = io.StringIO(read_text(path), newline="")
    return [
        _parsed(parse, line, f"{path}, line {number}", expected)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _parsed(parse: Callable[[Any], T], line: str, place: str, expected: str) -> T:
    try:
        value = json.loads(line, object_pairs_hook=_without_repeats)
        if "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # half a character cannot be encoded
        return parse(value)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        got = printable(line.strip()[:80])
        why = f" ({error})" if isinstance(error, _RepeatedError) else ""
        raise UserError(f"{place}: expected {expected}, got {got}{why}") from None


class _RepeatedError(ValueError):
    """A JSON object has a key twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedError("a key stands there twice")
    return found


def strings(value: Any) -> tuple[str, ...]:
    """Return the strings of a JSON list; raises TypeError for any other value."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("not a list of strings")
    return tuple(value)


def leads_out(name: str) -> bool:
    """Tell whether a file name is absolute or goes up by "..", on Windows or elsewhere."""
    absolute = re.match(r"[/\\]|[A-Za-z]:[/\\]", name)
    return bool(absolute) or ".." in re.split(r"[/\\]", name)


def printable(name: str) -> str:
    """Return a name for messages: control characters and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
