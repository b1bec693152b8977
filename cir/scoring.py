"""How well the retriever does on a test split, taken apart by what the queries ask for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from cir.breakdown import accuracy_by, edits_to_group_by, error_counts, kind_of
from cir.datasets.shards import ImageShards
from cir.embedding import Embeddings
from cir.errors import UserError
from cir.metrics import bootstrap_interval, mean_reciprocal_rank, recall_at_k
from cir.progress import progress
from cir.ranking import Protocol, Ranking, rank
from cir.records import Edit, Triplet
from cir.retriever import Retriever
from cir.tagging_metrics import same_edit

CURVE = (1, 2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Scores:
    """`metrics` as they are published, and the rankings that they come from.

    `hard` ranks the whole gallery, `contest_like` the targets and references alone (None where
    the gallery holds nothing else); both with the tagged `edits`, one for each query.
    """

    metrics: dict[str, object]
    edits: Sequence[Edit]
    hard: Ranking
    contest_like: Ranking | None


@dataclass(frozen=True)
class Task:
    """The test queries and the gallery that they are ranked in."""

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
        """Where these images stand in the gallery."""
        row_of = {name: row for row, name in enumerate(self.embeddings.ids)}
        return np.array([row_of[name] for name in names])

    @property
    def contest_like(self) -> np.ndarray:
        """[N] bool: the images that are some query's target or reference."""
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
    retriever: Retriever, images: ImageShards, task: Task, seed: int, resamples: int = 10_000
) -> Scores:
    """Rank the gallery for every query, and say how often, and for which, the target comes first.

    A part that the source cannot tell (true edits, names never trained on) is left out, and
    `metrics["absent"]` says why.
    """
    triplets = task.triplets
    edits = retriever.tagger.tag([triplet.text for triplet in triplets])
    queries = query_vectors(retriever, images, triplets, edits)
    core = task.contest_like
    hard, part = task.rank(queries), None
    protocol = Protocol("contest-like" if core.all() else "hard")
    groups, absent = _groups(triplets, edits, hard.correct, seed, resamples)
    metrics = {**_summary(hard, protocol, seed, resamples, len(core)), **groups}
    if core.all():
        absent["contest_gallery"] = "every gallery image is some query's target or reference"
    else:
        part = task.rank(queries, core)
        contest_like = Protocol("contest-like")
        metrics["contest_gallery"] = _summary(part, contest_like, seed, resamples, int(core.sum()))
    metrics["text"] = {"tagged": float(hard.correct.mean())}
    if any(triplet.edit is None for triplet in triplets):
        absent["text.true_edit"] = "the source gives sentences without their edits"
    else:
        metrics["text"] |= _with_true_edits(retriever, images, task, edits, queries)
    metrics["baselines"] = _baselines(retriever, task, edits, protocol)
    metrics["errors"] = error_counts(hard, triplets, edits)
    metrics["absent"] = absent
    return Scores(metrics, edits, hard, part)


