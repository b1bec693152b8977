"""Score the retriever on a test split, also by kind of query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cir.core.metrics_files import Fingerprint
from cir.core.progress import progress
from cir.core.records import Edit, Triplet
from cir.edits.reading.metrics import same_edit
from cir.edits.reading.templates import Template
from cir.images.shards import ImageShards
from cir.retrieval.breakdown import accuracy_by, edits_to_group_by, error_counts, kind_of
from cir.retrieval.disturbed import measure_disturbed
from cir.retrieval.measuring import BOTH, EDIT, IMAGE, Measure, measure_inputs
from cir.retrieval.near_misses import measure_near_misses
from cir.retrieval.paraphrases import WAYS, measure_paraphrases
from cir.retrieval.ranking.metrics import recall_at_k
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import Ranking
from cir.retrieval.results import Absent, Figures, Metrics, Result
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task, compose_queries, edit_vectors, encode_edits

CURVE = (1, 2, 3, 5, 10, 20, 50, 100)
TARGETS_AND_REFERENCES, TRUE_EDITS = "targets and references only", "true edits"
PARAPHRASES = "paraphrases"
# What the results are called that are made of both inputs and of each alone.
NAMES = {BOTH: "tagged edits", IMAGE: "image only", EDIT: "edit only"}


@dataclass(frozen=True)
class Scores:
    """The metrics and the rankings behind them.

    `hard` ranks the whole gallery. `contest_like` ranks only targets and references; it is None if
    the gallery holds nothing else. Both use the tagged `edits`, one for each query, and the
    `features` [Q, D] of the references, not normalised.
    """

    metrics: Metrics
    edits: Sequence[Edit]
    features: torch.Tensor
    hard: Ranking
    contest_like: Ranking | None


def score(
    retriever: Retriever,
    images: ImageShards,
    task: Task,
    seed: int,
    resamples: int = 10_000,
    fingerprints: Sequence[Fingerprint] = (),
    templates: Sequence[Template] = (),
) -> Scores:
    """Rank the gallery for every query, and measure how often the target comes first.

    Each ranking has a result with its protocol. If the data source does not allow a result (true
    edits, names never trained on), `absent` gives the reason instead. Edits are paraphrased by the
    held-out `templates`, if there are any.
    """
    triplets, measure = task.triplets, Measure(seed, resamples)
    edits = retriever.tagger.tag([triplet.text for triplet in triplets])
    features = reference_features(retriever, images, triplets)
    queries = _composed(retriever, features, edits)
    core, hard = task.contest_like, task.rank(queries)
    part = None if core.all() else task.rank(queries, core)
    protocol = Protocol("contest-like" if core.all() else "hard")
    results, absent = [measure.result(NAMES[BOTH], hard, protocol)], []
    for found, missing in (
        _by_novelty(triplets, hard, protocol, measure),
        _in_the_contests_gallery(part, measure),
        _with_true_edits(retriever, task, features, edits, queries, protocol, measure),
    ):
        results += found
        absent += missing
    alone = edit_vectors(retriever, encode_edits(retriever, edits))
    inputs = measure_inputs(task, queries, alone, protocol, NAMES, measure)
    results += inputs.results[1:]  # the first is the headline
    absent += inputs.absent
    paraphrases = []
    if templates:
        asked = features, edits, hard.correct, protocol, templates, measure
        paraphrases = measure_paraphrases(retriever, task, *asked)
        if not paraphrases:
            why = f"the held-out templates ask for no edit of the queries in {WAYS} ways"
            absent.append(Absent(what=PARAPHRASES, why=why))
    accuracies = {result.what: result.accuracy for result in results}
    metrics = Metrics(
        **results[0].model_dump(include=set(Figures.model_fields)),
        novel_accuracy=accuracies.get("novel names"),
        composition_gap=inputs.composition[0].gap,
        results=results,
        composition=inputs.composition,
        near_misses=measure_near_misses(task, queries, measure),
        paraphrases=paraphrases,
        robustness=measure_disturbed(
            retriever,
            task,
            features,
            edits_to_group_by(triplets, edits),
            results[0].accuracy,
        ),
        **_groups(triplets, edits, hard.correct),
        errors=error_counts(hard, triplets, edits),
        absent=absent,
        fingerprints=fingerprints,
    )
    return Scores(metrics, edits, features, hard, part)


def _by_novelty(
    triplets: Sequence[Triplet], hard: Ranking, protocol: Protocol, measure: Measure
) -> tuple[list[Result], list[Absent]]:
    """Measure the queries with names of training, and those with names never trained on."""
    novel = np.array([triplet.novel for triplet in triplets])
    results, absent = [], []
    for kind, chosen in (("seen", ~novel), ("novel", novel)):
        if chosen.any():
            results.append(measure.result(f"{kind} names", hard, protocol, chosen))
        else:
            why = f"the source has no queries with {kind} names"
            absent.append(Absent(what=f"{kind} names", why=why))
    return results, absent


def _in_the_contests_gallery(
    part: Ranking | None, measure: Measure
) -> tuple[list[Result], list[Absent]]:
    """Measure the ranking of targets and references only, if the gallery holds more."""
    if part is None:
        why = "every gallery image is some query's target or reference"
        return [], [Absent(what=TARGETS_AND_REFERENCES, why=why)]
    return [measure.result(TARGETS_AND_REFERENCES, part, Protocol("contest-like"))], []


def reference_features(
    retriever: Retriever, images: ImageShards, triplets: Sequence[Triplet]
) -> torch.Tensor:
    """Return the features [Q, D] of the references, not normalised, each batch decoded apart."""
    encoder, size = retriever.encoder, retriever.batch_size
    starts = range(0, len(triplets), size)
    parts = [torch.zeros(0, encoder.dim)]
    for start in progress(starts, len(starts), "encoding the queries", "batches"):
        references = [images.image(t.reference) for t in triplets[start : start + size]]
        pixels = np.stack([encoder.preprocess(image) for image in references])
        with torch.inference_mode():
            parts.append(encoder.encode_images(torch.from_numpy(pixels)).float().cpu())
    return torch.cat(parts)


def query_vectors(
    retriever: Retriever, images: ImageShards, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> np.ndarray:
    """Return query vectors [Q, D] of length one, with one batch of images in memory at a time."""
    return _composed(retriever, reference_features(retriever, images, triplets), edits)


def _composed(retriever: Retriever, features: torch.Tensor, edits: Sequence[Edit]) -> np.ndarray:
    """Compose features [Q, D] of references with edits, encoding the names of a batch at a time."""
    size = retriever.batch_size
    parts = [np.zeros((0, retriever.encoder.dim), np.float32)]
    for start in range(0, len(edits), size):
        rows = slice(start, start + size)
        encoded = encode_edits(retriever, edits[rows])
        parts.append(compose_queries(retriever, features[rows], encoded))
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


def _with_true_edits(
    retriever: Retriever,
    task: Task,
    features: torch.Tensor,
    tagged: Sequence[Edit],
    queries: np.ndarray,
    protocol: Protocol,
    measure: Measure,
) -> tuple[list[Result], list[Absent]]:
    """Measure with the true edits and all else the same, which shows what the tagger costs.

    Only the queries whose sentence was misread are composed again.
    """
    true = [triplet.edit for triplet in task.triplets]
    if None in true:
        why = "the source gives sentences without their edits"
        return [], [Absent(what=TRUE_EDITS, why=why)]
    misread = [row for row, edit in enumerate(tagged) if not same_edit(true[row], edit)]
    mended = queries.copy()
    mended[misread] = _composed(retriever, features[misread], [true[row] for row in misread])
    ranking = task.rank(mended)
    return [measure.result(TRUE_EDITS, ranking, replace(protocol, edit="true"))], []


def recall_curves(scores: Scores) -> list[dict[str, float]]:
    """Return recall by k for the whole gallery, and for targets and references if ranked."""
    rows = []
    for k in CURVE:
        row: dict[str, float] = {"k": k, "recall": recall_at_k(scores.hard.target_ranks, k)}
        if scores.contest_like is not None:
            row["recall_contest_like"] = recall_at_k(scores.contest_like.target_ranks, k)
        rows.append(row)
    return rows
