"""Compute every metric of a ranking.

All functions take ranks, which count from 1. Target ranks [Q] have one rank for each query. Hit
ranks have for each query the ascending ranks of all its right answers (hits).
"""

from collections.abc import Mapping, Sequence

import numpy as np

COMPOSITION_KS = (1, 10)
CLASS_KS = (1, 5, 10)
GRADED_KS = (1, 5, 10)
CAPTION_KS = (1, 5, 10, 50, 100)
FASHIONIQ_KS = (10, 50)
CIRR_KS, CIRR_SUBSET_KS = (1, 5, 10, 50), (1, 2, 3)
CIRCO_KS = (5, 10, 25, 50)


def recall_at_k(target_ranks: np.ndarray, k: int) -> float:
    """Return the share of queries whose target is among the first `k`.

    With `k` = 1 this is top-1 accuracy. With the ranks of each query's first hit it is the share
    of queries that have a hit among the first `k`.
    """
    return float(np.mean(_checked(target_ranks) <= k))


def mean_reciprocal_rank(target_ranks: np.ndarray) -> float:
    """Return the mean of 1/rank: 1.0 where every target comes first."""
    return float(np.mean(1.0 / _checked(target_ranks)))


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 10_000
) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean of `correct` [Q].

    A value is 0 or 1, or a score between them. The bootstrap draws Q of the Q values with
    replacement, `resamples` times. The number of ones in such a draw is binomial, and the counts
    of different scores are multinomial; so one random number stands for each draw, which gives
    the same distribution without [resamples, Q] indices in memory. Beyond 2,000 different scores
    the draws themselves are faster; 16 of them are in memory at a time.
    """
    correct = np.asarray(correct)
    assert correct.ndim == 1, f"one answer per query, not shape {correct.shape}"
    assert correct.size, "an interval needs at least one answer"
    rng, count = np.random.default_rng(seed), correct.size
    if np.isin(correct, (0, 1)).all():
        means = rng.binomial(count, correct.mean(), resamples) / count
    else:
        shares, often = np.unique(correct, return_counts=True)
        if len(shares) <= 2000:
            means = rng.multinomial(count, often / count, resamples) @ shares / count
        else:
            sizes = [min(16, resamples - start) for start in range(0, resamples, 16)]
            draws = (correct[rng.integers(0, count, (size, count))] for size in sizes)
            means = np.concatenate([draw.mean(axis=1) for draw in draws])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


# ---- both inputs, and each of them alone


def only_together(both: np.ndarray, edit: np.ndarray, image: np.ndarray, k: int = 1) -> np.ndarray:
    """Return [Q] bool: which queries image and edit solve together, and neither of them alone.

    An input solves a query if the target, or the first hit, is among its first `k`. The ranks [Q]
    of the same queries are those of image and edit, of the edit alone, and of the image alone.
    """
    solved, by_edit, by_image = (_checked(ranks) <= k for ranks in (both, edit, image))
    return solved & ~by_edit & ~by_image


def composition_shares(
    both: np.ndarray, edit: np.ndarray, image: np.ndarray, k: int = 1
) -> dict[str, float]:
    """Return the shares of the queries that both inputs solve, that each alone solves, and the gap.

    The composition gap is the share of all queries that image and edit solve together and that
    neither of them solves alone. A query that one input solves alone is a shortcut, whether or not
    both together solve it. After CIRCUS (Attimonelli et al., "Do Composed Image Retrieval
    Benchmarks Require Multimodal Composition?", 2026, arXiv:2605.14787), which ranks each query
    with both inputs and with each alone. The paper pools many retrievers at k = 10 and normalises
    its gap; this gap is one retriever's plain share. The arguments are those of `only_together`.
    """
    return {
        "solved": recall_at_k(both, k),
        "edit_shortcuts": recall_at_k(edit, k),
        "image_shortcuts": recall_at_k(image, k),
        "gap": float(np.mean(only_together(both, edit, image, k))),
    }


# ---- many right answers


def average_precision(hit_ranks: np.ndarray, k: int) -> float:
    """Return AP@k of a query: the precision at each hit up to rank k, summed, over min(hits, k)."""
    hit_ranks = np.asarray(hit_ranks)
    assert hit_ranks.ndim == 1, f"one list of ranks, not shape {hit_ranks.shape}"
    assert hit_ranks.size, "average precision needs at least one hit"
    assert hit_ranks[0] >= 1, "ranks count from 1"
    assert (np.diff(hit_ranks) > 0).all(), "ranks ascend"
    precision = np.arange(1, hit_ranks.size + 1) / hit_ranks
    return float(precision[hit_ranks <= k].sum() / min(hit_ranks.size, k))


def mean_average_precision(hit_ranks: Sequence[np.ndarray], k: int) -> float:
    """Return mAP@k: the mean of AP@k over the queries."""
    return float(np.mean([average_precision(ranks, k) for ranks in hit_ranks]))


def recall_curve(hit_ranks: Sequence[np.ndarray], ks: Sequence[int]) -> dict[int, float]:
    """Return for each k the share of queries with a hit among the first k."""
    first = np.array([ranks[0] for ranks in hit_ranks])
    return {k: recall_at_k(first, k) for k in ks}


def class_figures(hit_ranks: Sequence[np.ndarray]) -> dict[str, float]:
    """Return recall@1, @5 and @10, mAP over the whole gallery, and mAP@R.

    recall@k is the share of queries with a hit among the first k, as usual in metric learning, not
    the share of hits that are found. mAP@R is AP@R averaged over the queries, where R is the
    number of the query's hits (Musgrave, Belongie and Lim, "A Metric Learning Reality Check",
    ECCV 2020, section 3.2).
    """
    assert len(hit_ranks), "the figures need at least one query"
    whole = [average_precision(ranks, int(ranks[-1])) for ranks in hit_ranks]
    first = [average_precision(ranks, len(ranks)) for ranks in hit_ranks]
    return {
        **{f"recall@{k}": value for k, value in recall_curve(hit_ranks, CLASS_KS).items()},
        "map": float(np.mean(whole)),
        "map@r": float(np.mean(first)),
    }


def by_class(
    hit_ranks: Sequence[np.ndarray], query_classes: Sequence[str], gallery_classes: Sequence[str]
) -> list[dict[str, object]]:
    """Return a row for each class that has queries, sorted by name.

    A row has "class", "queries", "gallery_images" and the `class_figures` of the class's queries.
    """
    assert len(hit_ranks) == len(query_classes), f"{len(hit_ranks)} of {len(query_classes)} queries"
    chosen: dict[str, list[np.ndarray]] = {}
    for name, ranks in zip(query_classes, hit_ranks, strict=True):
        chosen.setdefault(name, []).append(ranks)
    images: dict[str, int] = dict.fromkeys(chosen, 0)
    for name in gallery_classes:
        if name in images:
            images[name] += 1
    return [
        {
            "class": name,
            "queries": len(chosen[name]),
            "gallery_images": images[name],
            **class_figures(chosen[name]),
        }
        for name in sorted(chosen)
    ]


# ---- graded answers


def ndcg_at_k(hit_ranks: np.ndarray, grades: np.ndarray, k: int) -> float:
    """Return nDCG@k of a query (Järvelin and Kekäläinen, TOIS 2002): gain over the best gain.

    An image of grade g at rank r gains g / log2(1 + r). The gain is the grade itself, as in
    trec_eval and ir-measures, and not 2^g − 1: a grade of 2 is worth two grades of 1, not three.
    """
    gain = (grades / np.log2(1 + hit_ranks))[hit_ranks <= k].sum()
    best = np.sort(grades)[::-1][:k]
    return float(gain / (best / np.log2(2 + np.arange(len(best)))).sum())


def graded_figures(
    hit_ranks: Sequence[np.ndarray], hit_grades: Sequence[np.ndarray], least_grade: int
) -> dict[str, np.ndarray]:
    """Return every figure of every query, by name: float64 [Q] each.

    A hit of `least_grade` or more is relevant. For each k of GRADED_KS, "p@k" is the precision:
    the relevant images among the first k, over k even where fewer exist. "r@k" is the share of
    the query's relevant images that are among the first k. "ndcg@k" is `ndcg_at_k`, over all
    grades. "mrr" is the reciprocal rank of the first relevant image and "map" the average
    precision over the whole gallery; both have the names of their means over the queries.
    """
    relevant = [
        ranks[grades >= least_grade] for ranks, grades in zip(hit_ranks, hit_grades, strict=True)
    ]
    for ranks in relevant:
        assert ranks.size, f"a query has no answer with a grade of {least_grade} or more"
    graded = list(zip(hit_ranks, hit_grades, strict=True))
    found = {f"p@{k}": [float((own <= k).sum() / k) for own in relevant] for k in GRADED_KS}
    found |= {f"r@{k}": [float((own <= k).mean()) for own in relevant] for k in GRADED_KS}
    found |= {f"ndcg@{k}": [ndcg_at_k(*own, k) for own in graded] for k in GRADED_KS}
    found["mrr"] = [float(1 / own[0]) for own in relevant]
    found["map"] = [average_precision(own, int(own[-1])) for own in relevant]
    return {name: np.array(values) for name, values in found.items()}


# ---- published datasets


def caption_figures(hit_ranks: Sequence[np.ndarray]) -> dict[str, float]:
    """Return recall@k where any image with the target's caption is a hit.

    This is the measure of MIT-States and Fashion200k in Vo et al., "Composing Text and Image for
    Image Retrieval" (TIRG), CVPR 2019, section 4.
    """
    return {f"recall@{k}": value for k, value in recall_curve(hit_ranks, CAPTION_KS).items()}


def fashioniq_figures(target_ranks: np.ndarray) -> dict[str, float]:
    """Return recall@10 and recall@50 of one category of FashionIQ (Wu et al., CVPR 2021)."""
    return {f"recall@{k}": recall_at_k(target_ranks, k) for k in FASHIONIQ_KS}


def fashioniq_average(categories: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return FashionIQ's mean recalls over categories, each category with the same weight.

    "mean" is the mean of the two recalls, by which FashionIQ's leaderboard ranks.
    """
    average = {
        name: float(np.mean([figures[name] for figures in categories]))
        for name in (f"recall@{k}" for k in FASHIONIQ_KS)
    }
    return {**average, "mean": float(np.mean(list(average.values())))}


