"""The figures of class-level retrieval, where every image of the query's class is a hit.

Functions of hit ranks: for each query the ascending ranks, from 1, of all its hits.
"""

from collections.abc import Sequence

import numpy as np

from cir.retrieval.ranking.benchmark_metrics import average_precision
from cir.retrieval.ranking.metrics import recall_at_k

RECALL_KS = (1, 5, 10)


def figures(hit_ranks: Sequence[np.ndarray]) -> dict[str, float]:
    """Recall@1, @5 and @10, mAP over the whole gallery, and mAP@R, as shares.

    recall@k is the share of queries with a hit among the first k, as the field has it (not the
    share of hits that are found). "map" is the mean over queries of the mean precision at each
    hit. "map@r" looks at the first R alone, R being how many hits the query has, and counts the
    precision where there is one, over R (Musgrave, Belongie and Lim, ECCV 2020, section 3.2).
    """
    assert len(hit_ranks), "the figures need at least one query"
    whole = [average_precision(ranks, int(ranks[-1])) for ranks in hit_ranks]
    first = [average_precision(ranks, len(ranks)) for ranks in hit_ranks]
    return {
        **{f"recall@{k}": value for k, value in recall_curve(hit_ranks, RECALL_KS).items()},
        "map": float(np.mean(whole)),
        "map@r": float(np.mean(first)),
    }


def recall_curve(hit_ranks: Sequence[np.ndarray], ks: Sequence[int]) -> dict[int, float]:
    """Recall@k by k."""
    first = np.array([ranks[0] for ranks in hit_ranks])
    return {k: recall_at_k(first, k) for k in ks}


def by_class(
    hit_ranks: Sequence[np.ndarray], query_classes: Sequence[str], gallery_classes: Sequence[str]
) -> list[dict[str, object]]:
    """A row for each class that has queries, in the order of their names.

    "class", "queries" and "gallery_images" are followed by the figures of these queries.
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
            **figures(chosen[name]),
        }
        for name in sorted(chosen)
    ]
