"""Files of metrics, held against the form that the report reads."""

from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from cir import files
from cir.errors import UserError


class Measured(BaseModel):
    """Part of a metrics file: what the page shows of it. Keys that it does not show may stand."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Measured)


def read_form(form: type[M], path: Path) -> M:
    """The JSON file; UserError names it, and the part that is missing or of another form."""
    try:
        return form.model_validate(files.read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the whole"
        said = problem["msg"][0].lower() + problem["msg"][1:]
        raise UserError(
            f"{path} has not the form that the report reads ({where}: {said}); "
            "run the stage that writes it again"
        ) from None


def read_table(path: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """The CSV file; UserError if it is missing, is no table or lacks one of the `columns`."""
    try:
        table = pd.read_csv(path, dtype_backend="numpy_nullable")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a table of comma-separated values: {error}") from None
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise UserError(f"{path} lacks the column {lacking[0]}, it has {', '.join(table)}")
    return table