def cirr_figures(target_ranks: np.ndarray, subset_ranks: np.ndarray) -> dict[str, float]:
    """Return the figures of CIRR (Liu et al., ICCV 2021).

    `target_ranks` are ranks in the gallery without the reference; `subset_ranks` are ranks among
    the five other images of the query's set. "average" is (recall@5 + recall_subset@1) / 2.
    """
    figures = {f"recall@{k}": recall_at_k(target_ranks, k) for k in CIRR_KS}
    figures |= {f"recall_subset@{k}": recall_at_k(subset_ranks, k) for k in CIRR_SUBSET_KS}
    return {**figures, "average": (figures["recall@5"] + figures["recall_subset@1"]) / 2}


def circo_figures(
    hit_ranks: Sequence[np.ndarray], target_ranks: np.ndarray, aspects: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the figures of CIRCO (Baldrati et al., "Zero-Shot Composed Image Retrieval with
    Textual Inversion", ICCV 2023).

    They are mAP@k over all right answers, recall@k of the one target, and mAP@10 for each semantic
    aspect. `aspects` [Q] lists the aspects of each query, which counts for all of them.
    """
    figures = {f"mAP@{k}": mean_average_precision(hit_ranks, k) for k in CIRCO_KS}
    figures |= {f"recall@{k}": recall_at_k(target_ranks, k) for k in CIRCO_KS}
    for aspect in sorted({aspect for own in aspects for aspect in own}):
        chosen = [ranks for ranks, own in zip(hit_ranks, aspects, strict=True) if aspect in own]
        figures[f"mAP@10 {aspect}"] = mean_average_precision(chosen, 10)
    return figures


def _checked(target_ranks: np.ndarray) -> np.ndarray:
    target_ranks = np.asarray(target_ranks)
    assert target_ranks.ndim == 1, f"one rank per query, not shape {target_ranks.shape}"
    assert target_ranks.size, "the metrics need at least one rank"
    assert target_ranks.min() >= 1, "ranks count from 1"
    return target_ranks
