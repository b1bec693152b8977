"""A gallery ranked for queries of which every image of the same class is a right answer (a hit)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cir.core.errors import UserError
from cir.core.progress import progress
from cir.core.sentences import listed
from cir.retrieval.ranking.ranking import TIE, top_k

Scores = Callable[[slice], np.ndarray]  # rows of the queries → [b, N], higher is better


@dataclass(frozen=True)
class ClassRanking:
    """The first k gallery images of every query, best first, and where all of its class are.

    `top_indices` [Q, k] and their `top_scores` [Q, k], which never rise along a row by more than
    `TIE`; `hit_ranks` has for each query the ascending ranks, from 1, of all gallery images of
    its class. `gallery_size` is how many images were ranked.
    """

    top_indices: np.ndarray
    top_scores: np.ndarray
    hit_ranks: tuple[np.ndarray, ...]
    gallery_size: int

    def __post_init__(self) -> None:
        shape, size = self.top_indices.shape, self.gallery_size
        assert self.top_indices.ndim == 2, f"top indices of shape {shape}"
        assert self.top_scores.shape == shape, f"{self.top_scores.shape} scores for {shape} images"
        assert len(self.hit_ranks) == shape[0], f"{len(self.hit_ranks)} of {shape[0]} queries"
        assert 0 <= self.top_indices.min() <= self.top_indices.max() < size, "no such image"
        for ranks in self.hit_ranks:
            assert ranks.size, "a query has no hits"
            assert 1 <= ranks[0] <= ranks[-1] <= size, "a rank lies outside the gallery"
            assert (np.diff(ranks) > 0).all(), "ranks ascend"


def cosine(queries: np.ndarray, gallery: np.ndarray) -> Scores:
    """The scores of `queries` [Q, D] for `gallery` [N, D], all vectors of length one."""
    assert queries.ndim == gallery.ndim == 2, "queries and gallery are matrices"
    assert queries.shape[1] == gallery.shape[1], f"{queries.shape} against {gallery.shape}"
    for vectors in (queries, gallery):
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.abs(lengths - 1).max(initial=0) < 1e-3, "a vector has another length than one"
    return lambda rows: queries[rows] @ gallery.T


def rank_by_class(
    scores: Scores,
    query_classes: Sequence[str],
    gallery_classes: Sequence[str],
    k: int = 10,
    block: int = 64,
) -> ClassRanking:
    """Rank the gallery, classes [N], for the queries, classes [Q], by their scores.

    What ties with a hit goes before it (closer than `cir.retrieval.ranking.ranking.TIE`); other
    equals keep the
    gallery's order. Scores of `block` queries are asked for at a time. The first `k` are all of
    the gallery where it is smaller.

    Raises UserError for queries whose class the gallery has not.
    """
    assert len(query_classes), "there are no queries"
    assert len(gallery_classes), "the gallery is empty"
    assert k >= 1, f"the first {k} images"
    places = _places(gallery_classes)
    without = [name for name in query_classes if name not in places]
    if without:
        raise UserError(
            f"{len(without)} of {len(query_classes)} queries are of a class that none of the "
            f"{len(gallery_classes)} gallery images has: {listed(sorted(set(without)))}"
        )
    k = min(k, len(gallery_classes))
    top_indices, top_scores, hit_ranks = [], [], []
    for rows, part in _blocks(scores, len(query_classes), len(gallery_classes), block):
        # In float64 no float32 lies exactly at the border that TIE draws below another.
        lowered = part.astype(np.float64)
        for row, name in zip(lowered, query_classes[rows], strict=True):
            row[places[name]] -= TIE  # behind whatever ties with it
            hit_ranks.append(_hit_ranks(row, places[name]))
        top_indices.append(top_k(lowered, k))
        top_scores.append(np.take_along_axis(part, top_indices[-1], axis=1))
    top = np.concatenate(top_indices), np.concatenate(top_scores)
    return ClassRanking(*top, tuple(hit_ranks), len(gallery_classes))


def leave_one_out(
    vectors: np.ndarray, classes: Sequence[str], block: int = 64
) -> tuple[np.ndarray, ...]:
    """The hit ranks of each image among all others, itself left out, by cosine.

    `vectors` [N, D] have length one; ranks and ties are as in `rank_by_class`.

    Raises UserError for images whose class has no other.
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
    hit_ranks = []
    for rows, part in _blocks(cosine(vectors, vectors), len(vectors), len(vectors), block):
        for image, row in enumerate(part.astype(np.float64), rows.start):
            hits = places[classes[image]]
            hits = hits[hits != image]
            row[hits] -= TIE
            row[image] = -np.inf
            hit_ranks.append(_hit_ranks(row, hits))
    return tuple(hit_ranks)


def _places(classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The images of each class."""
    places: dict[str, list[int]] = {}
    for image, name in enumerate(classes):
        places.setdefault(name, []).append(image)
    return {name: np.array(images) for name, images in places.items()}


def _blocks(
    scores: Scores, queries: int, images: int, block: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """The rows of each block with their scores [b, N] float32."""
    starts = range(0, queries, block)
    show = len(starts) > 16  # a bar for a moment is only in the way
    for start in progress(starts, len(starts), "ranking by class", "blocks", show=show):
        rows = slice(start, min(start + block, queries))
        part = np.asarray(scores(rows), np.float32)
        expected = (rows.stop - rows.start, images)
        assert part.shape == expected, f"scores of shape {part.shape}, expected {expected}"
        assert np.isfinite(part).all(), "a score is not finite"
        yield rows, part


def _hit_ranks(lowered: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """The ascending ranks of `hits` in a row of scores where they are lowered already.

    Sorting values and looking the hits up is several times as fast as sorting indices.
    """
    own = np.sort(lowered[hits])[::-1]
    everything = np.sort(lowered)
    # All that is higher, and the hits that are equal and stand before it among the hits.
    higher = len(everything) - np.searchsorted(everything, own, side="right")
    return 1 + higher + np.arange(len(own)) - np.searchsorted(-own, -own, side="left")
