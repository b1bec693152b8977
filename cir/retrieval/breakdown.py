"""Break accuracy down by kind of edit and number of objects, and list the queries that failed."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from cir.core.records import Edit, Triplet
from cir.edits.reading.metrics import same_edit
from cir.retrieval.ranking.ranking import Ranking


def kind_of(edit: Edit) -> str:
    """Return how many objects an edit adds and removes: "+2 -1"."""
    return f"+{len(edit.add)} -{len(edit.remove)}"


def edits_to_group_by(triplets: Sequence[Triplet], tagged: Sequence[Edit]) -> list[Edit]:
    """Return the true edit of every query, or the tagged edit if the data source has none."""
    return [triplet.edit or edit for triplet, edit in zip(triplets, tagged, strict=True)]


def accuracy_by(
    name: str, keys: Sequence[str] | Sequence[int], correct: np.ndarray
) -> list[dict[str, object]]:
    """Return count and accuracy for each key, which stands under `name`; rows are sorted by key."""
    keys_of = np.array(keys)
    return [
        {
            name: key,
            "queries": int((keys_of == key).sum()),
            "accuracy": float(correct[keys_of == key].mean()),
        }
        for key in sorted(set(keys))
    ]


def error_counts(
    ranking: Ranking, triplets: Sequence[Triplet], tagged: Sequence[Edit]
) -> list[dict[str, object]]:
    """Count what came first instead of the target, and how many of these edits were misread."""
    counts = Counter({"own reference": 0, "own near miss": 0, "another image": 0, "a tie": 0})
    misread = 0
    for row in np.flatnonzero(~ranking.correct):
        triplet, first = triplets[row], ranking.top_ids(row)[0]
        if first == triplet.reference:
            counts["own reference"] += 1
        elif first in triplet.near_misses:
            counts["own near miss"] += 1
        elif first == triplet.target:
            counts["a tie"] += 1
        else:
            counts["another image"] += 1
        misread += triplet.edit is not None and not same_edit(triplet.edit, tagged[row])
    counts["after a misread sentence"] = misread
    return [{"cause": cause, "queries": number} for cause, number in counts.items()]


def failures(
    ranking: Ranking, triplets: Sequence[Triplet], tagged: Sequence[Edit]
) -> list[dict[str, object]]:
    """Return a row for every query whose target did not come first, the worst rank first."""
    rows = [
        {
            "query": triplets[row].id,
            "sentence": triplets[row].text,
            "add": ", ".join(tagged[row].add),
            "remove": ", ".join(tagged[row].remove),
            "reference": triplets[row].reference,
            "target": triplets[row].target,
            "first": ranking.top_ids(row)[0],
            "target_rank": int(ranking.target_ranks[row]),
            "target_score": float(ranking.target_scores[row]),
            "first_score": float(ranking.top_scores[row, 0]),
        }
        for row in np.flatnonzero(~ranking.correct)
    ]
    return sorted(rows, key=lambda row: -row["target_rank"])


def answers(
    ranking: Ranking, triplets: Sequence[Triplet], tagged: Sequence[Edit], shown: int = 5
) -> list[dict[str, object]]:
    """Return a row for every query: the request, the first `shown` answers, the target's rank."""
    edits = edits_to_group_by(triplets, tagged)
    return [
        {
            "query": triplet.id,
            "kind": kind_of(edits[row]),
            "objects": len(edits[row].add) + len(edits[row].remove),
            "novel": triplet.novel,
            "sentence": triplet.text,
            "reference": triplet.reference,
            "target": triplet.target,
            "rank": int(ranking.target_ranks[row]),
            "target_score": float(ranking.target_scores[row]),
            "answers": ranking.top_ids(row)[:shown],
            "scores": [float(score) for score in ranking.top_scores[row, :shown]],
        }
        for row, triplet in enumerate(triplets)
    ]


def spread(rows: Sequence[int], kinds: Sequence[str], count: int) -> list[int]:
    """Choose up to `count` of the query numbers `rows`, in turn from each kind of edit."""
    by_kind: dict[str, list[int]] = {kind: [] for kind in sorted(set(kinds))}
    for row in rows:
        by_kind[kinds[row]].append(int(row))
    turns = zip_longest(*by_kind.values())
    return [row for turn in turns for row in turn if row is not None][:count]
