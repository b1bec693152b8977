"""Encode data frames of image files and sentences: the contest's interface.

Relative paths start at the folder in the environment variable IMAGE_ROOT, or else at the working
directory. Vectors are float32 and L2-normalised; the answer to a query is the database image whose
vector has the highest dot product with the query's.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))  # found from any working directory

import model

from cir.images import decoding as images


class ImageFiles(Sequence):
    """Images by path, which are decoded when a batch is read."""

    def __init__(self, paths: Sequence[str]) -> None:
        root = Path(os.environ.get("IMAGE_ROOT", "."))
        self._paths = [root / str(path) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: slice) -> list[Image.Image]:
        return [images.decode(path, str(path)) for path in self._paths[rows]]


def encode_queries(df: pd.DataFrame) -> np.ndarray:
    """Encode the rows of `query_image` (a path) and `query_text` (a sentence): [N, D]."""
    references = ImageFiles(df["query_image"].tolist())
    return model.load().encode_queries(references, df["query_text"].tolist())


def encode_database(df: pd.DataFrame) -> np.ndarray:
    """Encode the rows of `target_image` (a path): [N, D]."""
    return model.load().encode_gallery(ImageFiles(df["target_image"].tolist()))
