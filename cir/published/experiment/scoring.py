"""Rank the gallery of a published query set, and score the answers by its protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cir.core.errors import UserError
from cir.published.datasets import QuerySet
from cir.retrieval.ranking.metrics import (
    caption_figures,
    circo_figures,
    cirr_figures,
    fashioniq_average,
    fashioniq_figures,
)
from cir.retrieval.ranking.protocol import Query as QueryKind
from cir.retrieval.ranking.ranking import cosine, lowered_blocks

Row = dict[str, object]


@dataclass(frozen=True)
class Answers:
    """The answers to a query set; every tuple has one item for each query.

    `top`: the ids of the first images, best first. `hit_ranks`: the ascending ranks of all hits,
    from 1. `target_ranks`: the ranks of the targets, 0 where a query has none. `members`: the
    other images of the query's image set, best first.
    """

    top: tuple[tuple[str, ...], ...]
    hit_ranks: tuple[np.ndarray, ...]
    target_ranks: tuple[int, ...]
    members: tuple[tuple[str, ...], ...]


def averaged(query_set: QuerySet, vectors: np.ndarray) -> np.ndarray:
    """Average the vectors [T, D] of each query's texts, and scale the means to length one: [Q, D].

    The texts come in the order of the queries.
    """
    counts = [len(query.texts) for query in query_set.queries]
    assert len(vectors) == sum(counts), f"{len(vectors)} vectors for {sum(counts)} texts"
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(vectors, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def answer(
    query_set: QuerySet,
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int = 50,
    block: int = 64,
) -> Answers:
    """Rank the gallery [N, D] for the queries [Q, D] by cosine; all vectors have length one.

    An image that scores as high as a hit goes before the hit. Scores of `block` queries are in
    memory at a time.
    """
    assert queries.shape == (len(query_set.queries), gallery.shape[1]), f"{queries.shape}"
    assert len(gallery) == len(query_set.gallery), f"{len(gallery)} vectors"
    row_of = {name: row for row, name in enumerate(query_set.gallery)}
    hits = [np.array([row_of[name] for name in one.hits], np.int64) for one in query_set.queries]
    references = np.array([row_of.get(one.reference, -1) for one in query_set.queries])
    excluded = None if query_set.protocol.reference_kept else references
    scores, what = cosine(queries, gallery), f"ranking for {query_set.name}"
    blocks = lowered_blocks(
        scores, len(gallery), hits, excluded=excluded, block=block, what=what, show=True
    )
    rows: list[tuple] = []
    for numbers, _, lowered in blocks:
        for query, own, row in zip(query_set.queries[numbers], hits[numbers], lowered, strict=True):
            order = np.argsort(-row, kind="stable")
            ranks = np.empty(len(row), np.int64)
            ranks[order] = np.arange(1, len(row) + 1)
            top = order[: min(k, np.isfinite(row).sum())]
            members = {name: ranks[row_of[name]] for name in query.members}
            members.pop(query.reference, None)
            rows.append(
                (
                    tuple(query_set.gallery[place] for place in top),
                    np.sort(ranks[own]),
                    0 if query.target is None else int(ranks[row_of[query.target]]),
                    tuple(sorted(members, key=members.get)),
                )
            )
    return Answers(*zip(*rows, strict=True))


def _of_captions(query_set: QuerySet, answers: Answers) -> dict[str, float]:
    return caption_figures(answers.hit_ranks)


def _of_fashioniq(query_set: QuerySet, answers: Answers) -> dict[str, float]:
    return fashioniq_figures(np.array(answers.target_ranks))


def _of_cirr(query_set: QuerySet, answers: Answers) -> dict[str, float]:
    pairs = zip(query_set.queries, answers.members, strict=True)
    subset_ranks = np.array([1 + members.index(query.target) for query, members in pairs])
    return cirr_figures(np.array(answers.target_ranks), subset_ranks)


def _of_circo(query_set: QuerySet, answers: Answers) -> dict[str, float]:
    aspects = [query.aspects for query in query_set.queries]
    return circo_figures(answers.hit_ranks, np.array(answers.target_ranks), aspects)


FIGURES: dict[str, Callable[[QuerySet, Answers], dict[str, float]]] = {
    "MIT-States": _of_captions,
    "Fashion200k": _of_captions,
    "FashionIQ": _of_fashioniq,
    "CIRR": _of_cirr,
    "CIRCO": _of_circo,
    "Drawn attributes": _of_captions,
}


def results(
    query_sets: Sequence[QuerySet],
    answers: Sequence[Answers],
    query: QueryKind,
    edit: Literal["tagged", "true", "none"],
) -> list[Row]:
    """Return a row of figures and their protocol for each query set, and FashionIQ's average last.

    `query` and `edit` say what the query vectors were made of. Raises UserError for a query set
    whose answers are withheld.
    """
    rows = []
    for query_set, given in zip(query_sets, answers, strict=True):
        if not query_set.labelled:
            raise UserError(cannot_be_scored(query_set))
        protocol = replace(query_set.protocol, query=query, edit=edit)
        rows.append(
            {
                "what": query_set.name,
                "queries": len(query_set.queries),
                "gallery_size": len(query_set.gallery),
                **FIGURES[query_set.protocol.dataset](query_set, given),
                "protocol": protocol.to_dict(),
            }
        )
    return rows + _average(rows)


def cannot_be_scored(query_set: QuerySet) -> str:
    """Return the sentence that says that the answers to a query set are withheld."""
    return (
        f"{query_set.name} cannot be scored: the answers of all its {len(query_set.queries):,} "
        "queries are withheld"
    )


def _average(rows: Sequence[Row]) -> list[Row]:
    """Return the row that averages FashionIQ over the measured categories, if there are any."""
    of = [row for row in rows if row["protocol"]["dataset"] == "FashionIQ"]
    if not of:
        return []
    protocols = [row["protocol"] for row in of]
    joined = {**protocols[0], "split": ", ".join(one["split"] for one in protocols)}
    lost = [f"{one['split']}: {one['left_out']}" for one in protocols if "left_out" in one]
    if lost:
        joined["left_out"] = "; ".join(lost)
    return [
        {
            "what": f"FashionIQ, average of {len(of)} categories",
            "queries": sum(row["queries"] for row in of),
            **fashioniq_average(of),
            "protocol": joined,
        }
    ]


def said(row: Row) -> str:
    """Put a row of `results` into a line for the screen."""
    figures = (f"{name} {value:.2%}" for name, value in row.items() if isinstance(value, float))
    return f"{row['what']}: {', '.join(figures)} of {row['queries']:,} queries"
