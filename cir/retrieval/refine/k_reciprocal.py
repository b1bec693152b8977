"""Re-rank by k-reciprocal neighbours, in memory that grows with N and not with N².

Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
2017; sections and equations below are those of this paper. Two images are near if each is among
the other's nearest, and if the images around them are near too.

There are two graphs of neighbours. The joint graph is the published one. It holds queries and
gallery together, so the answer to a query depends on the other queries (it is transductive). The
gallery graph is built once and answers each later query by itself.

A set of images for each of several rows is a sparse matrix (CSR) [rows, images] of ones; a
k-reciprocal feature, the paper's V, is such a matrix of weights.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cir.core.errors import UserError
from cir.retrieval.ranking.highest import highest
from cir.retrieval.ranking.ranking import TIE
from cir.retrieval.refine.neighbours import Neighbours, as_tensor, nearest

_PAIRS = 16_384  # pairs of vectors compared at a time
_ROWS = 4096  # sets widened at a time


@dataclass(frozen=True)
class Settings:
    """The parameters of re-ranking; the defaults are the paper's, for about ten hits per query.

    `k1`: neighbours in a k-reciprocal set. `k2`: images whose features local query expansion
    averages. `weight`: the paper's λ, the share of the plain distance in the final distance; 1
    leaves the ranking unchanged.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        for name, value in (("k1", self.k1), ("k2", self.k2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name} of re-ranking is {value!r}: expected a whole number >= 1")
        if self.k2 > self.k1:
            raise UserError(f"k2 of re-ranking is {self.k2}: expected no more than k1 = {self.k1}")
        if not 0 <= self.weight <= 1:
            raise UserError(f"weight of re-ranking is {self.weight}: expected a number in [0, 1]")

    def require(self, images: int, of: str) -> None:
        """Raise UserError unless k1 is less than the number of images."""
        if self.k1 >= images:
            raise UserError(
                f"k1 of re-ranking is {self.k1}: expected less than the {images} images of {of}"
            )


class JointGraph:
    """Re-rank by the graph of queries and gallery together, as in the paper.

    Each image counts as its own nearest, even if it has copies. The squared Euclidean distance d
    of two unit vectors with cosine s is 2 − 2s. In V and in the final distance it is divided by
    the largest distance of its row, over queries and gallery.
    """

    def __init__(self, queries: np.ndarray, gallery: np.ndarray, settings: Settings) -> None:
        """Build the graph of `queries` [Q, D] and `gallery` [N, D], all of length one.

        Raises UserError if k1 is not less than Q + N.
        """
        _check(queries, gallery)
        vectors = np.concatenate([queries, gallery]).astype(np.float32, copy=False)
        settings.require(len(vectors), "queries and gallery")
        found = nearest(vectors, vectors, settings.k1 + 1)
        lists, _ = own_first(found)
        farthest = _farthest(found.lowest)
        features = _features(vectors, lists, farthest, settings)
        features = _means(features, lists, settings.k2)
        count = len(queries)
        self._settings = settings
        self._queries, self._gallery = vectors[:count], vectors[count:]
        self._farthest = farthest[:count]
        self._features = features[:count]
        self._inverted = features[count:].T.tocsr()

    def distances(self, rows: slice) -> np.ndarray:
        """Return the final distances of these queries to the gallery, float32 [rows, N].

        They are (1 − λ) d_J + λ d (section 3.5).
        """
        plain = _distances(self._queries[rows] @ self._gallery.T, self._farthest[rows, None])
        return _mixed(self._features[rows], self._inverted, plain, self._settings.weight)


class GalleryGraph:
    """Re-rank by the graph of the gallery alone, each query for itself.

    A query is treated as if it were in the graph, with these differences. Its set holds those of
    its k1 nearest images that would have it among their own k1 nearest: it is at least as near to
    them as their k1-th neighbour. Its V is over gallery images only, without itself. Its local
    expansion averages that V and the V of its k2 − 1 nearest images. Distances are divided by the
    largest distance from the query to the gallery.

    If no gallery image has the query among its k1 nearest, V is empty. The ranking then comes from
    the query's nearest images (k2 > 1) or from the plain distances (k2 = 1).
    """

    def __init__(self, gallery: np.ndarray, settings: Settings) -> None:
        """Build the graph of `gallery` [N, D], vectors of length one.

        Raises UserError if k1 is not less than N.
        """
        _check(gallery, gallery)
        settings.require(len(gallery), "the gallery")
        self._settings = settings
        self._gallery = as_tensor(gallery)
        vectors = self._gallery.numpy()
        found = nearest(vectors, vectors, settings.k1 + 1)
        lists, similarities = own_first(found)
        self._thresholds = similarities[:, settings.k1] - TIE
        self._smaller = _mutual(lists[:, : _half_of(settings.k1) + 1])
        self._features = _features(vectors, lists, _farthest(found.lowest), settings)
        self._inverted = _means(self._features, lists, settings.k2).T.tocsr()

    def distances(self, queries: np.ndarray) -> np.ndarray:
        """Return the final distances of `queries` [q, D] to the gallery, float32 [q, N].

        They are (1 − λ) d_J + λ d (section 3.5). Several matrices [q, N] are in memory, so pass
        many queries in blocks.
        """
        _check(queries, self._gallery.numpy())
        scores = as_tensor(queries) @ self._gallery.T
        columns = highest(scores, self._settings.k1)[0].numpy()
        scores = scores.numpy()
        plain = _distances(scores, _farthest(scores.min(axis=1))[:, None])
        features = self._query_features(columns, scores, plain)
        return _mixed(features, self._inverted, plain, self._settings.weight)

    def _query_features(
        self, lists: np.ndarray, scores: np.ndarray, plain: np.ndarray
    ) -> sparse.csr_matrix:
        """Return V [q, N] of queries after local expansion; `lists` [q, k1] are their nearest."""
        near = np.take_along_axis(scores, lists, axis=1) >= self._thresholds[lists]
        sets = _as_sets(lists, plain.shape[1])
        sets.data = near.reshape(-1).astype(np.float32)
        sets.eliminate_zeros()
        sets = _widened(sets, self._smaller)
        own = _weighted(sets, plain[_rows_of(sets), sets.indices])
        k2 = self._settings.k2
        if k2 == 1:
            return own
        return (own + _as_sets(lists[:, : k2 - 1], plain.shape[1]) @ self._features) / k2


def _features(
    vectors: np.ndarray, lists: np.ndarray, farthest: np.ndarray, settings: Settings
) -> sparse.csr_matrix:
    """Return V [M, M] of images among themselves, before local expansion."""
    sets = _widened(_mutual(lists), _mutual(lists[:, : _half_of(settings.k1) + 1]))
    rows = _rows_of(sets)
    similarities = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        left, right = vectors[rows[part]], vectors[sets.indices[part]]
        similarities[part] = np.einsum("pd,pd->p", left, right)
    return _weighted(sets, _distances(similarities, farthest[rows]))


def _means(features: sparse.csr_matrix, lists: np.ndarray, k2: int) -> sparse.csr_matrix:
    """Average V over the first k2 neighbours of each image (local query expansion, section 3.4)."""
    if k2 == 1:
        return features
    return (_as_sets(lists[:, :k2], len(lists)) @ features) / k2


def _farthest(lowest: np.ndarray) -> np.ndarray:
    """Return the largest squared distance of each row, or 1 where all distances are 0."""
    largest = 2 - 2 * lowest
    return np.where(largest > TIE, largest, 1)


def _distances(similarities: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    return np.maximum(2 - 2 * similarities, 0) / farthest


def _mixed(
    features: sparse.csr_matrix, inverted: sparse.csr_matrix, plain: np.ndarray, weight: float
) -> np.ndarray:
    jaccard = _jaccard_distances(features, inverted)
    return ((1 - weight) * jaccard + weight * plain).astype(np.float32)


def own_first(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Put each of N images first in its own list of neighbours [N, k] among these images.

    Returns indices and similarities. Without this, an image with many copies might be missing from
    its own list, and its set would be empty.
    """
    indices, similarities = neighbours.indices.copy(), neighbours.similarities.copy()
    own = np.arange(len(indices))[:, None]
    absent = ~(indices == own).any(axis=1)
    indices[absent, -1] = own[absent, 0]
    order = np.argsort(indices != own, axis=1, kind="stable")
    return np.take_along_axis(indices, order, 1), np.take_along_axis(similarities, order, 1)


def _as_sets(lists: np.ndarray, images: int) -> sparse.csr_matrix:
    """Turn lists of indices [rows, k] into sets: a matrix [rows, images] of ones."""
    rows, k = lists.shape
    starts = np.arange(0, rows * k + 1, k)
    ones = np.ones(lists.size, np.float32)
    return sparse.csr_matrix((ones, lists.reshape(-1), starts), (rows, images))


def _mutual(lists: np.ndarray) -> sparse.csr_matrix:
    """Return R(i, k): the images in i's list that have i in their own lists (section 3.2)."""
    sets = _as_sets(lists, len(lists))
    return sets.multiply(sets.T).tocsr()


def _half_of(k1: int) -> int:
    """Return k1 / 2, the neighbours behind the smaller sets; halves round to even, as in numpy."""
    return int(np.around(k1 / 2))


def _widened(sets: sparse.csr_matrix, smaller: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return R*(i): each set [rows, N], joined with the `smaller` sets [N, N] of its members.

    A member's smaller set joins if more than two thirds of it are in the set already. The paper
    says "at least" (section 3.2), but its authors' code, with which others compare, says "more
    than".
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


def _weighted(sets: sparse.csr_matrix, distances: np.ndarray) -> sparse.csr_matrix:
    """Return V: a member's weight is exp(−distance) (section 3.3), and each row adds up to 1.

    `distances` [members] are those of the sets' members, in the order of the matrix.
    """
    weights = sets.copy()
    weights.data = np.exp(-distances).astype(np.float32)
    sums = np.asarray(weights.sum(axis=1)).reshape(-1)
    weights.data /= np.repeat(sums, np.diff(weights.indptr))
    return weights


def _rows_of(sets: sparse.csr_matrix) -> np.ndarray:
    """Return the row [members] of every member of the sets, in the order of the matrix."""
    return np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))


def _jaccard_distances(features: sparse.csr_matrix, inverted: sparse.csr_matrix) -> np.ndarray:
    """Return the Jaccard distances 1 − Σ min(V_q, V_g) / Σ max(V_q, V_g) (section 3.3).

    `features` [q, M] holds V_q in its rows and `inverted` [M, N] holds V_g in its columns, each of
    which adds up to 1. So Σ max is m + 1 − Σ min, where m is the sum of V_q; m is less than 1 if
    V_q is a mean over rows of which some are empty. The result is float64 [q, N].
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


def _check(queries: np.ndarray, gallery: np.ndarray) -> None:
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    assert len(queries), "there are no queries"
    assert len(gallery), "there is no gallery"
    for vectors in (queries, gallery):
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.abs(lengths - 1).max() < 1e-3, "a vector has another length than one"
