"""Store text queries with graded answers, and captions, beside the shards of their images.

images-00000.parquet ...   the images (see cir.images.shards)
captions.parquet           image, caption
queries.parquet            id, text, kind
relevance.parquet          query, image, grade: pairs that are not listed have grade 0
near_misses.parquet        query, image: the image shows the query's objects in another way
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cir.core.english import listed
from cir.core.errors import UserError, reason_of
from cir.core.progress import progress
from cir.images import shards

_CAPTIONS, _QUERIES = "captions.parquet", "queries.parquet"
_RELEVANCE, _NEAR_MISSES = "relevance.parquet", "near_misses.parquet"
_COLUMNS = {
    _CAPTIONS: ["image", "caption"],
    _QUERIES: ["id", "text", "kind"],
    _RELEVANCE: ["query", "image", "grade"],
    _NEAR_MISSES: ["query", "image"],
}


@dataclass(frozen=True)
class TextQuery:
    """A sentence, its kind, and how well images answer it.

    `grades` maps the ids of the answers to grades of 1 or more, higher being better; other images
    do not answer. `near_misses` are images with the same objects as the best answers, but with
    exchanged colours, another number, or other places. The words of a sentence alone do not tell
    them apart from answers; their order does.
    """

    id: str
    text: str
    kind: str
    grades: Mapping[str, int]
    near_misses: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextSplit:
    """One part of a source, ready to be written.

    `rows` yields (id, encoded image, names of the objects shown) of `images` images, once.
    `captions` are (image id, caption) pairs, any number for an image. The gallery of the `queries`
    is all images. `info` describes the part.
    """

    images: int
    rows: Iterable[tuple[str, bytes, Sequence[str]]]
    captions: Sequence[tuple[str, str]]
    queries: Sequence[TextQuery]
    info: dict

    def write(self, folder: Path, rows_per_shard: int) -> None:
        """Write the part to a folder that does not exist yet."""
        rows = progress(self.rows, self.images, f"writing {folder.name}", "images")
        counts = {"captions": len(self.captions), "queries": len(self.queries)}
        shards.write(folder, rows, (), {**self.info, **counts}, rows_per_shard)
        write_captions(folder, self.captions)
        write_queries(folder, self.queries)


def write_captions(folder: Path, captions: Iterable[tuple[str, str]]) -> None:
    """Write (image id, caption) pairs into the folder of a split."""
    rows = pd.DataFrame(list(captions), columns=_COLUMNS[_CAPTIONS])
    rows.to_parquet(folder / _CAPTIONS, index=False)


def read_captions(folder: Path) -> list[tuple[str, str]]:
    """Read the (image id, caption) pairs of a split, in order; an image may have several."""
    rows = _read(folder / _CAPTIONS)
    return list(zip(rows["image"], rows["caption"], strict=True))


def write_queries(folder: Path, queries: Sequence[TextQuery]) -> None:
    """Write the queries into the folder of a split."""
    rows = [(query.id, query.text, query.kind) for query in queries]
    pd.DataFrame(rows, columns=_COLUMNS[_QUERIES]).to_parquet(folder / _QUERIES, index=False)
    grades = [
        (query.id, image, grade) for query in queries for image, grade in query.grades.items()
    ]
    table = pd.DataFrame(grades, columns=_COLUMNS[_RELEVANCE])
    table.astype({"grade": np.int16}).to_parquet(folder / _RELEVANCE, index=False)
    missed = [(query.id, image) for query in queries for image in query.near_misses]
    table = pd.DataFrame(missed, columns=_COLUMNS[_NEAR_MISSES], dtype="string")
    table.to_parquet(folder / _NEAR_MISSES, index=False)


def read_queries(folder: Path, images: Iterable[str]) -> list[TextQuery]:
    """Read the queries of a split; `images` are the ids of its images.

    Raises UserError for a query without an answer, and for an answer that is not among the images.
    """
    known = set(images)
    grades: dict[str, dict[str, int]] = {}
    for query, image, grade in _read(folder / _RELEVANCE).itertuples(index=False):
        grades.setdefault(query, {})[image] = int(grade)
    missed: dict[str, list[str]] = {}
    for query, image in _read(folder / _NEAR_MISSES).itertuples(index=False):
        missed.setdefault(query, []).append(image)
    named = {image for one in (*grades.values(), *missed.values()) for image in one}
    absent = sorted(named - known)
    if absent:
        raise UserError(
            f"{folder / _RELEVANCE} or {_NEAR_MISSES} names {len(absent)} images that are not in "
            f"the shards beside it: {listed(absent)}"
        )
    queries = [
        TextQuery(name, text, kind, grades.get(name, {}), tuple(missed.get(name, ())))
        for name, text, kind in _read(folder / _QUERIES).itertuples(index=False)
    ]
    empty = [query.id for query in queries if not query.grades]
    if empty:
        raise UserError(f"{folder} holds {len(empty)} queries without an answer: {listed(empty)}")
    return queries


def relevance_matrix(queries: Sequence[TextQuery], images: Sequence[str]) -> np.ndarray:
    """Return the grades of N images for Q queries: int16 [Q, N], 0 for an image that does not
    answer.
    """
    column = {name: number for number, name in enumerate(images)}
    matrix = np.zeros((len(queries), len(images)), np.int16)
    for row, query in enumerate(queries):
        for name, grade in query.grades.items():
            matrix[row, column[name]] = grade
    return matrix


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {reason_of(error)}") from error
    missing = [name for name in _COLUMNS[path.name] if name not in rows]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}")
    return rows[_COLUMNS[path.name]]
