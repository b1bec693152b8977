"""Rank the gallery of a published query set, and score the answers by its protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cir.core.errors import UserError
from cir.published.datasets import QuerySet
from cir.retrieval.ranking.metrics import (
    COMPOSITION_KS,
    caption_figures,
    circo_figures,
    cirr_figures,
    composition_shares,
    fashioniq_average,
    fashioniq_figures,
)
from cir.retrieval.ranking.protocol import Query as QueryKind
from cir.retrieval.ranking.ranking import cosine, lowered_blocks

Row = dict[str, object]
# What the vectors of a query set are made of; the last two are keys of the rows.
INPUTS = BOTH, EDIT, IMAGE = "both", "edit_alone", "image_alone"


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

    The texts come in the order of the queries. A mean of zeros stays zeros.
    """
    counts = [len(query.texts) for query in query_set.queries]
    assert len(vectors) == sum(counts), f"{len(vectors)} vectors for {sum(counts)} texts"
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(vectors, starts, axis=0)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def answer(
    query_set: QuerySet,
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int = 50,
    block: int = 64,
) -> Answers:
    """Rank the gallery [N, D] for the queries [Q, D] by cosine; all vectors have length one.

    A query of zeros, such as an edit in which no object was found, scores all images alike.

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
    by_input: Sequence[Mapping[str, Answers]] = (),
) -> list[Row]:
    """Return a row of figures and their protocol for each query set, and FashionIQ's average last.

    `query` and `edit` say what the query vectors were made of. With the answers `by_input`, a row
    also has the figures of the edit alone and of the image alone, and the composition gap; an input
    solves a query if a right answer is among its first k. Raises UserError for a query set whose
    answers are withheld.
    """
    rows = []
    alone = by_input or [{}] * len(answers)
    for query_set, given, inputs in zip(query_sets, answers, alone, strict=True):
        if not query_set.labelled:
            raise UserError(cannot_be_scored(query_set))
        protocol = replace(query_set.protocol, query=query, edit=edit)
        rows.append(
            {
                "what": query_set.name,
                "queries": len(query_set.queries),
                "gallery_size": len(query_set.gallery),
                **FIGURES[query_set.protocol.dataset](query_set, given),
                **_by_input(query_set, inputs),
                "protocol": protocol.to_dict(),
            }
        )
    return rows + _average(rows)


def _by_input(query_set: QuerySet, answers: Mapping[str, Answers]) -> Row:
    """Return what a row says of each input alone and of the composition gap, if it was asked."""
    if not answers:
        return {}
    figures = FIGURES[query_set.protocol.dataset]
    first = [np.array([ranks[0] for ranks in answers[name].hit_ranks]) for name in INPUTS]
    composition = [{"k": k, **composition_shares(*first, k)} for k in COMPOSITION_KS]
    return {
        "composition_gap": composition[0]["gap"],
        **{name: figures(query_set, answers[name]) for name in (EDIT, IMAGE)},
        "composition": composition,
    }


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
    row = {
        "what": f"FashionIQ, average of {len(of)} categories",
        "queries": sum(row["queries"] for row in of),
        **fashioniq_average(of),
    }
    if all("composition_gap" in one for one in of):
        row["composition_gap"] = float(np.mean([one["composition_gap"] for one in of]))
        row |= {name: fashioniq_average([one[name] for one in of]) for name in (EDIT, IMAGE)}
    return [{**row, "protocol": joined}]


def said(row: Row) -> str:
    """Put a row of `results` into a line for the screen; brackets have the inputs alone."""
    told = []
    for name, value in row.items():
        if isinstance(value, float):
            alone = {"edit alone": row.get(EDIT, {}), "image alone": row.get(IMAGE, {})}
            inside = [f"{who} {of[name]:.2%}" for who, of in alone.items() if name in of]
            told.append(f"{name} {value:.2%}" + (f" ({', '.join(inside)})" if inside else ""))
    return f"{row['what']}: {', '.join(told)} of {row['queries']:,} queries"
