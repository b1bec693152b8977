"""Encode data frames of image files and sentences: the contest's interface.

Relative paths start at the folder in the environment variable IMAGE_ROOT, or else at the working
directory. Vectors are float32 and L2-normalised; the answer to a query is the database image whose
vector has the highest dot product with the query's.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parent))  # found from any working directory

from cir.core.errors import UserError
from cir.images import decoding as images

_NAMED = 5  # rows that an error names


def _beside(name: str) -> ModuleType:
    """Import the file beside this one, whatever other module of that name was imported before."""
    path = Path(__file__).resolve().with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"{name} of {path.parent}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model = _beside("model")


class ImageFiles(Sequence):
    """The images of a column of paths; an image is decoded when a batch is read.

    Raises UserError that names the rows whose image cannot be read.
    """

    def __init__(self, df: pd.DataFrame, column: str) -> None:
        self._root = Path(os.environ.get("IMAGE_ROOT", "."))
        self._paths = _texts(df, column)
        different = list(dict.fromkeys(self._paths))
        with ThreadPoolExecutor() as threads:
            problems = dict(zip(different, threads.map(self._problem, different), strict=True))
        rows = zip(df.index, self._paths, strict=True)
        bad = [f"row {row}: {problems[path]}" for row, path in rows if problems[path]]
        if bad:
            more = f"; and {len(bad) - _NAMED} more rows" if len(bad) > _NAMED else ""
            raise UserError(f"{column} cannot be read in {'; '.join(bad[:_NAMED])}{more}")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: slice) -> list[Image.Image]:
        return [self._decoded(path) for path in self._paths[rows]]

    def _decoded(self, path: str, least_side: int | None = None) -> Image.Image:
        return images.decode(self._root / path, str(self._root / path), least_side=least_side)

    def _problem(self, path: str) -> str:
        """Return why an image cannot be read, or nothing; a JPEG is decoded at a reduced size."""
        if not path.strip():
            return "there is no path"
        try:
            self._decoded(path, least_side=1)
        except UserError as error:
            return str(error)
        return ""


def encode_queries(df: pd.DataFrame) -> np.ndarray:
    """Encode the rows of `query_image` (a path) and `query_text` (a sentence): [N, D].

    A sentence that is blank or absent changes nothing.
    """
    # Half a character, which no tokenizer takes, becomes a question mark.
    texts = [text.encode("utf-8", "replace").decode() for text in _texts(df, "query_text")]
    references = ImageFiles(df, "query_image")
    return model.load().encode_queries(references, texts)


def encode_database(df: pd.DataFrame) -> np.ndarray:
    """Encode the rows of `target_image` (a path): [N, D]."""
    targets = ImageFiles(df, "target_image")
    return model.load().encode_gallery(targets)


def _texts(df: pd.DataFrame, column: str) -> list[str]:
    """Return the column's values as texts; an absent value is an empty text."""
    if list(df).count(column) != 1:
        raise UserError(f"expected the column {column}, got {', '.join(map(str, df)) or 'none'}")
    lists = [row for row, value in df[column].items() if pd.api.types.is_list_like(value)]
    if lists:
        raise UserError(
            f"{column} holds lists in {len(lists)} rows, such as {lists[0]}: expected one text"
        )
    return ["" if pd.isna(value) else str(value) for value in df[column]]
