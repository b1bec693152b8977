"""A published benchmark answered with vectors, and what its paper measures of the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cir.core.errors import UserError
from cir.published.datasets import Benchmark
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
    """What a benchmark's queries were answered with; every tuple has one item for each of them.

    `top`: the first ids, best first. `hit_ranks`: the ranks of all hits, ascending, from 1.
    `target_ranks`: those of the targets, 0 where a query has none. `members`: the other images of
    the query's image set, best first.
    """

    top: tuple[tuple[str, ...], ...]
    hit_ranks: tuple[np.ndarray, ...]
    target_ranks: tuple[int, ...]
    members: tuple[tuple[str, ...], ...]


def averaged(benchmark: Benchmark, vectors: np.ndarray) -> np.ndarray:
    """One vector of length one for each query from one for each text, [T, D] to [Q, D].

    The texts come in the order of the queries; those of one query are averaged.
    """
    counts = [len(query.texts) for query in benchmark.queries]
    assert len(vectors) == sum(counts), f"{len(vectors)} vectors for {sum(counts)} texts"
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(vectors, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def answer(
    benchmark: Benchmark,
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int = 50,
    block: int = 64,
) -> Answers:
    """Rank the gallery [N, D] for the queries [Q, D] by cosine; all vectors have length one.

    An image that scores as high as a hit goes before the hit. Scores of `block` queries are in
    memory at a time.
    """
    assert queries.shape == (len(benchmark.queries), gallery.shape[1]), f"{queries.shape}"
    assert len(gallery) == len(benchmark.gallery), f"{len(gallery)} vectors"
    row_of = {name: row for row, name in enumerate(benchmark.gallery)}
    hits = [np.array([row_of[name] for name in one.hits], np.int64) for one in benchmark.queries]
    references = np.array([row_of.get(one.reference, -1) for one in benchmark.queries])
    excluded = None if benchmark.protocol.reference_kept else references
    scores, what = cosine(queries, gallery), f"ranking for {benchmark.name}"
    blocks = lowered_blocks(
        scores, len(gallery), hits, excluded=excluded, block=block, what=what, show=True
    )
    rows: list[tuple] = []
    for numbers, _, lowered in blocks:
        for query, own, row in zip(benchmark.queries[numbers], hits[numbers], lowered, strict=True):
            order = np.argsort(-row, kind="stable")
            ranks = np.empty(len(row), np.int64)
            ranks[order] = np.arange(1, len(row) + 1)
            top = order[: min(k, np.isfinite(row).sum())]
            members = {name: ranks[row_of[name]] for name in query.members}
            members.pop(query.reference, None)
            rows.append(
                (
                    tuple(benchmark.gallery[place] for place in top),
                    np.sort(ranks[own]),
                    0 if query.target is None else int(ranks[row_of[query.target]]),
                    tuple(sorted(members, key=members.get)),
                )
            )
    return Answers(*zip(*rows, strict=True))


def _of_captions(benchmark: Benchmark, answers: Answers) -> dict[str, float]:
    return caption_figures(answers.hit_ranks)


def _of_fashioniq(benchmark: Benchmark, answers: Answers) -> dict[str, float]:
    return fashioniq_figures(np.array(answers.target_ranks))


def _of_cirr(benchmark: Benchmark, answers: Answers) -> dict[str, float]:
    pairs = zip(benchmark.queries, answers.members, strict=True)
    subset_ranks = np.array([1 + members.index(query.target) for query, members in pairs])
    return cirr_figures(np.array(answers.target_ranks), subset_ranks)


def _of_circo(benchmark: Benchmark, answers: Answers) -> dict[str, float]:
    aspects = [query.aspects for query in benchmark.queries]
    return circo_figures(answers.hit_ranks, np.array(answers.target_ranks), aspects)


FIGURES: dict[str, Callable[[Benchmark, Answers], dict[str, float]]] = {
    "MIT-States": _of_captions,
    "Fashion200k": _of_captions,
    "FashionIQ": _of_fashioniq,
    "CIRR": _of_cirr,
    "CIRCO": _of_circo,
    "Drawn attributes": _of_captions,
}


def results(
    benchmarks: Sequence[Benchmark],
    answers: Sequence[Answers],
    query: QueryKind,
    edit: Literal["tagged", "true", "none"],
) -> list[Row]:
    """A row of figures with its protocol for each benchmark, and FashionIQ's average as the last.

    `query` and `edit` say what the query vectors were made of.

    Raises UserError for a benchmark whose answers are withheld.
    """
    rows = []
    for benchmark, given in zip(benchmarks, answers, strict=True):
        if not benchmark.labelled:
            raise UserError(cannot_be_scored(benchmark))
        protocol = replace(benchmark.protocol, query=query, edit=edit)
        rows.append(
            {
                "what": benchmark.name,
                "queries": len(benchmark.queries),
                "gallery_size": len(benchmark.gallery),
                **FIGURES[benchmark.protocol.dataset](benchmark, given),
                "protocol": protocol.to_dict(),
            }
        )
    return rows + _average(rows)


def cannot_be_scored(benchmark: Benchmark) -> str:
    """Says of a benchmark without answers that it is one."""
    return (
        f"{benchmark.name} cannot be scored: the answers of all its {len(benchmark.queries):,} "
        "queries are withheld"
    )


def _average(rows: Sequence[Row]) -> list[Row]:
    """FashionIQ's row over the categories that were measured."""
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
    """A row of `results` as a line for the screen."""
    figures = (f"{name} {value:.2%}" for name, value in row.items() if isinstance(value, float))
    return f"{row['what']}: {', '.join(figures)} of {row['queries']:,} queries"
