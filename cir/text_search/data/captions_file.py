"""Captions of a folder of images in a CSV: file, caption, and by whom.

file,caption,by
a.jpg,a dog on a beach,people
b.jpg,two cats,model
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError

COLUMNS = ["file", "caption", "by"]
PEOPLE, MODEL = "people", "model"
By = Literal["people", "model"]


def write(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write (file, caption, by) rows, whole."""
    with files.whole_file(path) as unfinished:
        pd.DataFrame(list(rows), columns=COLUMNS).to_csv(unfinished, index=False)


def read(path: Path) -> list[tuple[str, str, str]]:
    """The (file, caption, by) rows.

    Raises UserError where the file is none, lacks a column, or holds rows that are not as `write`
    makes them: with more or fewer values than the header, empty ones, or by somebody else.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file of captions")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"{path} has no column {', '.join(missing)}")
            numbered = [(rows.line_num, row) for row in rows]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no CSV file: {error}") from None
    wrong = [f"line {number}: {why}" for number, row in numbered if (why := _problem(row))]
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} of {len(numbered)} rows cannot be read: {listed(wrong, '; ')}"
        )
    return [(row["file"], row["caption"], row["by"]) for _, row in numbered]


def _problem(row: Mapping[str | None, str | None]) -> str | None:
    """What is wrong with a row, as csv.DictReader gives it."""
    if None in row or None in row.values():
        return "not the header's number of values (a text with a comma needs quotes around it)"
    empty = next((name for name in COLUMNS if not row[name].strip()), None)
    if empty is not None:
        return f"no {empty}"
    if row["by"] not in get_args(By):
        return f"by must be {' or '.join(get_args(By))}, got {row['by'][:40]}"
    return None
