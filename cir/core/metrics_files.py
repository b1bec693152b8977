"""Files of metrics and pictures, held against the form that the report reads."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section


class MetricsFile(Section):
    """The form of a stage's metrics file.

    Its few scalars become columns of `dvc exp show` and `dvc metrics diff`. Everything else is in
    lists, which DVC leaves out of its tables. The file holds no key for a value of None.
    """

    def write(self, path: Path) -> None:
        """Write the file, whole."""
        files.write_json(path, self.model_dump(mode="json", by_alias=True, exclude_none=True))


class Fingerprint(Section):
    """The digest of a model that was measured."""

    model: str
    fingerprint: str


class Measured(BaseModel):
    """Part of a metrics file: what the page shows of it. Keys that it does not show may stand."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Sheet:
    """A JPEG file as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


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


def read_sheet(path: Path) -> Sheet:
    """The picture as it lies there: drawing it again would lose what JPEG has left of it."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            width, height = image.size
            image.load()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that writes it") from None
    except OSError as error:
        raise UserError(f"{path} is not a JPEG picture that can be read: {error}") from None
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Sheet(f"data:image/jpeg;base64,{content}", width, height)