def query_vectors(
    retriever: Retriever, images: ImageShards, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> np.ndarray:
    """Query vectors [Q, D] of length one; one batch of images in memory at a time."""
    size = retriever.batch_size
    starts = range(0, len(triplets), size)
    batches = progress(starts, len(starts), "encoding the queries", "batches")
    parts = [np.zeros((0, retriever.encoder.dim), np.float32)]
    for start in batches:
        references = [images.image(t.reference) for t in triplets[start : start + size]]
        parts.append(retriever.encode_edits(references, edits[start : start + size]))
    return np.concatenate(parts)


def _summary(
    ranking: Ranking, protocol: Protocol, seed: int, resamples: int, gallery_size: int
) -> dict[str, object]:
    return {
        **_accuracy(ranking.correct, seed, resamples),
        "recall@5": recall_at_k(ranking.target_ranks, 5),
        "recall@10": recall_at_k(ranking.target_ranks, 10),
        "mrr": mean_reciprocal_rank(ranking.target_ranks),
        "gallery_size": gallery_size,
        "protocol": protocol.to_dict(),
    }


def _accuracy(correct: np.ndarray, seed: int, resamples: int) -> dict[str, object]:
    interval = bootstrap_interval(correct, seed, resamples)
    return {
        "accuracy": float(correct.mean()),
        "interval95": list(interval),
        "queries": len(correct),
    }


def _groups(
    triplets: Sequence[Triplet],
    tagged: Sequence[Edit],
    correct: np.ndarray,
    seed: int,
    resamples: int,
) -> tuple[dict[str, object], dict[str, str]]:
    """Accuracy by kind of edit, by number of objects, and for seen and novel names.

    The second value says of each group that is absent why it is.
    """
    edits = edits_to_group_by(triplets, tagged)
    objects = [str(len(edit.add) + len(edit.remove)) for edit in edits]
    groups: dict[str, object] = {
        "by_kind": accuracy_by([kind_of(edit) for edit in edits], correct),
        "by_objects": accuracy_by(objects, correct),
    }
    novel = np.array([triplet.novel for triplet in triplets])
    absent = {}
    for name, chosen in (("seen", ~novel), ("novel", novel)):
        if chosen.any():
            groups[name] = _accuracy(correct[chosen], seed, resamples)
        else:
            absent[name] = f"the source has no queries with {name} names"
    return groups, absent


def _with_true_edits(
    retriever: Retriever,
    images: ImageShards,
    task: Task,
    tagged: Sequence[Edit],
    queries: np.ndarray,
) -> dict[str, float]:
    """Accuracy with the true edits, all else the same: what the tagger costs.

    Only the queries whose sentence was misread are encoded again.
    """
    true = [triplet.edit for triplet in task.triplets]
    misread = [row for row, edit in enumerate(tagged) if not same_edit(true[row], edit)]
    mended = queries.copy()
    if misread:
        triplets = [task.triplets[row] for row in misread]
        edits = [true[row] for row in misread]
        mended[misread] = query_vectors(retriever, images, triplets, edits)
    return {
        "true_edit": float(task.rank(mended).correct.mean()),
        "tagger_exact_edit": 1 - len(misread) / len(true),
    }


def _baselines(
    retriever: Retriever, task: Task, edits: Sequence[Edit], protocol: Protocol
) -> dict[str, object]:
    """What one half of a query finds alone: the reference's own vector, or the edit's."""
    references = task.embeddings.vectors[task.rows(t.reference for t in task.triplets)]
    halves: Mapping[str, tuple[np.ndarray, str, str]] = {
        "image_only": (references, "image", "none"),
        "text_only": (_edit_vectors(retriever, edits), "edit", "tagged"),
    }
    result = {}
    for name, (vectors, query, edit) in halves.items():
        ranking = task.rank(vectors)
        result[name] = {
            "accuracy": float(ranking.correct.mean()),
            "recall@10": recall_at_k(ranking.target_ranks, 10),
            "protocol": Protocol(protocol.gallery, query, edit).to_dict(),
        }
    return result


@torch.inference_mode()
def _edit_vectors(retriever: Retriever, edits: Sequence[Edit]) -> np.ndarray:
    """The composer's vectors [Q, D] for an image of zeros; zeros where an edit is empty."""
    model, size = retriever.model, retriever.batch_size
    parts = []
    for start in range(0, len(edits), size):
        batch = edits[start : start + size]
        nothing = torch.zeros(len(batch), model.encoder.dim, device=model.encoder.device)
        composed = model.composer(nothing, model.encode_edits(batch))
        parts.append(functional.normalize(composed, dim=1).float().cpu().numpy())
    return np.concatenate(parts)


def recall_curves(scores: Scores) -> list[dict[str, float]]:
    """Rows of recall by k: the whole gallery, and targets and references only if ranked."""
    rows = []
    for k in CURVE:
        row: dict[str, float] = {"k": k, "recall": recall_at_k(scores.hard.target_ranks, k)}
        if scores.contest_like is not None:
            row["recall_contest_like"] = recall_at_k(scores.contest_like.target_ranks, k)
        rows.append(row)
    return rows
