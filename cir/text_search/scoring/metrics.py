"""Graded rankings and their figures: precision, recall, nDCG, reciprocal rank, average precision.

An answer has a grade of 1 or more, every other image has grade 0. All figures are of one query and
lie between 0 and 1; those that ask whether an image is relevant take the lowest grade that counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cir.retrieval.ranking.benchmark_metrics import average_precision
from cir.retrieval.ranking.ranking import TIE

Scores = Callable[[slice], np.ndarray]  # rows of the queries → [b, N], higher is better
KS = (1, 5, 10)


@dataclass(frozen=True)
class Answers:
    """Where a query's answers ended up: ascending `ranks` [A], from 1, and their `grades` [A]."""

    ranks: np.ndarray
    grades: np.ndarray

    def __post_init__(self) -> None:
        assert self.ranks.shape == self.grades.shape, "one grade for each rank"
        assert self.ranks.ndim == 1, f"one list of ranks, not shape {self.ranks.shape}"
        assert self.ranks.size, "a query has no answer"
        assert self.ranks[0] >= 1, "ranks count from 1"
        assert (np.diff(self.ranks) > 0).all(), "ranks ascend"
        assert (self.grades >= 1).all(), "an answer has a grade of 1 or more"

    def relevant(self, least_grade: int) -> np.ndarray:
        """The ranks of the answers of this grade or a higher one."""
        ranks = self.ranks[self.grades >= least_grade]
        assert ranks.size, f"no answer has a grade of {least_grade} or more"
        return ranks


@dataclass(frozen=True)
class GradedRanking:
    """The first k images of every query, best first, and where all of its answers are.

    `top_indices` [Q, k] and their `top_scores` [Q, k]; `answers` has Q values. `gallery_size` is
    how many images were ranked.
    """

    top_indices: np.ndarray
    top_scores: np.ndarray
    answers: tuple[Answers, ...]
    gallery_size: int

    def __post_init__(self) -> None:
        shape = self.top_indices.shape
        assert self.top_indices.ndim == 2, f"top indices of shape {shape}"
        assert self.top_scores.shape == shape, f"{self.top_scores.shape} scores for {shape} images"
        assert len(self.answers) == shape[0], f"answers of {len(self.answers)} of {shape[0]}"
        assert 0 <= self.top_indices.min() <= self.top_indices.max() < self.gallery_size
        last = max(int(own.ranks[-1]) for own in self.answers)
        assert last <= self.gallery_size, "a rank lies outside the gallery"


def rank_by_grade(
    scores: Scores, relevance: np.ndarray, k: int = 10, block: int = 64
) -> GradedRanking:
    """Rank N images for Q queries whose grades are `relevance`, int [Q, N].

    Ties count against the answers: a score is lowered by `cir.retrieval.ranking.ranking.TIE` once
    for every lower
    grade that the query's images have, so of images closer than that the less relevant one goes
    first. Equals of one grade keep the gallery's order. Scores of `block` queries are asked for at
    a time, in float32 or float64. The first `k` are all of the gallery where it is smaller.
    """
    queries, images = relevance.shape
    assert queries, "there are no queries"
    assert images, "the gallery is empty"
    assert k >= 1, f"the first {k} images"
    top_indices, top_scores, answers = [], [], []
    for start in range(0, queries, block):
        rows = slice(start, min(start + block, queries))
        part = np.asarray(scores(rows))
        expected = (rows.stop - rows.start, images)
        assert part.shape == expected, f"scores of shape {part.shape}, expected {expected}"
        assert np.isfinite(part).all(), "a score is not finite"
        for row, grades in zip(part, relevance[rows], strict=True):
            own = np.flatnonzero(grades)
            lowered = row.astype(np.float64)
            lowered[own] -= TIE * (1 + np.searchsorted(np.unique(grades[own]), grades[own]))
            order = np.argsort(-lowered, kind="stable")
            found = np.flatnonzero(grades[order])
            answers.append(Answers(found + 1, grades[order[found]]))
            top_indices.append(order[:k])
            top_scores.append(row[order[:k]])
    return GradedRanking(np.stack(top_indices), np.stack(top_scores), tuple(answers), images)


def precision_at_k(answers: Answers, k: int, least_grade: int = 1) -> float:
    """How many of the first k images are relevant, over k, even where fewer could be."""
    return float((answers.relevant(least_grade) <= k).sum() / k)


def recall_at_k(answers: Answers, k: int, least_grade: int = 1) -> float:
    """How many of the relevant images are among the first k, over all that are relevant."""
    return float((answers.relevant(least_grade) <= k).mean())


def ndcg_at_k(answers: Answers, k: int) -> float:
    """nDCG@k (Järvelin and Kekäläinen 2002): gain over the first k, over the best possible one.

    An image of grade g at rank r gains g / log2(1 + r). The gain is the grade itself, as in
    trec_eval and so in ir-measures, not 2^g − 1: a grade of 2 is worth two of 1, not three.
    """
    gain = (answers.grades / np.log2(1 + answers.ranks))[answers.ranks <= k].sum()
    best = np.sort(answers.grades)[::-1][:k]
    return float(gain / (best / np.log2(2 + np.arange(len(best)))).sum())


def reciprocal_rank(answers: Answers, least_grade: int = 1) -> float:
    """One over the rank of the first relevant image."""
    return float(1 / answers.relevant(least_grade)[0])


def figures(answers: Sequence[Answers], least_grade: int) -> dict[str, np.ndarray]:
    """Every figure of every query, by name: float64 [Q] each; P, R and nDCG at each of KS.

    The means of "mrr" and "map" over the queries bear these names; of one query they are the
    reciprocal rank and the average precision over the whole gallery.
    """
    found = {f"p@{k}": [precision_at_k(own, k, least_grade) for own in answers] for k in KS}
    found |= {f"r@{k}": [recall_at_k(own, k, least_grade) for own in answers] for k in KS}
    found |= {f"ndcg@{k}": [ndcg_at_k(own, k) for own in answers] for k in KS}
    found["mrr"] = [reciprocal_rank(own, least_grade) for own in answers]
    ranks = [own.relevant(least_grade) for own in answers]
    found["map"] = [average_precision(own, int(own[-1])) for own in ranks]
    return {name: np.array(values) for name, values in found.items()}
