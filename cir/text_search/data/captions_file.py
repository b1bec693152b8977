"""Captions of a folder of images in a CSV: file, caption, and by whom.

file,caption,by
a.jpg,a dog on a beach,people
b.jpg,two cats,model
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.tables import Row, read_table

COLUMNS = ["file", "caption", "by"]
PEOPLE, MODEL = "people", "model"
By = Literal["people", "model"]


def write(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write (file, caption, by) rows, whole."""
    with files.whole_file(path) as unfinished:
        pd.DataFrame(list(rows), columns=COLUMNS).to_csv(unfinished, index=False)


def read(path: Path) -> list[tuple[str, str, str]]:
    """Read the (file, caption, by) rows.

    Raises UserError for a file that is not such a table, and for rows with an empty value or
    another `by`.
    """
    rows = read_table(path, COLUMNS, strip=False)
    wrong = [f"row {row.number}: {why}" for row in rows if (why := _problem(row))]
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} of {len(rows)} rows cannot be read: {listed(wrong, '; ')}"
        )
    return [(row["file"], row["caption"], row["by"]) for row in rows]


def _problem(row: Row) -> str | None:
    empty = next((name for name in COLUMNS if not row[name].strip()), None)
    if empty is not None:
        return f"no {empty}"
    if row["by"] not in get_args(By):
        return f"by must be {' or '.join(get_args(By))}, got {row['by'][:40]}"
    return None
