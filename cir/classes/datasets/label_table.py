"""A CSV with the columns `file` and `class`, for images that no folder gives a class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import FileNames
from cir.core.tables import read_table

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
    entries = [(row.number, row["file"], row["class"]) for row in read_table(path, COLUMNS)]
    names = FileNames(ids, ends=True)
    known = {file: names.find(file) for _, file, _ in entries}
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        for name in known[entry[1]]:
            rows.setdefault(name, []).append(entry)
    problems = _problems(entries, known, rows, ids)
    if problems:
        raise UserError(f"{path}: " + "; ".join(problems))
    return {name: rows[name][0][2] for name in ids}


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
