"""Read tables that a user wrote, as CSV or JSON lines, and match the names of files in them."""

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from cir.core.english import listed
from cir.core.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        number: its number as a spreadsheet counts: the header is row 1, and blank rows count.
        values: the required columns, by name.
    """

    number: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def read_table(
    path: Path, columns: Sequence[str], strip: bool = True, errors: str = "strict"
) -> list[Row]:
    """Read the rows of a CSV file in UTF-8; blank rows are left out.

    A byte order mark, Windows line ends, more columns and spaces around column names are allowed.

    Args:
        columns: the columns that the table must have.
        strip: remove spaces around the values.
        errors: the handling of bytes that are not UTF-8, as for `open`.

    Raises:
        UserError: the file is missing or is not such a table, a column is missing, or rows do not
            have as many values as the header.
    """
    try:
        with _opened(path, errors) as file:
            table = list(csv.reader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from None
    header = [value.strip() for value in table[0]] if table else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(missing)}: expected {', '.join(columns)}, "
            f"got {printable(', '.join(header)) or 'an empty file'}"
        )
    filled = [(number, row) for number, row in enumerate(table[1:], 2) if any(map(str.strip, row))]
    uneven = [number for number, row in filled if len(row) != len(header)]
    if uneven:
        raise UserError(
            f"{path}: {len(uneven)} of {len(filled)} rows do not have the {len(header)} values of "
            f"the header (a text with a comma needs quotes around it): {listed(uneven)}"
        )
    places = [(column, header.index(column)) for column in columns]
    return [
        Row(number, {c: row[place].strip() if strip else row[place] for c, place in places})
        for number, row in filled
    ]


def read_json_lines(path: Path, parse: Callable[[Any], T], expected: str) -> list[T]:
    """Read a file in UTF-8 with one JSON object per line; blank lines are left out.

    Args:
        parse: makes a result of a JSON value; for a value of another form it raises KeyError,
            TypeError or ValueError.
        expected: the form in words, for error messages.

    Raises:
        UserError: the file is missing, is not UTF-8, or a line does not have the form.
    """
    found = []
    with _opened(path, "strict") as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    found.append(_parsed(parse, line, f"{path}, line {number}", expected))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8: {error}") from None
    return found


def _parsed(parse: Callable[[Any], T], line: str, place: str, expected: str) -> T:
    try:
        return parse(json.loads(line))
    except (KeyError, TypeError, ValueError):
        got = printable(line.strip()[:80])
        raise UserError(f"{place}: expected {expected}, got {got}") from None


def strings(value: Any) -> tuple[str, ...]:
    """Return the strings of a JSON list; raises TypeError for any other value."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("not a list of strings")
    return tuple(value)


def _opened(path: Path, errors: str) -> IO[str]:
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file")
    try:
        return path.open(encoding="utf-8-sig", errors=errors, newline="")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


class FileNames:
    """Finds the files that the names in a table stand for.

    A name that equals a file's is that file's. Other names are compared without a leading "./",
    with "/" for "\\" (unless a file has "\\" in its name), and in Unicode's composed form (NFC).

    Args:
        known: the names of the files, with "/" between folders.
        ends: let the end of a path stand for it: "b/c.jpg" or "c.jpg" for "a/b/c.jpg".
    """

    def __init__(self, known: Collection[str], ends: bool = False):
        self._slashes = not any("\\" in name for name in known)
        self._exact: dict[str, list[str]] = {}
        self._alike: dict[str, list[str]] = {}
        for name in known:
            for end in _ends(name) if ends else (name,):
                self._exact.setdefault(end, []).append(name)
                self._alike.setdefault(self._plain(end), []).append(name)

    def find(self, written: str) -> list[str]:
        """Return the files that a written name stands for: none, one, or several."""
        return self._exact.get(written) or self._alike.get(self._plain(written), [])

    def _plain(self, name: str) -> str:
        name = unicodedata.normalize("NFC", name.replace("\\", "/") if self._slashes else name)
        while name.startswith("./"):
            name = name.removeprefix("./")
        return name


def _ends(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def leads_out(name: str) -> bool:
    """Tell whether a file name is absolute or goes up by "..", on Windows or elsewhere."""
    absolute = re.match(r"[/\\]|[A-Za-z]:[/\\]", name)
    return bool(absolute) or ".." in re.split(r"[/\\]", name)


def printable(name: str) -> str:
    """Return a name for messages: control characters and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
