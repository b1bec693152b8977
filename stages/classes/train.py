"""Train the class-level embedder: images of one class near each other, others far."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import Augmented, Embedder, Share, read_classes
from cir.classes.embedder.results import Metrics
from cir.classes.embedder.training import (
    ClassBatches,
    ClassObjective,
    optimiser_groups,
    plan_class_batches,
    validation,
)
from cir.core import distributed, files
from cir.core.curves import Curve, event_folder
from cir.core.params import Section
from cir.core.progress import say
from cir.images.shards import ImageShards
from cir.training.shared.batches import Pixels
from cir.training.shared.loop import Schedule, fit
from cir.training.shared.parameter_groups import trained_weights
from cir.training.shared.params import Precision, sole_writer, usable
from stages.params import StageParams, load
from stages.run import code_of, run

TRAIN = Path("data/classes/train")
VAL = Path("data/classes/val")
MODEL = Path("models/class_embedder")
METRICS = Path("metrics/class_embedder.json")
CURVE = Path("metrics/curves/class_embedder.csv")
COLUMNS = ("step", "learning_rate", "loss", "circle", "map", "recall_at_1")


class TrainClassEmbedder(Section):
    """Batches of `classes` x `images`; see cir.classes.embedder.training and
    cir.training.shared.loop.Schedule.

    From epoch `mining_from` on, counted from 0, only hard pairs count; an epoch has as many steps
    as it takes to see as many images as there are.
    """

    steps: PositiveInt
    classes: Annotated[int, Field(ge=2)]
    images: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegativeFloat
    warmup: Share
    gradient_clip: PositiveFloat
    margin: Annotated[float, Field(ge=0, lt=1)]
    scale: PositiveFloat
    mining_from: NonNegativeInt
    mining_margin: NonNegativeFloat
    augmentation: Augmented
    evaluate_every: PositiveInt
    precision: Precision
    workers: NonNegativeInt
    gradient_checkpointing: bool

    def schedule(self, seed: int) -> Schedule:
        """The schedule that cir.training.shared.loop.fit takes."""
        return Schedule(
            steps=self.steps,
            warmup=self.warmup,
            gradient_clip=self.gradient_clip,
            precision=usable(self.precision),
            evaluate_every=self.evaluate_every,
            workers=self.workers,
            seed=seed,
        )


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
    checkpoints = files.checkpoint_folder("class_embedder", recipe, *code_of(__file__), TRAIN, VAL)
    with sole_writer(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        history, trained = train(embedder, params, checkpoints, curve)
        if distributed.is_main_process():
            save(embedder, history, trained)
            curve.write(history)


def train(
    embedder: ClassEmbedder, params: Params, checkpoints: Path, curve: Curve
) -> tuple[list[dict], int]:
    """Train on the training split's images; returns history and number of weights."""
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
        section.augmentation.create(),
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
        section.schedule(params.seed),
        checkpoints,
        "training the class embedder",
        curve.follow,
    )
    return history, trained_weights(groups)


def save(embedder: ClassEmbedder, history: list[dict[str, float]], trained: int) -> None:
    """Write the model and its metrics, each whole."""
    best = max(history, key=lambda row: (row["score"], row["step"]))
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
