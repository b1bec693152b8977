"""Rank a gallery for every query, block by block; ties count against the right answers.

`rank` is for queries with one right answer, the target: it bounds memory for galleries of any
size. `rank_hits` is for queries with many right answers, the hits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cir.core.device import DEVICE
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.progress import progress
from cir.retrieval.ranking.highest import highest
from cir.retrieval.ranking.mapped import Vectors

# Two gallery rows of one image may differ in the last bits of their scores, as a matrix product
# sums in another order at the edge of a block. Closer than this to a right answer is a tie.
TIE = 1e-6

# Queries and images whose scores `rank` computes at once.
_BLOCK, _BLOCK_OF_A_GPU = (256, 8192), (1024, 65_536)
_GPU = None if DEVICE == "cpu" else DEVICE  # numpy's products are as fast as torch's elsewhere
_MANY = 100_000_000  # scores from which on the progress is shown

Scores = Callable[[slice], np.ndarray]  # rows of the queries → [b, N], higher is better


# ---- one right answer


@dataclass(frozen=True)
class Ranking:
    """The first k gallery images of every query, best first, and the rank of its target.

    `top_indices` [Q, k] points into `gallery_ids`. `top_scores` [Q, k] are cosines and never rise
    along a row. `target_ranks` [Q], from 1, and `target_scores` [Q] are those of the targets.
    `gallery_size` counts the ranked images.
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
        """Return the ids of the first k images of the query at position `query`, best first."""
        return [self.gallery_ids[index] for index in self.top_indices[query]]

    @property
    def correct(self) -> np.ndarray:
        """Return [Q] bool: whether the target comes first."""
        return self.target_ranks == 1


def rank(
    queries: np.ndarray,
    gallery: Vectors,
    query_ids: Sequence[str],
    gallery_ids: Sequence[str],
    targets: np.ndarray,
    *,
    k: int = 10,
    allowed: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    block: tuple[int, int] | None = None,
    device: str | None = _GPU,
) -> Ranking:
    """Rank `gallery` [N, D] for `queries` [Q, D] by dot product (cosine for unit vectors).

    `targets` [Q] are gallery indices. `allowed` [N] bool keeps part of the gallery; `excluded` [Q]
    removes one image from each query's gallery (-1: none). A target's rank is 1 plus the number of
    other images that score as high or higher, so ties count against us. Images of equal score keep
    the gallery's order.

    The gallery is read once, a block after the other, so that it may be larger than memory (see
    cir.retrieval.ranking.mapped) or than that of a GPU. No more than `block` scores (queries,
    images) are in memory at a time: that of torch's `device`, or numpy's if it is None.
    """
    allowed = np.ones(len(gallery), bool) if allowed is None else allowed
    excluded = np.full(len(queries), -1) if excluded is None else excluded
    _check(queries, gallery, targets, allowed, excluded)
    assert len(query_ids) == len(queries), f"{len(query_ids)} ids for {len(queries)} queries"
    assert len(gallery_ids) == len(gallery), f"{len(gallery_ids)} ids for {len(gallery)} images"
    # An excluded image would leave k - 1 for its query, hence the last term.
    k = min(k, int(allowed.sum()) - int((excluded >= 0).any()))
    assert k > 0, "the gallery is empty"
    height, width = block or (_BLOCK_OF_A_GPU if device else _BLOCK)
    starts = range(0, len(queries), max(1, height))
    rows = [slice(start, start + max(1, height)) for start in starts]
    blocks = [
        _Block(queries[own], gallery[targets[own]], targets[own], excluded[own], k, device)
        for own in rows
    ]
    starts = range(0, len(gallery), width)
    show = len(queries) * len(gallery) >= _MANY
    for start in progress(starts, len(starts), "ranking the gallery", "blocks", show=show):
        part, left_out = gallery[start : start + width], ~allowed[start : start + width]
        if device:
            part = torch.tensor(part, device=device)
        for one in blocks:
            one.see(start, part, left_out)
    columns = [
        np.concatenate(column) for column in zip(*(one.found for one in blocks), strict=True)
    ]
    return Ranking(tuple(query_ids), tuple(gallery_ids), *columns, int(allowed.sum()))


