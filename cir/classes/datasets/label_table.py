"""A CSV with the columns `file` and `class`, for images that no folder gives a class."""

import csv
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from cir.core.english import listed
from cir.core.errors import UserError

COLUMNS = ("file", "class")

Entry = tuple[int, str, str]  # number of the row, file, class


def labels(path: Path, ids: Sequence[str]) -> dict[str, str]:
    """The class of each id, a path such as "test/query/a.jpg".

    The table may name a file by the whole id or by the end of it ("query/a.jpg", "a.jpg") where
    only one file ends so. A byte order mark, Windows line ends, further columns and spaces around
    values are accepted. Of names that no file has as they stand, a leading "./", backslashes
    between folders (unless a file has one in its name) and whether accents are characters of
    their own (NFD) or not (NFC) do not count.

    Raises one UserError with all that is wrong, and row numbers as a spreadsheet counts them:
    empty values, rows without a file, names that stand for two files, files with two rows, and
    files with none.
    """
    entries = _read(path)
    known = _known({file for _, file, _ in entries}, ids)
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        for name in known[entry[1]]:
            rows.setdefault(name, []).append(entry)
    problems = _problems(entries, known, rows, ids)
    if problems:
        raise UserError(f"{path}: " + "; ".join(problems))
    return {name: rows[name][0][2] for name in ids}


def _known(written: Set[str], ids: Sequence[str]) -> dict[str, list[str]]:
    """By what is written in the table, the ids that it stands for."""
    slashes = not any("\\" in name for name in ids)
    exact: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for name in ids:
        for end in _ends(name):
            exact.setdefault(end, []).append(name)
            alike.setdefault(_plain(end, slashes), []).append(name)
    return {file: exact.get(file) or alike.get(_plain(file, slashes), []) for file in written}


def _plain(name: str, slashes: bool) -> str:
    """The name in NFC without "./" in front, and with slashes in place of backslashes if so."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/") if slashes else name)
    while name.startswith("./"):
        name = name.removeprefix("./")
    return name


def _ends(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _problems(
    entries: Sequence[Entry],
    known: Mapping[str, Sequence[str]],
    rows: Mapping[str, Sequence[Entry]],
    ids: Sequence[str],
) -> list[str]:
    blank = [number for number, file, label in entries if not (file and label)]
    lost = [f"{file} of row {number}" for number, file, _ in entries if file and not known[file]]
    torn = [
        f"{file} of row {number} ({' and '.join(known[file])})"
        for number, file, _ in entries
        if len(known[file]) > 1
    ]
    twice = [
        f"{name} in rows {' and '.join(str(number) for number, _, _ in own)}"
        for name, own in rows.items()
        if len(own) > 1
    ]
    bare = [name for name in ids if name not in rows]
    told = [
        (blank, len(entries), "rows lack a file or a class"),
        (lost, len(entries), "rows name files that are not there"),
        (torn, len(entries), "rows name two files at once"),
        (twice, len(ids), "files have more than one row"),
        (bare, len(ids), "files have no row"),
    ]
    return [
        f"{len(found)} of {whole} {what}: {listed(found)}" for found, whole, what in told if found
    ]


def _read(path: Path) -> list[Entry]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.reader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    header = [value.strip() for value in table[0]] if table else []
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(missing)}: expected {', '.join(COLUMNS)}, "
            f"got {', '.join(header) or 'an empty file'}"
        )
    filled = [(number, row) for number, row in enumerate(table[1:], 2) if any(map(str.strip, row))]
    uneven = [number for number, row in filled if len(row) != len(header)]
    if uneven:
        raise UserError(
            f"{path}: {len(uneven)} of {len(filled)} rows do not have the {len(header)} values of "
            f"the header (a text with a comma needs quotes around it): {listed(uneven)}"
        )
    file, label = (header.index(column) for column in COLUMNS)
    return [(number, row[file].strip(), row[label].strip()) for number, row in filled]
