"""Who is nearest: rank a gallery for every query by blocks of matrix products."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

# Two gallery rows of one image may differ in the last bits of their scores, as a matrix product
# sums in another order at the edge of a block. Closer than this to the target's score is a tie.
TIE = 1e-6


Gallery = Literal[
    "hard",
    "contest-like",
    "all test images",
    "the whole split",
    "references and targets",
    "the whole splits of all categories",
    "COCO 2017 unlabeled",
]
Query = Literal["image and edit", "image and sentence", "image", "edit", "sentence"]
Text = Literal["the change", "the target's caption"]
Captions = Literal["composeae", "clip4cir", "searle", "separate"]


@dataclass(frozen=True)
class Protocol:
    """What was ranked against what. It is stored beside every result.

    `gallery`: "hard" holds every test image, so for each query its target, its reference and its
    near misses; "contest-like" holds the targets and references only; the others are those of
    the published benchmarks. `query`: what the query vector is made of. `edit`: its objects as
    the tagger reads them from the sentence, or the true ones, or none. `reference_kept`: whether
    a query's own reference stays in its gallery. `hit`: the answer that counts. `ties`: an image
    that scores as high as the target goes before it.

    The rest is for published benchmarks and None elsewhere. `dataset` and `split` name them.
    `text`: what a query says, where it was made from captions; the whole caption of the target
    gives the answer away. `captions`: how several captions of a query become its text.
    `deletion`: how a word was deleted where training pairs came from. `left_out`: what is not in
    the measurement because image files were absent.
    """

    gallery: Gallery
    query: Query = "image and edit"
    edit: Literal["tagged", "true", "none"] = "tagged"
    reference_kept: bool = True
    hit: Literal["the target", "any image of its caption", "any of its targets"] = "the target"
    ties: Literal["against the target"] = "against the target"
    similarity: Literal["cosine"] = "cosine"
    dataset: str | None = None
    split: str | None = None
    text: Text | None = None
    captions: Captions | None = None
    deletion: Literal["legacy", "fixed"] | None = None
    left_out: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The protocol as it is stored; what does not concern a result has no entry."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Ranking:
    """The first k gallery images of every query, best first, and the rank of its target.

    `top_indices` [Q, k] points into `gallery_ids`; `top_scores` [Q, k] are cosines, never
    rising along a row; `target_ranks` [Q] and `target_scores` [Q] tell of the target, whose
    rank counts from 1. `gallery_size` is how many of the images were ranked.
    """

    query_ids: tuple[str, ...]
    gallery_ids: tuple[str, ...]
    top_indices: np.ndarray
    top_scores: np.ndarray
    target_ranks: np.ndarray
    target_scores: np.ndarray
    gallery_size: int

    def __post_init__(self) -> None:
        queries, images = len(self.query_ids), len(self.gallery_ids)
        shape = self.top_indices.shape
        assert self.top_indices.ndim == 2, f"top indices of shape {shape}"
        assert shape[0] == queries, f"{shape[0]} rows for {queries} queries"
        assert self.top_scores.shape == shape, f"{self.top_scores.shape} scores for {shape} images"
        for array in (self.target_ranks, self.target_scores):
            assert array.shape == (queries,), f"{array.shape} targets for {queries} queries"
        assert len(set(self.query_ids)) == queries, "query ids repeat"
        assert len(set(self.gallery_ids)) == images, "gallery ids repeat"
        assert self.gallery_size <= images, f"{self.gallery_size} of {images} images"
        if queries:
            assert 0 <= self.top_indices.min() <= self.top_indices.max() < images
            assert 1 <= self.target_ranks.min() <= self.target_ranks.max() <= self.gallery_size
            assert np.isfinite(self.top_scores).all(), "a score is not finite"
            assert (np.diff(self.top_scores, axis=1) <= 0).all(), "scores rise along a row"

    def top_ids(self, query: int) -> list[str]:
        """The ids of the first k images of the query at position `query`, best first."""
        return [self.gallery_ids[index] for index in self.top_indices[query]]

    @property
    def correct(self) -> np.ndarray:
        """[Q] bool: whether the target comes first."""
        return self.target_ranks == 1


def rank(
    queries: np.ndarray,
    gallery: np.ndarray,
    query_ids: Sequence[str],
    gallery_ids: Sequence[str],
    targets: np.ndarray,
    *,
    k: int = 10,
    allowed: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    block: tuple[int, int] = (256, 8192),
) -> Ranking:
    """Rank `gallery` [N, D] for `queries` [Q, D] by dot product (cosine for unit vectors).

    `targets` [Q] holds each query's gallery index. `allowed` [N] bool keeps part of the gallery;
    `excluded` [Q] takes one image out of each query's gallery (-1: none). A target's rank is 1
    plus the number of other images that score as high or higher, so ties count against us.
    Images of equal score keep the gallery's order. No more than `block` scores (queries, images)
    are in memory at a time.
    """
    allowed = np.ones(len(gallery), bool) if allowed is None else allowed
    excluded = np.full(len(queries), -1) if excluded is None else excluded
    _check(queries, gallery, targets, allowed, excluded)
    assert len(query_ids) == len(queries), f"{len(query_ids)} ids for {len(queries)} queries"
    assert len(gallery_ids) == len(gallery), f"{len(gallery_ids)} ids for {len(gallery)} images"
    # An excluded image would leave k - 1 for its query, hence the last term.
    k = min(k, int(allowed.sum()) - int((excluded >= 0).any()))
    assert k > 0, "the gallery is empty"
    step = max(1, block[0])
    parts = [
        _rank_block(
            queries[start : start + step],
            gallery,
            targets[start : start + step],
            excluded[start : start + step],
            allowed,
            k,
            block[1],
        )
        for start in range(0, len(queries), step)
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Ranking(tuple(query_ids), tuple(gallery_ids), *columns, int(allowed.sum()))


def _rank_block(
    queries: np.ndarray,
    gallery: np.ndarray,
    targets: np.ndarray,
    excluded: np.ndarray,
    allowed: np.ndarray,
    k: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Top indices and scores [q, k], target ranks [q] and target scores [q] of a few queries."""
    rows = np.arange(len(queries))
    target_scores = np.einsum("qd,qd->q", queries, gallery[targets])
    ahead = np.zeros(len(queries), np.int64)
    best_scores = np.full((len(queries), 0), -np.inf, queries.dtype)
    best_indices = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(gallery), width):
        stop = min(start + width, len(gallery))
        scores = queries @ gallery[start:stop].T
        scores[:, ~allowed[start:stop]] = -np.inf
        inside = (excluded >= start) & (excluded < stop)
        scores[rows[inside], excluded[inside] - start] = -np.inf
        rivals = scores >= target_scores[:, None] - TIE
        inside = (targets >= start) & (targets < stop)
        rivals[rows[inside], targets[inside] - start] = False
        ahead += rivals.sum(axis=1)
        indices = np.broadcast_to(np.arange(start, stop), scores.shape)
        best_scores = np.concatenate([best_scores, scores], axis=1)
        best_indices = np.concatenate([best_indices, indices], axis=1)
        keep = top_k(best_scores, min(k, best_scores.shape[1]))
        best_scores = np.take_along_axis(best_scores, keep, axis=1)
        best_indices = np.take_along_axis(best_indices, keep, axis=1)
    return best_indices, best_scores, 1 + ahead, target_scores


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns [Q, k] of the k highest of `scores` [Q, N], best first, the leftmost of equals.

    A partial sort alone picks among equals at the border as it likes; so every column that
    reaches the k-th score is taken and these few are sorted in full.
    """
    border = np.partition(scores, -k, axis=1)[:, -k]
    rows, columns = np.nonzero(scores >= border[:, None])
    order = np.lexsort((columns, -scores[rows, columns], rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    return columns[order][starts[:, None] + np.arange(k)]


def _check(
    queries: np.ndarray,
    gallery: np.ndarray,
    targets: np.ndarray,
    allowed: np.ndarray,
    excluded: np.ndarray,
) -> None:
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    assert len(queries), "there are no queries"
    assert len(gallery), "there is no gallery"
    assert np.isfinite(queries).all(), "a query vector is not finite"
    assert np.isfinite(gallery).all(), "a gallery vector is not finite"
    assert targets.shape == excluded.shape == (len(queries),), "one target for each query"
    assert allowed.shape == (len(gallery),), "one mark for each gallery image"
    inside = (targets >= 0) & (targets < len(gallery))
    assert inside.all(), "a target lies outside the gallery"
    assert allowed[targets].all(), "a target is not allowed in the gallery"
    assert (targets != excluded).all(), "a target is excluded from its own gallery"
