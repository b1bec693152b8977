"""Find the exact nearest gallery images of many queries, in bounded memory."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cir.retrieval.ranking.highest import highest


@dataclass(frozen=True)
class Neighbours:
    """The k nearest gallery images of every query, best first, the lower index of equals first.

    `indices` [Q, k] int64 and their `similarities` [Q, k] float32, which never rise along a row.
    `lowest` [Q] float32 is each query's similarity to its farthest image.
    """

    indices: np.ndarray
    similarities: np.ndarray
    lowest: np.ndarray

    def __post_init__(self) -> None:
        shape = self.indices.shape
        assert self.indices.ndim == 2, f"indices of shape {shape}"
        assert self.similarities.shape == shape, f"{self.similarities.shape} for {shape} indices"
        assert self.lowest.shape == shape[:1], f"{self.lowest.shape} for {shape[0]} queries"
        assert (np.diff(self.similarities, axis=1) <= 0).all(), "similarities rise along a row"


def nearest(
    queries: np.ndarray, gallery: np.ndarray, k: int, block: tuple[int, int] = (512, 32_768)
) -> Neighbours:
    """Find the `k` nearest of `gallery` [N, D] to `queries` [Q, D] by dot product.

    No more than `block` similarities (queries, images) are in memory at a time. Of equal
    similarities the lower index comes first; copies of an image may differ in the last bits (see
    cir.retrieval.ranking.ranking.TIE).
    """
    _check(queries, gallery, k)
    left, right = as_tensor(queries), as_tensor(gallery)
    height, width = min(block[0], len(left)), min(block[1], len(right))
    room = torch.empty(height * width)  # a new one for every block takes a tenth longer
    parts = [_of_block(rows, right, k, width, room) for rows in left.split(height)]
    return Neighbours(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))


def _of_block(
    queries: Tensor, gallery: Tensor, k: int, width: int, room: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices [q, k], similarities [q, k] and lowest similarities [q] of a few queries."""
    best = torch.empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64)
    lowest = torch.full((len(queries),), torch.inf)
    for start in range(0, len(gallery), width):
        part = gallery[start : start + width]
        scores = room[: len(queries) * len(part)].view(len(queries), len(part))
        torch.mm(queries, part.T, out=scores)
        lowest = torch.minimum(lowest, scores.amin(1))
        columns, values = highest(scores, min(k, len(part)))
        # Earlier finds stand further left, so the leftmost of equals keeps the lowest index.
        best = torch.cat([best, values], dim=1)
        indices = torch.cat([indices, columns + start], dim=1)
        keep, best = highest(best, min(k, best.shape[1]))
        indices = indices.gather(1, keep)
    return indices, best, lowest


def as_tensor(vectors: np.ndarray) -> Tensor:
    """Return the vectors as a float32 tensor, without a copy if they are float32 already."""
    return torch.from_numpy(np.ascontiguousarray(vectors, np.float32))


def _check(queries: np.ndarray, gallery: np.ndarray, k: int) -> None:
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    assert len(queries), "there are no queries"
    assert 1 <= k <= len(gallery), f"{k} neighbours of {len(gallery)} images"
    assert np.isfinite(queries).all(), "a query vector is not finite"
    assert np.isfinite(gallery).all(), "a gallery vector is not finite"
