"""A published benchmark answered with vectors, and what its paper measures of the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cir.core.errors import UserError
from cir.core.progress import progress
from cir.published.datasets import Benchmark, Query
from cir.retrieval.ranking.benchmark_metrics import (
    caption_figures,
    circo_figures,
    cirr_figures,
    fashioniq_average,
    fashioniq_figures,
)
from cir.retrieval.ranking.ranking import TIE
from cir.retrieval.ranking.ranking import Query as QueryKind

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
    """Rank the gallery [N, D] for the queries [Q, D] by cosine; all vectors of length one.

    An image that scores as high as a hit goes before it. Scores of `block` queries are in memory
    at a time.
    """
    assert queries.shape == (len(benchmark.queries), gallery.shape[1]), f"{queries.shape}"
    assert len(gallery) == len(benchmark.gallery), f"{len(gallery)} vectors"
    for vectors in (queries, gallery):
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.abs(lengths - 1).max() < 1e-3, "a vector has another length than one"
    rows: list[tuple] = []
    row_of = {name: row for row, name in enumerate(benchmark.gallery)}
    starts = range(0, len(queries), block)
    for start in progress(starts, len(starts), f"ranking for {benchmark.name}", "blocks"):
        scores = queries[start : start + block] @ gallery.T
        for query, row in zip(benchmark.queries[start : start + block], scores, strict=True):
            rows.append(_answer_one(benchmark, query, row, row_of, k))
    return Answers(*zip(*rows, strict=True))


def _answer_one(
    benchmark: Benchmark, query: Query, scores: np.ndarray, row_of: dict[str, int], k: int
) -> tuple[tuple[str, ...], np.ndarray, int, tuple[str, ...]]:
    """The items of `Answers` for one query with its scores [N], which are changed."""
    hits = np.array([row_of[name] for name in query.hits], np.int64)
    scores[hits] -= TIE  # behind whatever ties with it
    size = len(scores)
    if not benchmark.protocol.reference_kept and query.reference in row_of:
        scores[row_of[query.reference]] = -np.inf
        size -= 1
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), np.int64)
    ranks[order] = np.arange(1, len(scores) + 1)
    return (
        tuple(benchmark.gallery[place] for place in order[: min(k, size)]),
        np.sort(ranks[hits]),
        0 if query.target is None else int(ranks[row_of[query.target]]),
        tuple(
            sorted(
                (name for name in query.members if name != query.reference),
                key=lambda name: ranks[row_of[name]],
            )
        ),
    )


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
