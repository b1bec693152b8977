"""The parts of k-reciprocal re-ranking that both of its graphs share, as sparse matrices.

A set of images for each of several rows is a CSR matrix [rows, images] of ones; a k-reciprocal
feature, V of the paper, one of weights. The sections are those of Zhong, Zheng, Cao and Li,
"Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017.
"""

import numpy as np
from scipy import sparse

from cir.retrieval.refine.neighbours import Neighbours

_ROWS = 4096  # how many sets are widened at a time


def own_first(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours [N, k] among images that they are themselves of: each is its own nearest.

    Returns indices and similarities. Without this an image with many copies might not be in its
    own list, and its set would be empty.
    """
    indices, similarities = neighbours.indices.copy(), neighbours.similarities.copy()
    own = np.arange(len(indices))[:, None]
    absent = ~(indices == own).any(axis=1)
    indices[absent, -1] = own[absent, 0]
    order = np.argsort(indices != own, axis=1, kind="stable")
    return np.take_along_axis(indices, order, 1), np.take_along_axis(similarities, order, 1)


def as_sets(lists: np.ndarray, images: int) -> sparse.csr_matrix:
    """The lists of indices [rows, k] as sets."""
    rows, k = lists.shape
    starts = np.arange(0, rows * k + 1, k)
    ones = np.ones(lists.size, np.float32)
    return sparse.csr_matrix((ones, lists.reshape(-1), starts), (rows, images))


def mutual(lists: np.ndarray) -> sparse.csr_matrix:
    """R(i, k): the j that i has in its list and that have i in theirs (section 3.2)."""
    sets = as_sets(lists, len(lists))
    return sets.multiply(sets.T).tocsr()


def half_of(k1: int) -> int:
    """How many neighbours the smaller sets are made of; halves round to even, as in numpy."""
    return int(np.around(k1 / 2))


def widened(sets: sparse.csr_matrix, smaller: sparse.csr_matrix) -> sparse.csr_matrix:
    """R*(i): each set [rows, N] and the `smaller` sets [N, N] of its members that fit it.

    One fits if more than two thirds of it are in the set already. The paper (section 3.2)
    has "at least"; its authors' code, which is what everybody compares with, "more than".
    """
    sizes = np.diff(smaller.indptr)
    parts = []
    for start in range(0, sets.shape[0], _ROWS):
        part = sets[start : start + _ROWS]
        common = (part @ smaller.T).multiply(part).tocoo()
        fits = 3 * common.data > 2 * sizes[common.col]
        fitting = sparse.csr_matrix(
            (common.data[fits], (common.row[fits], common.col[fits])), part.shape
        )
        parts.append(part + fitting @ smaller)
    wide = sparse.vstack(parts, format="csr")
    wide.data = np.ones_like(wide.data)
    return wide


def weighted(sets: sparse.csr_matrix, distances: np.ndarray) -> sparse.csr_matrix:
    """V: a member weighs exp(−distance) (section 3.3), and a row adds up to 1 if it has members.

    `distances` [members] are those of the sets' members, in the order of the matrix.
    """
    weights = sets.copy()
    weights.data = np.exp(-distances).astype(np.float32)
    sums = np.asarray(weights.sum(axis=1)).reshape(-1)
    weights.data /= np.repeat(sums, np.diff(weights.indptr))
    return weights


def rows_of(sets: sparse.csr_matrix) -> np.ndarray:
    """The row [members] of every member of the sets, in the order of the matrix."""
    return np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))


def jaccard_distances(features: sparse.csr_matrix, inverted: sparse.csr_matrix) -> np.ndarray:
    """1 − Σ min(V_q, V_g) / Σ max(V_q, V_g) (section 3.3) of rows q, as [q, N] float64.

    `features` [q, M] are the V_q; `inverted` [M, N] tells by image which of the V_g hold it, and
    each of these adds up to 1. With the mass m of V_q, Σ max is m + 1 − Σ min; m is 1 unless some
    of what V_q is the mean of was empty.
    """
    common = np.empty((features.shape[0], inverted.shape[1]))
    for row in range(len(common)):
        own = slice(features.indptr[row], features.indptr[row + 1])
        lists = inverted[features.indices[own]]
        weights = np.repeat(features.data[own], np.diff(lists.indptr))
        least = np.minimum(weights, lists.data)
        common[row] = np.bincount(lists.indices, least, minlength=inverted.shape[1])
    masses = np.asarray(features.sum(axis=1), np.float64)
    return np.maximum(1 - common / (masses + 1 - common), 0)
