"""Train and measure composers on the same encoded splits."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from safetensors.torch import save_file

from cir.composers import Composer, create, rebuild
from cir.composers.base import made_of
from cir.core import files
from cir.core.params import Section
from cir.core.weights import contiguous_weights, load_weights, read_weights
from cir.retrieval.ranking.metrics import bootstrap_interval, mean_reciprocal_rank, recall_at_k
from cir.retrieval.ranking.protocol import Protocol
from cir.training.composer_alone import (
    CachedBatches,
    CachedObjective,
    rank_split,
)
from cir.training.composition import accuracy_of, shows
from cir.training.encoded_split import EncodedSplit
from cir.training.losses import InfoNCE
from cir.training.params import CompareComposers
from cir.training.results import ComposerFigures, Recall
from cir.training.shared.batches import plan_batches
from cir.training.shared.loop import fit
from cir.training.shared.parameter_groups import module_groups

CURVE = (1, 2, 3, 5, 10, 20, 50, 100)
_TRAININGS = "trainings.json"
_TIMED_BATCH, _TIMED_REPEATS = 128, 20


@dataclass(frozen=True)
class Trained:
    """A composer, its accuracy on validation, and the seconds that training took."""

    composer: Composer
    val_accuracy: float
    seconds: float


def train_composer(
    settings: Section | Mapping[str, object],
    train: EncodedSplit,
    val: EncodedSplit,
    recipe: CompareComposers,
    seed: int,
    checkpoints: Path,
    follow: Callable[[Sequence[dict[str, float]]], None] = lambda history: None,
) -> Trained:
    """Train a fresh composer on encoded triplets; a composer without weights is not trained.

    Args:
        settings: the composer's params, see cir.composers.create.
        train, val: on the device on which to train. The composer is returned in main memory.
        recipe: how to train; `learning_rate` is this composer's own.
        seed: of everything random.
        checkpoints, follow: see cir.training.shared.loop.fit.
    """
    torch.manual_seed(seed)
    text_dim = next(iter(train.texts.values())).shape[1]
    composer = create(settings, train.images.shape[1], text_dim).to(train.images.device)

    def validate() -> dict[str, float]:
        return accuracy_of(rank_split(composer, val))

    began = time.perf_counter()
    if list(composer.parameters()):
        keys = [shows(triplet.target, train.objects) for triplet in train.triplets]
        plan = plan_batches(keys, recipe.batch_size, recipe.steps, seed)
        criterion = InfoNCE.starting_at(recipe.temperature)
        objective = CachedObjective(composer, criterion, recipe.set_weight)
        groups = module_groups(objective, recipe.learning_rate, recipe.weight_decay)
        batches = CachedBatches(train, composer.text, plan, near_misses=0)
        what = f"training {composer.params.name}, seed {seed}"
        schedule = recipe.schedule()
        fit(objective, groups, batches, validate, schedule, seed, checkpoints, what, follow)
    seconds = time.perf_counter() - began
    composer.eval()
    accuracy = validate()["accuracy"]
    return Trained(composer.cpu(), accuracy, seconds)


def save_trained(trained: Sequence[Trained], folder: Path) -> None:
    """Write the trainings of one composer into an existing folder."""
    rows = [{"val_accuracy": one.val_accuracy, "seconds": one.seconds} for one in trained]
    composer = {"composer": trained[0].composer.settings(), "trainings": rows}
    files.write_json(folder / _TRAININGS, composer)
    for number, one in enumerate(trained):
        save_file(contiguous_weights(one.composer), folder / f"{number}.safetensors")


def load_trained(folder: Path) -> list[Trained]:
    """Read what `save_trained` wrote.

    Raises:
        UserError: a file is missing or broken.
    """
    saved = files.read_json(folder / _TRAININGS)
    trained = []
    for number, row in enumerate(saved["trainings"]):
        composer, path = rebuild(saved["composer"]), folder / f"{number}.safetensors"
        load_weights(composer, read_weights(path), str(path))
        trained.append(Trained(composer.eval(), row["val_accuracy"], row["seconds"]))
    return trained


def measure(
    name: str, trained: Sequence[Trained], test: EncodedSplit, seed: int, resamples: int
) -> ComposerFigures:
    """Measure one composer, trained once or several times, in the gallery of the test split.

    Figures are means over the trainings, and `by_seed` is the accuracy of each. The interval is
    that of drawing other queries: see cir.retrieval.ranking.metrics.bootstrap_interval.

    Args:
        name: name of the composer in the comparison.
        trained: its trainings.
        test: in main memory.
        seed, resamples: of the bootstrap.
    """
    first = trained[0].composer
    ranks = np.stack([rank_split(one.composer, test).target_ranks for one in trained])
    novel = np.array([triplet.novel for triplet in test.triplets])
    share = (ranks == 1).mean(axis=0)
    return ComposerFigures(
        composer=name,
        text=first.text,
        accuracy=float(share.mean()),
        interval95=bootstrap_interval(share, seed, resamples),
        by_seed=[recall_at_k(row, 1) for row in ranks],
        recall_5=recall_at_k(ranks.ravel(), 5),
        recall_10=recall_at_k(ranks.ravel(), 10),
        mrr=mean_reciprocal_rank(ranks.ravel()),
        seen_accuracy=None if novel.all() else float(share[~novel].mean()),
        novel_accuracy=float(share[novel].mean()) if novel.any() else None,
        queries=len(test.triplets),
        gallery_size=len(test.ids),
        recall=[Recall(k=k, recall=recall_at_k(ranks.ravel(), k)) for k in CURVE],
        val_accuracy=fmean(one.val_accuracy for one in trained),
        parameters=sum(weight.numel() for weight in first.parameters()),
        trainings=len(trained),
        training_seconds=fmean(one.seconds for one in trained),
        microseconds_per_query=microseconds_per_query(first, test),
        protocol=protocol(test, first).to_dict(),
    )


def protocol(test: EncodedSplit, composer: Composer) -> Protocol:
    """Return the protocol of `measure` for this composer."""
    named = {name for t in test.triplets for name in (t.reference, t.target)}
    gallery = "hard" if set(test.ids) - named else "contest-like"
    return Protocol(gallery, *made_of(composer))


@torch.inference_mode()
def microseconds_per_query(composer: Composer, test: EncodedSplit) -> float:
    """Return the time of composing one query, without encoding: the median of several batches."""
    count = min(_TIMED_BATCH, len(test.triplets))
    edit = test.encoded_edits(composer.text)[:count]
    image = test.images[test.rows(triplet.reference for triplet in test.triplets[:count])]
    seconds = []
    for _ in range(_TIMED_REPEATS):
        began = time.perf_counter()
        composer(image, edit)
        seconds.append(time.perf_counter() - began)
    return 1e6 * float(np.median(seconds)) / count
