"""Turn rankings into results with intervals, and measure how much both inputs are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cir.retrieval.ranking.metrics import (
    COMPOSITION_KS,
    bootstrap_interval,
    composition_shares,
    mean_reciprocal_rank,
    only_together,
    recall_at_k,
)
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import Ranking
from cir.retrieval.results import Absent, Composition, Figures, Gain, KindFigures, Result
from cir.retrieval.task import Task

BOTH, EDIT, IMAGE = "image and edit", "edit alone", "image alone"
REMOVED = "reference removed"


@dataclass(frozen=True)
class Measure:
    """Measures rankings; all intervals are drawn from `seed`, with `resamples` draws each."""

    seed: int
    resamples: int = 10_000

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """Return the 95% bootstrap interval of the mean of `values` [Q]."""
        return bootstrap_interval(values, self.seed, self.resamples)

    def figures(self, ranks: np.ndarray) -> Figures:
        """Return the figures of target ranks [Q]."""
        return Figures(
            accuracy=float((ranks == 1).mean()),
            interval95=self.interval(ranks == 1),
            recall_at_5=recall_at_k(ranks, 5),
            recall_at_5_interval95=self.interval(ranks <= 5),
            recall_at_10=recall_at_k(ranks, 10),
            recall_at_10_interval95=self.interval(ranks <= 10),
            mrr=mean_reciprocal_rank(ranks),
            mrr_interval95=self.interval(1 / ranks),
        )

    def gains(self, before: np.ndarray, after: np.ndarray) -> list[Gain]:
        """Return by how much target ranks [Q] differ from earlier ones of the same queries."""
        scores = {"accuracy": lambda r: r == 1, "mrr": lambda r: 1 / r}
        scores |= {f"recall@{k}": lambda r, k=k: r <= k for k in (5, 10)}
        differences = {
            name: score(after).astype(float) - score(before).astype(float)
            for name, score in scores.items()
        }
        return [
            Gain(figure=name, difference=float(values.mean()), interval95=self.interval(values))
            for name, values in differences.items()
        ]

    def result(
        self, what: str, ranking: Ranking, protocol: Protocol, chosen: np.ndarray | None = None
    ) -> Result:
        """Return the figures of all queries, or of the `chosen` ones, bool [Q]."""
        ranks = ranking.target_ranks if chosen is None else ranking.target_ranks[chosen]
        return Result(
            **self.figures(ranks).model_dump(),
            what=what,
            queries=len(ranks),
            gallery_size=ranking.gallery_size,
            protocol=protocol.to_dict(),
        )

    def composition(
        self, ranks: Mapping[str, np.ndarray], reference_kept: bool, kind: str | None = None
    ) -> list[Composition]:
        """Return a row for each k of COMPOSITION_KS; `ranks` has the target ranks [Q] by input."""
        inputs = ranks[BOTH], ranks[EDIT], ranks[IMAGE]
        return [
            Composition(
                k=k,
                reference_kept=reference_kept,
                kind=kind,
                queries=len(inputs[0]),
                **composition_shares(*inputs, k),
                gap_interval95=self.interval(only_together(*inputs, k)),
            )
            for k in COMPOSITION_KS
        ]


@dataclass(frozen=True)
class ByInput:
    """What image and edit find together, and each of them alone.

    `results` are first those with the reference in the gallery, then those with it taken out, in
    the order of the names that were asked for; `by_kind` breaks them down.
    """

    results: list[Result]
    by_kind: list[KindFigures]
    composition: list[Composition]
    absent: list[Absent]


def measure_inputs(
    task: Task,
    queries: np.ndarray,
    edits: np.ndarray,
    protocol: Protocol,
    names: Mapping[str, str],
    measure: Measure,
    kinds: Sequence[str] = (),
) -> ByInput:
    """Rank the gallery by both inputs and by each alone, the reference kept and taken out.

    Args:
        queries, edits: vectors [Q, D] of image and edit, and of the edit alone.
        protocol: that of image and edit, the reference kept.
        names: what the results are called, by input.
        kinds: the kinds of the queries' edits; without them nothing is broken down.
    """
    vectors = {BOTH: queries, EDIT: edits, IMAGE: task.image_vectors}
    words = "sentence" if "sentence" in protocol.query else "edit"
    protocols = {
        BOTH: protocol,
        EDIT: replace(protocol, query=words),
        IMAGE: replace(protocol, query="image", edit="none"),
    }
    found = ByInput([], [], [], [])
    for kept in (True, False):
        chosen = np.flatnonzero(kept | task.moving)
        if not len(chosen):
            why = "every query has its own reference as its target"
            found.absent.append(Absent(what=REMOVED, why=why))
            continue
        part, ranks = task.part(chosen), {}
        for name, called in names.items():
            ranking = part.rank(vectors[name][chosen], reference_kept=kept)
            ranks[name] = ranking.target_ranks
            what = called if kept else f"{called}, {REMOVED}"
            its_own = replace(protocols[name], reference_kept=kept)
            found.results.append(measure.result(what, ranking, its_own))
        found.composition.extend(measure.composition(ranks, kept))
        kinds_here = np.array([kinds[row] for row in chosen] if kinds else [])
        for kind in np.unique(kinds_here).tolist():
            own = {name: of[kinds_here == kind] for name, of in ranks.items()}
            found.composition.extend(measure.composition(own, kept, kind))
            found.by_kind.extend(
                KindFigures(
                    **measure.figures(of).model_dump(),
                    **{"what": names[name], "reference_kept": kept},
                    **{"kind": kind, "queries": len(of)},
                )
                for name, of in own.items()
            )
    return found
