"""Score the retriever on a test split, also by kind of query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from cir.core.errors import UserError
from cir.core.metrics_files import Fingerprint
from cir.core.progress import progress
from cir.core.records import Edit, Triplet
from cir.edits.reading.metrics import same_edit
from cir.images.shards import ImageShards
from cir.retrieval.breakdown import accuracy_by, edits_to_group_by, error_counts, kind_of
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.ranking.metrics import bootstrap_interval, mean_reciprocal_rank, recall_at_k
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import Ranking, rank
from cir.retrieval.results import Absent, Figures, Metrics, Result
from cir.retrieval.retriever import Retriever

CURVE = (1, 2, 3, 5, 10, 20, 50, 100)
TARGETS_AND_REFERENCES, TRUE_EDITS = "targets and references only", "true edits"


@dataclass(frozen=True)
class Scores:
    """The metrics and the rankings behind them.

    `hard` ranks the whole gallery. `contest_like` ranks only targets and references; it is None if
    the gallery holds nothing else. Both use the tagged `edits`, one for each query.
    """

    metrics: Metrics
    edits: Sequence[Edit]
    hard: Ranking
    contest_like: Ranking | None


@dataclass(frozen=True)
class Task:
    """The test queries and the embedded gallery. Raises UserError if an image is missing."""

    triplets: Sequence[Triplet]
    embeddings: Embeddings

    def __post_init__(self) -> None:
        if not self.triplets:
            raise UserError("the test split holds no queries to score")
        known = set(self.embeddings.ids)
        lacking = {t.target for t in self.triplets} | {t.reference for t in self.triplets}
        lacking -= known
        if lacking:
            raise UserError(
                f"the embedded gallery lacks {len(lacking)} images of the queries, such as "
                f"{min(lacking)}: run the embed_gallery stage again"
            )

    def rows(self, names: Iterable[str]) -> np.ndarray:
        """Return the gallery rows of these images."""
        row_of = {name: row for row, name in enumerate(self.embeddings.ids)}
        return np.array([row_of[name] for name in names])

    @property
    def contest_like(self) -> np.ndarray:
        """Return [N] bool: which images are the target or reference of a query."""
        mask = np.zeros(len(self.embeddings.ids), bool)
        mask[self.rows(t.target for t in self.triplets)] = True
        mask[self.rows(t.reference for t in self.triplets)] = True
        return mask

    def rank(self, queries: np.ndarray, allowed: np.ndarray | None = None) -> Ranking:
        """Rank the gallery for query vectors [Q, D]."""
        return rank(
            queries,
            self.embeddings.vectors,
            [t.id for t in self.triplets],
            self.embeddings.ids,
            self.rows(t.target for t in self.triplets),
            allowed=allowed,
        )


def score(
    retriever: Retriever,
    images: ImageShards,
    task: Task,
    seed: int,
    resamples: int = 10_000,
    fingerprints: Sequence[Fingerprint] = (),
) -> Scores:
    """Rank the gallery for every query, and measure how often the target comes first.

    Each ranking has a result with its protocol. If the data source does not allow a result (true
    edits, names never trained on), `absent` gives the reason instead.
    """
    triplets = task.triplets
    edits = retriever.tagger.tag([triplet.text for triplet in triplets])
    queries = query_vectors(retriever, images, triplets, edits)
    core, hard, part = task.contest_like, task.rank(queries), None
    protocol = Protocol("contest-like" if core.all() else "hard")
    measure = partial(_result, seed=seed, resamples=resamples)
    results, absent = [measure("tagged edits", hard, protocol)], []
    novel = np.array([triplet.novel for triplet in triplets])
    for kind, chosen in (("seen", ~novel), ("novel", novel)):
        if chosen.any():
            results.append(measure(f"{kind} names", hard, protocol, chosen))
        else:
            why = f"the source has no queries with {kind} names"
            absent.append(Absent(what=f"{kind} names", why=why))
    if core.all():
        why = "every gallery image is some query's target or reference"
        absent.append(Absent(what=TARGETS_AND_REFERENCES, why=why))
    else:
        part = task.rank(queries, core)
        results.append(measure(TARGETS_AND_REFERENCES, part, Protocol("contest-like")))
    if any(triplet.edit is None for triplet in triplets):
        why = "the source gives sentences without their edits"
        absent.append(Absent(what=TRUE_EDITS, why=why))
    else:
        mended = _ranked_by_true_edits(retriever, images, task, edits, queries)
        results.append(measure(TRUE_EDITS, mended, Protocol(protocol.gallery, edit="true")))
    references = task.embeddings.vectors[task.rows(t.reference for t in triplets)]
    image_only, edit_only = task.rank(references), task.rank(_edit_vectors(retriever, edits))
    results.append(measure("image only", image_only, Protocol(protocol.gallery, "image", "none")))
    results.append(measure("edit only", edit_only, Protocol(protocol.gallery, "edit", "tagged")))
    accuracies = {result.what: result.accuracy for result in results}
    metrics = Metrics(
        **results[0].model_dump(include=set(Figures.model_fields)),
        novel_accuracy=accuracies.get("novel names"),
        results=results,
        **_groups(triplets, edits, hard.correct),
        errors=error_counts(hard, triplets, edits),
        absent=absent,
        fingerprints=fingerprints,
    )
    return Scores(metrics, edits, hard, part)


def _result(
    what: str,
    ranking: Ranking,
    protocol: Protocol,
    chosen: np.ndarray | None = None,
    *,
    seed: int,
    resamples: int,
) -> Result:
    """Return the figures of all queries, or of the `chosen` ones, bool [Q]."""
    ranks = ranking.target_ranks if chosen is None else ranking.target_ranks[chosen]
    correct = ranks == 1
    return Result(
        what=what,
        queries=len(ranks),
        gallery_size=ranking.gallery_size,
        accuracy=float(correct.mean()),
        interval95=bootstrap_interval(correct, seed, resamples),
        recall_at_5=recall_at_k(ranks, 5),
        recall_at_10=recall_at_k(ranks, 10),
        mrr=mean_reciprocal_rank(ranks),
        protocol=protocol.to_dict(),
    )


def query_vectors(
    retriever: Retriever, images: ImageShards, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> np.ndarray:
    """Return query vectors [Q, D] of length one, with one batch of images in memory at a time."""
    size = retriever.batch_size
    starts = range(0, len(triplets), size)
    batches = progress(starts, len(starts), "encoding the queries", "batches")
    parts = [np.zeros((0, retriever.encoder.dim), np.float32)]
    for start in batches:
        references = [images.image(t.reference) for t in triplets[start : start + size]]
        parts.append(retriever.encode_edits(references, edits[start : start + size]))
    return np.concatenate(parts)


def _groups(
    triplets: Sequence[Triplet], tagged: Sequence[Edit], correct: np.ndarray
) -> dict[str, list[dict[str, object]]]:
    """Return accuracy by kind of edit and by number of objects."""
    edits = edits_to_group_by(triplets, tagged)
    kinds = accuracy_by("kind", [kind_of(edit) for edit in edits], correct)
    counts = {kind_of(edit): (len(edit.add), len(edit.remove)) for edit in edits}
    for row in kinds:
        row["added"], row["removed"] = counts[row["kind"]]
    objects = [len(edit.add) + len(edit.remove) for edit in edits]
    return {"by_kind": kinds, "by_objects": accuracy_by("objects", objects, correct)}


def _ranked_by_true_edits(
    retriever: Retriever,
    images: ImageShards,
    task: Task,
    tagged: Sequence[Edit],
    queries: np.ndarray,
) -> Ranking:
    """Rank with the true edits and all else the same, which shows what the tagger costs.

    Only the queries whose sentence was misread are encoded again.
    """
    true = [triplet.edit for triplet in task.triplets]
    misread = [row for row, edit in enumerate(tagged) if not same_edit(true[row], edit)]
    mended = queries.copy()
    if misread:
        triplets = [task.triplets[row] for row in misread]
        edits = [true[row] for row in misread]
        mended[misread] = query_vectors(retriever, images, triplets, edits)
    return task.rank(mended)


@torch.inference_mode()
def _edit_vectors(retriever: Retriever, edits: Sequence[Edit]) -> np.ndarray:
    """Compose each edit with zeros as image features: [Q, D], zeros where an edit is empty."""
    model, size = retriever.model, retriever.batch_size
    parts = []
    for start in range(0, len(edits), size):
        batch = edits[start : start + size]
        nothing = torch.zeros(len(batch), model.encoder.dim, device=model.encoder.device)
        composed = model.composer(nothing, model.encode_edits(batch))
        parts.append(functional.normalize(composed, dim=1).float().cpu().numpy())
    return np.concatenate(parts)


def recall_curves(scores: Scores) -> list[dict[str, float]]:
    """Return recall by k for the whole gallery, and for targets and references if ranked."""
    rows = []
    for k in CURVE:
        row: dict[str, float] = {"k": k, "recall": recall_at_k(scores.hard.target_ranks, k)}
        if scores.contest_like is not None:
            row["recall_contest_like"] = recall_at_k(scores.contest_like.target_ranks, k)
        rows.append(row)
    return rows
