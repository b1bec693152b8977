"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), in memory that grows with N and not N².

Two images are near if each is among the other's nearest, and so are the images around them. There
are two graphs of who is near whom. The joint graph is the published one: it is made of queries and
gallery together, so that an answer depends on the other queries (it is transductive). The graph of
the gallery alone is built once and answers any query that comes later, each for itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cir.core.errors import UserError
from cir.retrieval.ranking.ranking import TIE
from cir.retrieval.refine.neighbours import as_tensor, highest, nearest
from cir.retrieval.refine.reciprocal_sets import (
    as_sets,
    half_of,
    jaccard_distances,
    mutual,
    own_first,
    rows_of,
    weighted,
    widened,
)

_PAIRS = 16_384  # pairs of vectors compared at a time


@dataclass(frozen=True)
class Settings:
    """`k1` neighbours make a set, `k2` features a mean, and `weight`, the paper's λ, is the share
    of the plain distance in the final one: 1 leaves the ranking as it was.

    k1 = 20, k2 = 6 and λ = 0.3 are the paper's, for some ten right answers to a query.
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
        """Raise UserError unless each of so many images has k1 others."""
        if self.k1 >= images:
            raise UserError(
                f"k1 of re-ranking is {self.k1}: expected less than the {images} images of {of}"
            )


class JointGraph:
    """The graph of queries and gallery together, as published.

    An image counts as its own nearest, though it have copies. The squared Euclidean distance d of
    two vectors of length one is 2 − 2s; in V and in the final distance it is divided by the
    largest of its row, which runs over queries and gallery.
    """

    def __init__(self, queries: np.ndarray, gallery: np.ndarray, settings: Settings) -> None:
        """Build the graph of `queries` [Q, D] and `gallery` [N, D], all of length one.

        Raises UserError where k1 is not less than Q + N.
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
        """(1 − λ) d_J + λ d of these queries to the gallery, [rows, N] float32: less is nearer."""
        plain = _distances(self._queries[rows] @ self._gallery.T, self._farthest[rows, None])
        return _mixed(self._features[rows], self._inverted, plain, self._settings.weight)


class GalleryGraph:
    """The graph of the gallery alone; a query is compared with it as though it had been in it.

    It differs from the joint graph in this. A query q has gallery images g in its set: those among
    its k1 nearest that q is at least as near to as g's k1-th neighbour in the gallery is, so that
    q would be among the k1 nearest of g. Its V is over gallery images, itself not among them, and
    its local expansion is the mean of that V and those of its k2 − 1 nearest images. Distances are
    divided by the largest from the query to the gallery. A query that is in no image's list has an
    empty V, and its nearest images alone speak for it; with k2 = 1, its plain distances do.
    """

    def __init__(self, gallery: np.ndarray, settings: Settings) -> None:
        """Build the graph of `gallery` [N, D], vectors of length one.

        Raises UserError where k1 is not less than N.
        """
        _check(gallery, gallery)
        settings.require(len(gallery), "the gallery")
        self._settings = settings
        self._gallery = as_tensor(gallery)
        vectors = self._gallery.numpy()
        found = nearest(vectors, vectors, settings.k1 + 1)
        lists, similarities = own_first(found)
        self._thresholds = similarities[:, settings.k1] - TIE
        self._smaller = mutual(lists[:, : half_of(settings.k1) + 1])
        self._features = _features(vectors, lists, _farthest(found.lowest), settings)
        self._inverted = _means(self._features, lists, settings.k2).T.tocsr()

    def distances(self, queries: np.ndarray) -> np.ndarray:
        """(1 − λ) d_J + λ d of `queries` [q, D] to the gallery, [q, N] float32: less is nearer.

        Several matrices [q, N] are in memory: give many queries in blocks.
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
        """V [q, N] of queries after local expansion; `lists` [q, k1] are their nearest."""
        near = np.take_along_axis(scores, lists, axis=1) >= self._thresholds[lists]
        sets = as_sets(lists, plain.shape[1])
        sets.data = near.reshape(-1).astype(np.float32)
        sets.eliminate_zeros()
        sets = widened(sets, self._smaller)
        own = weighted(sets, plain[rows_of(sets), sets.indices])
        k2 = self._settings.k2
        if k2 == 1:
            return own
        return (own + as_sets(lists[:, : k2 - 1], plain.shape[1]) @ self._features) / k2


def _features(
    vectors: np.ndarray, lists: np.ndarray, farthest: np.ndarray, settings: Settings
) -> sparse.csr_matrix:
    """V [M, M] of images among themselves, before local expansion."""
    sets = widened(mutual(lists), mutual(lists[:, : half_of(settings.k1) + 1]))
    rows = rows_of(sets)
    similarities = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        left, right = vectors[rows[part]], vectors[sets.indices[part]]
        similarities[part] = np.einsum("pd,pd->p", left, right)
    return weighted(sets, _distances(similarities, farthest[rows]))


def _means(features: sparse.csr_matrix, lists: np.ndarray, k2: int) -> sparse.csr_matrix:
    """Local query expansion (section 3.4): the mean V over each image's first k2."""
    if k2 == 1:
        return features
    return (as_sets(lists[:, :k2], len(lists)) @ features) / k2


def _farthest(lowest: np.ndarray) -> np.ndarray:
    """The largest squared distance of each row; 1 where all are 0, which is then no divisor."""
    largest = 2 - 2 * lowest
    return np.where(largest > TIE, largest, 1)


def _distances(similarities: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    return np.maximum(2 - 2 * similarities, 0) / farthest


def _mixed(
    features: sparse.csr_matrix, inverted: sparse.csr_matrix, plain: np.ndarray, weight: float
) -> np.ndarray:
    jaccard = jaccard_distances(features, inverted)
    return ((1 - weight) * jaccard + weight * plain).astype(np.float32)


def _check(queries: np.ndarray, gallery: np.ndarray) -> None:
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    assert len(queries), "there are no queries"
    assert len(gallery), "there is no gallery"
    for vectors in (queries, gallery):
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.abs(lengths - 1).max() < 1e-3, "a vector has another length than one"
