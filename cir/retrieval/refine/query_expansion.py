"""Expand queries: move each query towards its nearest images, to search again."""

import math

import numpy as np

from cir.core.errors import UserError
from cir.retrieval.refine.neighbours import Neighbours

_BLOCK = 1024  # queries


def expand(
    queries: np.ndarray, gallery: np.ndarray, neighbours: Neighbours, alpha: float
) -> np.ndarray:
    """Add to each query [Q, D] its neighbours in `gallery` [N, D] and scale the sum to length one.

    With neighbours xᵢ of similarities sᵢ, the sum is q + Σ max(sᵢ, 0)^α xᵢ: α-weighted query
    expansion (Radenović, Tolias and Chum, "Fine-Tuning CNN Image Retrieval with No Human
    Annotation", TPAMI 2019, where α is 3). With α = 0 every weight is 1, also where the
    similarity is negative: average query expansion (Chum et al., "Total Recall", ICCV 2007).

    Raises UserError for an `alpha` that is negative or not finite, and for a query that its
    neighbours cancel out, so that no direction is left.
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise UserError(f"alpha of query expansion is {alpha}: expected a number from 0 upwards")
    _check(queries, gallery, neighbours)
    expanded = np.empty(queries.shape, np.float32)
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        weights = np.maximum(neighbours.similarities[rows], 0) ** np.float32(alpha)  # 0 ** 0 is 1
        # One rank at a time needs memory for [q, D]; all at once would need [q, k, D].
        sums = queries[rows].astype(np.float32)
        for place in range(weights.shape[1]):
            sums += weights[:, place, None] * gallery[neighbours.indices[rows, place]]
        expanded[rows] = sums
    lengths = np.linalg.norm(expanded, axis=1, keepdims=True)
    lost = np.flatnonzero(lengths < 1e-6)
    if lost.size:
        raise UserError(
            f"{lost.size} of {len(queries)} queries and their neighbours add up to nothing: the "
            f"first is query {lost[0]}; use fewer neighbours or a larger alpha"
        )
    return expanded / lengths


def _check(queries: np.ndarray, gallery: np.ndarray, neighbours: Neighbours) -> None:
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    indices = neighbours.indices
    assert len(indices) == len(queries), f"neighbours of {len(indices)} for {len(queries)} queries"
    if indices.size:
        inside = 0 <= indices.min() <= indices.max() < len(gallery)
        assert inside, "a neighbour lies outside the gallery"
