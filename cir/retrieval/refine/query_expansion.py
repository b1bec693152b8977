"""Query expansion: a query moves towards what it found, and asks again."""

import math

import numpy as np

from cir.core.errors import UserError
from cir.retrieval.refine.neighbours import Neighbours

_BLOCK = 1024  # queries


def expand(
    queries: np.ndarray, gallery: np.ndarray, neighbours: Neighbours, alpha: float
) -> np.ndarray:
    """Add to each query [Q, D] its neighbours in `gallery` [N, D]; the sums have length one.

    q' = q + Σ max(sᵢ, 0)^α xᵢ over the neighbours xᵢ with similarities sᵢ: α-weighted query
    expansion (Radenović, Tolias and Chum, TPAMI 2019, who take α = 3). With α = 0
    every weight is 1, that of a negative similarity too: average query expansion (Chum et al.,
    ICCV 2007). The vectors of both have length one, so that the query's own weight is 1 as well.

    Raises UserError for an `alpha` below 0 or not finite, and for a query that its neighbours
    cancel out, so that no direction is left.
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise UserError(f"alpha of query expansion is {alpha}: expected a number from 0 upwards")
    _check(queries, gallery, neighbours)
    expanded = np.empty(queries.shape, np.float32)
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        weights = np.maximum(neighbours.similarities[rows], 0) ** np.float32(alpha)  # 0 ** 0 is 1
        # A product for each rank takes [q, D] at a time, where all at once take [q, k, D].
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
