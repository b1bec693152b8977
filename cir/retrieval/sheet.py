"""Collect what a sheet of queries shows: references, sentences and the first answers."""

from collections.abc import Sequence

from cir.core.records import Triplet
from cir.drawing.query_sheet import QueryRow
from cir.images.shards import ImageShards
from cir.retrieval.ranking.ranking import Ranking


def query_rows(
    ranking: Ranking,
    triplets: Sequence[Triplet],
    images: ImageShards,
    queries: Sequence[int],
    labels: Sequence[Sequence[str]],
    answers: int = 5,
) -> list[QueryRow]:
    """The rows of these queries (by position), with their first `answers` images.

    `labels` has the labels of the words of each of them.
    """
    rows = []
    for query, words in zip(queries, labels, strict=True):
        triplet, first = triplets[query], ranking.top_ids(query)[:answers]
        rows.append(
            QueryRow(
                reference=images.image(triplet.reference),
                text=triplet.text,
                labels=words,
                answers=[images.image(name) for name in first],
                right=first.index(triplet.target) if triplet.target in first else None,
                target=images.image(triplet.target),
                target_rank=int(ranking.target_ranks[query]),
            )
        )
    return rows