class _Block:
    """Rank a block of queries [q, D] while the gallery comes by, a part after the other."""

    def __init__(
        self,
        queries: np.ndarray,
        images: np.ndarray,
        targets: np.ndarray,
        excluded: np.ndarray,
        k: int,
        device: str | None,
    ):
        self.targets, self.excluded, self.k = targets, excluded, k
        self.queries = torch.tensor(queries, device=device) if device else queries
        self.target_scores = np.einsum("qd,qd->q", queries, images)
        self.border = torch.tensor(self.target_scores - TIE, device=device)[:, None]
        self.ahead = torch.zeros(len(queries), dtype=torch.int64, device=device)
        self.best = self.border.new_empty(len(queries), 0)
        self.indices = self.ahead.new_empty(len(queries), 0)

    def see(self, start: int, part: np.ndarray | torch.Tensor, left_out: np.ndarray) -> None:
        """Take in the gallery images [n, D] from row `start` on, without those `left_out` [n]."""
        scores = torch.as_tensor(self.queries @ part.T)
        # A vector that is not finite spoils its score for every query: one row of scores suffices.
        assert scores[0].isfinite().all(), "a gallery vector is not finite"
        if left_out.any():
            scores[:, left_out] = -torch.inf
        scores[self._places(self.excluded, start, len(part))] = -torch.inf
        rivals = scores >= self.border
        rivals[self._places(self.targets, start, len(part))] = False
        self.ahead += rivals.sum(dim=1)
        columns, values = highest(scores, min(self.k, len(part)))
        # Earlier finds stand further left, so the leftmost of equals keeps the lowest index.
        best = torch.cat([self.best, values], dim=1)
        keep, self.best = highest(best, min(self.k, best.shape[1]))
        self.indices = torch.cat([self.indices, columns + start], dim=1).gather(1, keep)

    @property
    def found(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Top indices and scores [q, k], target ranks [q] and target scores [q]."""
        indices, best, ahead = (t.cpu().numpy() for t in (self.indices, self.best, self.ahead))
        return indices, best, 1 + ahead, self.target_scores

    @staticmethod
    def _places(images: np.ndarray, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of those of each query's `images` [q] that the part holds."""
        rows = np.flatnonzero((images >= start) & (images < start + count))
        return rows, images[rows] - start


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns [Q, k] of the k highest of `scores` [Q, N], the leftmost of equals first.

    A partial sort alone chooses arbitrarily among equals at the border. So every column that
    reaches the k-th score is taken, and these few are sorted in full.
    """
    border = np.partition(scores, -k, axis=1)[:, -k]
    rows, columns = np.nonzero(scores >= border[:, None])
    order = np.lexsort((columns, -scores[rows, columns], rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    return columns[order][starts[:, None] + np.arange(k)]


def _check(
    queries: np.ndarray,
    gallery: Vectors,
    targets: np.ndarray,
    allowed: np.ndarray,
    excluded: np.ndarray,
) -> None:
    assert queries.ndim == len(gallery.shape) == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    assert len(queries), "there are no queries"
    assert len(gallery), "there is no gallery"
    assert np.isfinite(queries).all(), "a query vector is not finite"
    assert targets.shape == excluded.shape == (len(queries),), "one target for each query"
    assert allowed.shape == (len(gallery),), "one mark for each gallery image"
    inside = (targets >= 0) & (targets < len(gallery))
    assert inside.all(), "a target lies outside the gallery"
    assert allowed[targets].all(), "a target is not allowed in the gallery"
    assert (targets != excluded).all(), "a target is excluded from its own gallery"


# ---- many right answers


@dataclass(frozen=True)
class HitRanking:
    """The first k gallery images of every query, best first, and the ranks of all its hits.

    `top_indices` [Q, k] and their `top_scores` [Q, k], which rise along a row by no more than the
    steps of `lowered_blocks`. `hit_ranks` has for each query the ascending ranks of its hits, from
    1, and `hit_grades` their grades, all 1 unless given. `gallery_size` counts the ranked images.
    """

    top_indices: np.ndarray
    top_scores: np.ndarray
    hit_ranks: tuple[np.ndarray, ...]
    hit_grades: tuple[np.ndarray, ...]
    gallery_size: int

    def __post_init__(self) -> None:
        shape, size = self.top_indices.shape, self.gallery_size
        assert self.top_indices.ndim == 2, f"top indices of shape {shape}"
        assert self.top_scores.shape == shape, f"{self.top_scores.shape} scores for {shape} images"
        assert len(self.hit_ranks) == shape[0], f"{len(self.hit_ranks)} of {shape[0]} queries"
        assert 0 <= self.top_indices.min() <= self.top_indices.max() < size, "no such image"
        for ranks, grades in zip(self.hit_ranks, self.hit_grades, strict=True):
            assert ranks.size, "a query has no hits"
            assert 1 <= ranks[0] <= ranks[-1] <= size, "a rank lies outside the gallery"
            assert (np.diff(ranks) > 0).all(), "ranks ascend"
            assert grades.shape == ranks.shape, "one grade for each rank"
            assert (grades >= 1).all(), "a hit has a grade of 1 or more"


def cosine(queries: np.ndarray, gallery: np.ndarray) -> Scores:
    """Return the scores of `queries` [Q, D] for `gallery` [N, D], all vectors of length one.

    A query may also be zeros: it scores all images alike.
    """
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    for vectors in (queries[queries.any(axis=1)], gallery):
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.abs(lengths - 1).max(initial=0) < 1e-3, "a vector has another length than one"
    return lambda rows: queries[rows] @ gallery.T


def rank_hits(
    scores: Scores,
    images: int,
    hits: Sequence[np.ndarray],
    grades: Sequence[np.ndarray] | None = None,
    k: int = 10,
    block: int = 64,
    what: str = "",
) -> HitRanking:
    """Rank `images` gallery images for each query.

    Args:
        scores: the scores of some queries, in float32 or float64.
        images: size of the gallery.
        hits: for each query the gallery indices of its hits, ascending.
        grades: the grades of these hits, from 1; without them all hits are equal.
        k: how many first images are kept; all of a gallery that is smaller.
        block: queries whose scores are in memory at a time.
        what: what the progress line says, if there are many blocks.
    """
    assert hits, "there are no queries"
    assert images, "the gallery is empty"
    assert k >= 1, f"the first {k} images"
    grades = [np.ones(len(own), int) for own in hits] if grades is None else grades
    top_indices, top_scores, hit_ranks, hit_grades = [], [], [], []
    blocks = lowered_blocks(scores, images, hits, grades, block=block, what=what)
    for rows, part, lowered in blocks:
        for row, own, of_own in zip(lowered, hits[rows], grades[rows], strict=True):
            ranks, order = _hit_ranks(row, own)
            hit_ranks.append(ranks)
            hit_grades.append(of_own[order])
        top_indices.append(top_k(lowered, min(k, images)))
        top_scores.append(np.take_along_axis(part, top_indices[-1], axis=1))
    top = np.concatenate(top_indices), np.concatenate(top_scores)
    return HitRanking(*top, tuple(hit_ranks), tuple(hit_grades), images)


def rank_by_grade(
    scores: Scores, relevance: np.ndarray, k: int = 10, block: int = 64
) -> HitRanking:
    """Rank N images for Q queries whose grades are `relevance`, int [Q, N]: 0 is no hit."""
    hits = [np.flatnonzero(row) for row in relevance]
    grades = [row[own] for row, own in zip(relevance, hits, strict=True)]
    return rank_hits(scores, relevance.shape[1], hits, grades, k, block)


def rank_by_class(
    scores: Scores,
    query_classes: Sequence[str],
    gallery_classes: Sequence[str],
    k: int = 10,
    block: int = 64,
) -> HitRanking:
    """Rank the gallery, classes [N], for the queries, classes [Q]; images of one class are hits.

    Raises UserError for queries whose class no gallery image has.
    """
    assert len(gallery_classes), "the gallery is empty"
    places = _places(gallery_classes)
    without = [name for name in query_classes if name not in places]
    if without:
        raise UserError(
            f"{len(without)} of {len(query_classes)} queries are of a class that none of the "
            f"{len(gallery_classes)} gallery images has: {listed(sorted(set(without)))}"
        )
    hits = [places[name] for name in query_classes]
    what = "ranking by class"
    return rank_hits(scores, len(gallery_classes), hits, k=k, block=block, what=what)


def leave_one_out(
    vectors: np.ndarray, classes: Sequence[str], block: int = 64
) -> tuple[np.ndarray, ...]:
    """Return the hit ranks of each image among all others, by cosine.

    `vectors` [N, D] have length one. Raises UserError for classes with a single image.
    """
    assert len(vectors) == len(classes), f"{len(vectors)} vectors for {len(classes)} classes"
    assert len(vectors), "there are no images"
    places = _places(classes)
    alone = [name for name, images in places.items() if len(images) == 1]
    if alone:
        raise UserError(
            f"{len(alone)} of {len(places)} classes have one image and nothing that could be found "
            f"for it: {listed(sorted(alone))}"
        )
    own = np.arange(len(vectors))
    hits = [places[name][places[name] != image] for image, name in enumerate(classes)]
    scores, what = cosine(vectors, vectors), "ranking by class"
    blocks = lowered_blocks(scores, len(vectors), hits, excluded=own, block=block, what=what)
    return tuple(
        _hit_ranks(row, images)[0]
        for rows, _, lowered in blocks
        for row, images in zip(lowered, hits[rows], strict=True)
    )


def lowered_blocks(
    scores: Scores,
    images: int,
    hits: Sequence[np.ndarray],
    grades: Sequence[np.ndarray] | None = None,
    excluded: np.ndarray | None = None,
    block: int = 64,
    what: str = "",
    show: bool | None = None,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield the rows of each block of queries, its scores [b, N], and these scores lowered.

    In the lowered scores, float64 [b, N], ties count against the hits: a hit is lowered by TIE
    once for each lower grade, 0 included, that the query's images have. So of images closer than
    TIE the one with the lower grade goes first, however far apart the grades are. The image
    `excluded` [Q] of each query (-1: none) gets −∞. Without `what`, or if `show` is false, no
    progress is shown; by default it is shown for more than 16 blocks.
    """
    starts = range(0, len(hits), block)
    # A bar for a moment is only in the way.
    show = bool(what) and (len(starts) > 16 if show is None else show)
    for start in progress(starts, len(starts), what, "blocks", show=show):
        rows = slice(start, min(start + block, len(hits)))
        part = np.asarray(scores(rows))
        expected = (rows.stop - rows.start, images)
        assert part.shape == expected, f"scores of shape {part.shape}, expected {expected}"
        assert np.isfinite(part).all(), "a score is not finite"
        # In float64 no float32 lies exactly at the border that TIE draws below another.
        lowered = part.astype(np.float64)
        for number, row in enumerate(lowered, start):
            steps = 1
            if grades is not None:
                steps = 1 + np.searchsorted(np.unique(grades[number]), grades[number])
            row[hits[number]] -= TIE * steps
            if excluded is not None and excluded[number] >= 0:
                row[excluded[number]] = -np.inf
        yield rows, part, lowered


def _hit_ranks(lowered: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ascending ranks of `hits` in a row of lowered scores, and their order.

    Sorting values and looking the hits up is several times as fast as sorting indices.
    """
    order = np.argsort(-lowered[hits], kind="stable")
    own = lowered[hits][order]
    as_high = len(lowered) - np.searchsorted(np.sort(lowered), own, side="left")
    rivals = as_high - np.searchsorted(-own, -own, side="right")
    return 1 + rivals + np.arange(len(own)), order


def _places(classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the images of each class, ascending."""
    places: dict[str, list[int]] = {}
    for image, name in enumerate(classes):
        places.setdefault(name, []).append(image)
    return {name: np.array(images) for name, images in places.items()}
