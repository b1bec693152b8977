"""Train encoder and composer: reference image + edit against target image."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cir import composers
from cir.composers.model import EncodedComposer
from cir.composers.params import AnyComposer
from cir.core import distributed, files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.device import DEVICE
from cir.core.progress import say
from cir.core.records import Edit, Triplet
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.training.composition import (
    CompositionBatches,
    CompositionObjective,
    gallery_accuracy,
    shows,
)
from cir.training.params import Finetune
from cir.training.results import FinetuneMetrics as Metrics
from cir.training.shared import optimisers
from cir.training.shared.batches import plan_batches, training_inputs, without_loaders
from cir.training.shared.loop import best_row, fit, sole_writer
from cir.training.shared.parameter_groups import (
    encoder_groups,
    module_groups,
    trained_weights,
)
from stages.params import StageParams, load
from stages.run import code_of, run

TRAIN = Path("data/retrieval/train")
VAL = Path("data/retrieval/val")
BASE = Path("models/encoder_base")
TAGGER = Path("models/tagger")
MODEL = Path("models/encoder")
METRICS = Path("metrics/finetune.json")
CURVE = Path("metrics/curves/finetune.csv")
COLUMNS = ("step", "learning_rate", "loss", "composition", "naming", "sets", "accuracy", "mrr")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    composer: AnyComposer
    finetune_encoder: Finetune


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    encoder = Encoder.load(BASE)
    composer = composers.create(params.composer, encoder.dim, encoder.text_dim)
    model = EncodedComposer(encoder, composer)
    # Only where the source gives no edits, sentences have to be read for them.
    clear = all(t.edit is not None for part in (TRAIN, VAL) for t in read_triplets(part))
    inputs = (BASE, TRAIN, VAL) if clear else (BASE, TAGGER, TRAIN, VAL)
    recipe = params.model_dump(exclude={"tensorboard"})
    checkpoints = checkpoint_folder("finetune", recipe, *code_of(__file__), *inputs)
    with sole_writer(MODEL, checkpoints):
        tagger = None if clear else Tagger.load(TAGGER, DEVICE)
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        history, trained = train(model, tagger, params, checkpoints, curve)
        if distributed.is_main_process():
            save(model, history, trained)
            curve.write(history)


def train(
    model: EncodedComposer,
    tagger: Tagger | None,
    params: Params,
    checkpoints: Path,
    curve: Curve,
) -> tuple[list[dict], int]:
    """Train on the training split; return the history and the number of trained weights."""
    section = params.finetune_encoder
    shards, triplets = ImageShards(TRAIN), read_triplets(TRAIN)
    edits = edits_of(triplets, tagger)
    objects = {name: shards.objects(name) for name in shards.ids}
    keys = [shows(triplet.target, objects) for triplet in triplets]
    plan = plan_batches(
        keys, section.batch_size, section.steps, params.seed, distributed.processes()
    )
    if (section.naming_weight or section.set_weight) and not all(objects.values()):
        say(
            "the objects of some images are unknown: batches with such images use the "
            "composition loss only"
        )
    if section.gradient_checkpointing:
        model.encoder.use_gradient_checkpointing()
    section.start_temperature(model.encoder)
    groups = encoder_groups(
        model.encoder,
        section.train.shares(model.encoder),
        section.learning_rate,
        section.weight_decay,
    )
    groups += module_groups(model.composer, section.learning_rate, section.weight_decay)
    head_alone = section.train.what == "head"
    pixels = training_inputs(shards, model.encoder, head_alone)
    batches = CompositionBatches(pixels, triplets, edits, objects, plan, section.near_misses)
    history = fit(
        CompositionObjective(
            model,
            section.naming_weight,
            section.set_weight,
            chunk=section.gradient_chunk,
            names_stay=head_alone,
        ),
        groups,
        batches,
        validation(model, tagger, section),
        without_loaders(section, pixels),
        params.seed,
        checkpoints,
        "training the composition",
        curve.follow,
        optimisers.BY_NAME[section.optimiser],
    )
    return history, trained_weights(groups)


def edits_of(triplets: Sequence[Triplet], tagger: Tagger | None) -> list[Edit]:
    """Return the true edits of the triplets or, with a tagger, those it reads in the sentences."""
    if tagger is None:
        return [triplet.edit for triplet in triplets]
    return tagger.tag([triplet.text for triplet in triplets])


def validation(
    model: EncodedComposer, tagger: Tagger | None, section: Finetune
) -> Callable[[], dict[str, float]]:
    """Return a function that measures the model on the validation split."""
    shards, triplets = ImageShards(VAL), read_triplets(VAL)
    edits = edits_of(triplets, tagger)
    pixels = training_inputs(shards, model.encoder, section.train.what == "head")
    return lambda: gallery_accuracy(model, pixels, shards.ids, triplets, edits)


def save(model: EncodedComposer, history: list[dict[str, float]], trained: int) -> None:
    """Write the model and its metrics."""
    best = best_row(history)
    with files.whole_folder(MODEL) as folder:
        model.save(folder)
    Metrics(
        val_accuracy=best["accuracy"],
        val_mrr=best["mrr"],
        best_step=best["step"],
        trained_weights=trained,
    ).write(METRICS)


if __name__ == "__main__":
    run(main)
