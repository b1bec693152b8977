"""Train the class embedder: images of one class get similar vectors, other images do not."""

from pathlib import Path

import torch

from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import Embedder, TrainClassEmbedder
from cir.classes.embedder.results import Metrics
from cir.classes.embedder.training import (
    ClassBatches,
    ClassObjective,
    optimiser_groups,
    plan_class_batches,
    read_classes,
    validation,
)
from cir.core import distributed, files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.progress import say
from cir.images.shards import ImageShards
from cir.training.shared import optimisers
from cir.training.shared.batches import Pixels
from cir.training.shared.loop import best_row, fit, sole_writer
from cir.training.shared.parameter_groups import trained_weights
from stages.params import StageParams, load
from stages.run import code_of, run

TRAIN = Path("data/classes/train")
VAL = Path("data/classes/val")
MODEL = Path("models/class_embedder")
METRICS = Path("metrics/class_embedder.json")
CURVE = Path("metrics/curves/class_embedder.csv")
COLUMNS = ("step", "learning_rate", "loss", "circle", "map", "recall_at_1")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    class_embedder: Embedder
    train_class_embedder: TrainClassEmbedder


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    embedder = params.class_embedder.create()
    recipe = params.model_dump(mode="json", exclude={"tensorboard"})
    checkpoints = checkpoint_folder("class_embedder", recipe, *code_of(__file__), TRAIN, VAL)
    with sole_writer(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        history, trained = train(embedder, params, checkpoints, curve)
        if distributed.is_main_process():
            save(embedder, history, trained)
            curve.write(history)


def train(
    embedder: ClassEmbedder, params: Params, checkpoints: Path, curve: Curve
) -> tuple[list[dict], int]:
    """Train on the training images; return the history and the number of trained weights."""
    section = params.train_class_embedder
    images, val = ImageShards(TRAIN), ImageShards(VAL)
    shown = read_classes(images)
    plan = plan_class_batches(
        shown,
        section.classes,
        section.images,
        section.steps,
        params.seed,
        distributed.processes(),
    )
    epoch = -(-len(shown) // (section.classes * section.images))
    say(f"{len(shown):,} images of {len(set(shown)):,} classes; an epoch has {epoch} steps")
    batches = ClassBatches(
        Pixels(images, embedder),
        images.ids,
        shown,
        plan,
        section.augmentation,
        section.mining_from * epoch,
        params.seed,
    )
    if section.gradient_checkpointing:
        embedder.use_gradient_checkpointing()
    groups = optimiser_groups(
        embedder, section.learning_rate, section.weight_decay, section.layer_decay
    )
    history = fit(
        ClassObjective(embedder, section.margin, section.scale, section.mining_margin),
        groups,
        batches,
        validation(embedder, Pixels(val, embedder), val.ids, read_classes(val), len(plan[0])),
        section,
        params.seed,
        checkpoints,
        "training the class embedder",
        curve.follow,
        optimisers.BY_NAME[section.optimiser],
    )
    return history, trained_weights(groups)


def save(embedder: ClassEmbedder, history: list[dict[str, float]], trained: int) -> None:
    """Write the model and its metrics, each whole."""
    best = best_row(history)
    with files.whole_folder(MODEL) as folder:
        embedder.save(folder)
    exponent = getattr(embedder.backbone.pooling, "exponent", None)
    Metrics(
        val_map=best["map"],
        val_recall_at_1=best["recall_at_1"],
        best_step=best["step"],
        trained_weights=trained,
        exponent=None if exponent is None else exponent.item(),
    ).write(METRICS)


if __name__ == "__main__":
    run(main)
