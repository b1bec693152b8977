"""Train a composer on a published dataset by its paper's rules, and score it by its protocol."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from cir import composers
from cir.composers.model import EncodedComposer
from cir.core import distributed, files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.progress import say
from cir.encoders.paired import PairedEncoder
from cir.published.datasets import PublishedDataset, QuerySet
from cir.published.datasets.pairs import JoinedPairs
from cir.published.experiment.answering import Pictures, Source, answer_by_input, answer_query_sets
from cir.published.experiment.params import Experiment
from cir.published.experiment.results import Metrics
from cir.published.experiment.scoring import BOTH, Answers, results, said
from cir.published.experiment.training import PairBatches
from cir.retrieval.ranking.metrics import recall_at_k
from cir.training.composition import CompositionObjective
from cir.training.shared.loop import best_row, fit, sole_writer
from cir.training.shared.parameter_groups import trained_weights
from stages.params import StageParams, load
from stages.run import code_of, run

BASE = Path("models/encoder_base")
MODEL = Path("models/benchmark")
METRICS = Path("metrics/benchmark.json")
CURVE = Path("metrics/curves/benchmark.csv")
LOSSES = ("composition", "image_decoding", "text_decoding", "rotation")
COLUMNS = ("step", "learning_rate", "loss", *LOSSES, "recall_at_1")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    benchmark: Experiment


class Task:
    """The dataset's parts: for training, for choosing the checkpoint, and for scoring."""

    def __init__(self, experiment: Experiment):
        dataset, absent = experiment.dataset.create(), experiment.dataset.absent
        scored, chooses = splits(dataset)
        parts = dataset.training_pairs(absent)
        self.pairs = parts[0] if len(parts) == 1 else JoinedPairs(parts)
        self.scored = dataset.query_sets(scored, absent)
        self.chooses = dataset.query_sets(chooses, absent) if chooses else ()
        for part in (*parts, *self.chooses, *self.scored):
            for note in part.notes:
                say(f"{part.name}: {note}")
        known = [part.images for part in (*self.chooses, *self.scored)]
        where = {name: path for images in known for name, path in images.items()}
        self.pictures = Pictures(dataset, {**self.pairs.images, **where})


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    experiment = params.benchmark
    task = Task(experiment)
    tower, texts = experiment.images.create(BASE), experiment.texts.create(task.pairs.texts())
    composer = composers.create(experiment.composer.model_dump(), tower.dim, texts.dim)
    images, source = experiment.images.in_training(tower, task.pictures)
    model = EncodedComposer(PairedEncoder(images, texts), composer)
    recipe = params.model_dump(mode="json", exclude={"tensorboard"})
    inputs = [BASE] if experiment.images.tower == "encoder_base" else []
    checkpoints = checkpoint_folder("benchmark", recipe, *code_of(__file__), *inputs)
    with sole_writer(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        history, trained = train(model, source, task, params, checkpoints, curve)
        if not distributed.is_main_process():
            return
        with files.whole_folder(MODEL) as folder:
            EncodedComposer(PairedEncoder(tower, texts), composer).save(folder)
        curve.write(history)
        answers = answer_by_input(model.eval(), source, task.scored)
        score(answers, task, history, trained).write(METRICS)


def splits(dataset: PublishedDataset) -> tuple[str, str | None]:
    """Return the split to score, and the split that chooses the checkpoint, if there is one.

    Where papers score the validation split, because the test split has no labels, no split is left
    to choose by.
    """
    split_for = {part.use: part.split for part in dataset.parts()}
    if "test" in split_for:
        return split_for["test"], split_for.get("val")
    return split_for["val"], None


def train(
    model: EncodedComposer,
    source: Source,
    task: Task,
    params: Params,
    checkpoints: Path,
    curve: Curve,
) -> tuple[list[dict], int]:
    """Train on the dataset's own pairs; return history and number of trained weights."""
    experiment = params.benchmark
    objective = CompositionObjective(model, 0.0, 0.0, experiment.criterion.create())
    groups = experiment.optimiser.groups(objective, model.encoder.images)
    batches = PairBatches(task.pairs, source, experiment.batch_size, experiment.steps, params.seed)
    history = fit(
        objective,
        groups,
        batches,
        validation(model, source, task.chooses),
        experiment.schedule(),
        params.seed,
        checkpoints,
        f"training on {task.pairs.name}",
        curve.follow,
        experiment.optimiser.create(),
    )
    return history, trained_weights(groups)


def validation(
    model: EncodedComposer, source: Source, query_sets: Sequence[QuerySet]
) -> Callable[[], dict[str, float]]:
    """Return the measurement that chooses the checkpoint: recall@1 on these query sets.

    Without query sets the last checkpoint is chosen. The papers' schedules have a fixed end, where
    the learning rate is low, and holding out training images would change their training split.
    """

    def measure() -> dict[str, float]:
        if not query_sets:
            return {"score": 0.0}  # of equal scores the later counts
        recall = mean_recall(answer_query_sets(model.eval(), source, query_sets), 1)
        return {"recall_at_1": recall, "score": recall}

    return measure


def mean_recall(answers: Sequence[Answers], k: int) -> float:
    """Return the share of queries with a hit among the first k, averaged over query sets."""
    firsts = (np.array([ranks[0] for ranks in given.hit_ranks]) for given in answers)
    return float(np.mean([recall_at_k(first, k) for first in firsts]))


def score(
    by_input: Sequence[Mapping[str, Answers]], task: Task, history: list[dict], trained: int
) -> Metrics:
    """Return the metrics of the chosen weights, and print a line for each result."""
    best, answers = best_row(history), [given[BOTH] for given in by_input]
    recalls = {f"benchmark_recall@{k}": mean_recall(answers, k) for k in (1, 10)}
    if "recall_at_1" in best:
        recalls["benchmark_val_recall@1"] = best["recall_at_1"]
    metrics = Metrics(
        **recalls,
        benchmark_step=best["step"],
        benchmark_weights=trained,
        results=results(task.scored, answers, "image and sentence", "none", by_input),
    )
    for row in metrics.results:
        print(said(row))
    return metrics


if __name__ == "__main__":
    run(main)
