"""Count the near misses that rank before the target: hard negatives.

Each query has near misses, images that answer it almost. After PinPoint (2026, arXiv:2603.04598),
which asks how often a method returns one of the negatives that people named for each query. Where
nobody named any, the images at hand that are hardest to tell from the answer take their place.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from cir.core.records import Triplet
from cir.retrieval.measuring import Measure
from cir.retrieval.ranking.ranking import TIE
from cir.retrieval.results import NearMisses
from cir.retrieval.task import Task

ALL, REFERENCE, SIBLINGS = "near misses", "the reference", "other targets of the reference"


def near_misses(
    triplets: Sequence[Triplet], gallery: Collection[str]
) -> dict[str, list[frozenset[str]]]:
    """Return the near misses in the gallery for every query: all of them, then by kind.

    If the data names near misses, as drawn scenes do, those are all. Otherwise they are the
    reference itself and the targets that other queries with the same reference ask for. Both kinds
    are listed in either case; the target is never among them.
    """
    there = frozenset(gallery)
    asked_for = defaultdict(set)
    for triplet in triplets:
        asked_for[triplet.reference].add(triplet.target)
    named = [there.intersection(t.near_misses) - {t.target} for t in triplets]
    own = [frozenset({t.reference}) - {t.target} for t in triplets]
    others = [frozenset(asked_for[t.reference]) - {t.target, t.reference} for t in triplets]
    together = [one | other for one, other in zip(own, others, strict=True)]
    return {ALL: named if any(named) else together, REFERENCE: own, SIBLINGS: others}


def images_ahead(task: Task, queries: np.ndarray, images: Sequence[frozenset[str]]) -> np.ndarray:
    """Count for each query vector of [Q, D] those of its `images` that rank before its target: [Q].

    An image that scores as high as the target counts as before it.
    """
    vectors = task.embeddings.vectors
    counts = np.zeros(len(queries), int)
    for query, (own, target) in enumerate(zip(images, task.targets, strict=True)):
        if own:
            scores = vectors[task.rows(own)] @ queries[query]
            counts[query] = (scores >= vectors[target] @ queries[query] - TIE).sum()
    return counts


def measure_near_misses(task: Task, queries: np.ndarray, measure: Measure) -> list[NearMisses]:
    """Measure how often near misses rank before the target, all of them and by kind.

    A kind that no query has is left out.
    """
    rows = []
    for what, images in near_misses(task.triplets, task.embeddings.ids).items():
        ahead, have = images_ahead(task, queries, images), np.array([bool(own) for own in images])
        if have.any():
            rows.append(
                NearMisses(
                    what=what,
                    queries=int(have.sum()),
                    images=sum(map(len, images)),
                    any_ahead=float((ahead[have] > 0).mean()),
                    any_ahead_interval95=measure.interval(ahead[have] > 0),
                    mean_ahead=float(ahead[have].mean()),
                )
            )
    return rows
