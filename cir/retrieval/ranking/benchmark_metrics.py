"""The figures of the published benchmarks, as their papers define them.

Pure functions of ranks, which count from 1. Where a query has several right answers (hits), it
comes with the ranks of all of them, ascending.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cir.retrieval.ranking.metrics import recall_at_k

CAPTION_KS = (1, 5, 10, 50, 100)
FASHIONIQ_KS = (10, 50)
CIRR_KS, CIRR_SUBSET_KS = (1, 5, 10, 50), (1, 2, 3)
CIRCO_KS = (5, 10, 25, 50)


def caption_figures(hit_ranks: Sequence[np.ndarray]) -> dict[str, float]:
    """Hits by caption: how often the first k hold an image of the target's caption."""
    first = np.array([ranks[0] for ranks in hit_ranks])
    return {f"recall@{k}": recall_at_k(first, k) for k in CAPTION_KS}


def fashioniq_figures(target_ranks: np.ndarray) -> dict[str, float]:
    """FashionIQ, one category: recall@10 and recall@50."""
    return {f"recall@{k}": recall_at_k(target_ranks, k) for k in FASHIONIQ_KS}


def fashioniq_average(categories: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """FashionIQ over its categories: each recall's mean, however many queries each has.

    "mean" is the leaderboard's figure, halfway between the two.
    """
    average = {
        name: float(np.mean([figures[name] for figures in categories]))
        for name in (f"recall@{k}" for k in FASHIONIQ_KS)
    }
    return {**average, "mean": float(np.mean(list(average.values())))}


def cirr_figures(target_ranks: np.ndarray, subset_ranks: np.ndarray) -> dict[str, float]:
    """CIRR: recall in the gallery without the reference, and among the set's five other images.

    "average" is (recall@5 + recall_subset@1) / 2.
    """
    figures = {f"recall@{k}": recall_at_k(target_ranks, k) for k in CIRR_KS}
    figures |= {f"recall_subset@{k}": recall_at_k(subset_ranks, k) for k in CIRR_SUBSET_KS}
    return {**figures, "average": (figures["recall@5"] + figures["recall_subset@1"]) / 2}


def average_precision(hit_ranks: np.ndarray, k: int) -> float:
    """AP@k of a query: the sum of the precision at every hit's rank up to k, over min(hits, k)."""
    hit_ranks = np.asarray(hit_ranks)
    assert hit_ranks.ndim == 1, f"one list of ranks, not shape {hit_ranks.shape}"
    assert hit_ranks.size, "average precision needs at least one hit"
    assert hit_ranks[0] >= 1, "ranks count from 1"
    assert (np.diff(hit_ranks) > 0).all(), "ranks ascend"
    precision = np.arange(1, hit_ranks.size + 1) / hit_ranks
    return float(precision[hit_ranks <= k].sum() / min(hit_ranks.size, k))


def mean_average_precision(hit_ranks: Sequence[np.ndarray], k: int) -> float:
    """mAP@k: the mean of AP@k over the queries."""
    return float(np.mean([average_precision(ranks, k) for ranks in hit_ranks]))


def circo_figures(
    hit_ranks: Sequence[np.ndarray], target_ranks: np.ndarray, aspects: Sequence[Sequence[str]]
) -> dict[str, float]:
    """CIRCO: mAP@k over all right answers, recall@k of the one target, mAP@10 by aspect.

    `aspects` [Q] are each query's kinds of wording; a query counts for all of its own.
    """
    figures = {f"mAP@{k}": mean_average_precision(hit_ranks, k) for k in CIRCO_KS}
    figures |= {f"recall@{k}": recall_at_k(target_ranks, k) for k in CIRCO_KS}
    for aspect in sorted({aspect for own in aspects for aspect in own}):
        chosen = [ranks for ranks, own in zip(hit_ranks, aspects, strict=True) if aspect in own]
        figures[f"mAP@10 {aspect}"] = mean_average_precision(chosen, 10)
    return figures
