"""Load a published captioner, train a micro one on the images that have captions, or do without."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.errors import UserError
from cir.core.progress import say
from cir.images.shards import ImageShards
from cir.text_search.data.queries import read_captions
from cir.text_search.training.captioner import Captioner, save_none
from cir.text_search.training.captioner_training import (
    CaptioningObjective,
    word_accuracy,
)
from cir.text_search.training.finetuning import CaptionBatches, captions_by_image
from cir.text_search.training.params import Micro, NoCaptioner, Published
from cir.text_search.training.results import CaptionerMetrics as Metrics
from cir.training.shared import optimisers
from cir.training.shared.batches import Pixels, plan_batches
from cir.training.shared.loop import best_row, fit, sole_writer
from cir.training.shared.parameter_groups import module_groups
from stages.params import StageParams, load
from stages.run import code_of, run

ENCODER = Path("models/encoder")
TRAIN = Path("data/text_search/train")
VAL = Path("data/text_search/val")
MODEL = Path("models/captioner")
METRICS = Path("metrics/captioner.json")
CURVE = Path("metrics/curves/captioner.csv")
COLUMNS = ("step", "learning_rate", "loss", "contrastive", "captioning", "score")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    captioner: Annotated[Published | Micro | NoCaptioner, Field(discriminator="kind")]


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    if isinstance(params.captioner, NoCaptioner):
        say("captioner.kind is none: images that people have not captioned stay without captions")
        save(None, [], Curve(CURVE, COLUMNS, None))
        return
    if isinstance(params.captioner, Published):
        captioner = Captioner.published(params.captioner.model, params.captioner.pretrained)
        save(captioner, [], Curve(CURVE, COLUMNS, None))
        return
    recipe = params.model_dump(exclude={"tensorboard"})
    checkpoints = checkpoint_folder("captioner", recipe, *code_of(__file__), ENCODER, TRAIN, VAL)
    with sole_writer(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        captioner, history = train(params.captioner, params.seed, checkpoints, curve)
        save(captioner, history, curve)


def train(
    section: Micro, seed: int, checkpoints: Path, curve: Curve
) -> tuple[Captioner, list[dict[str, float]]]:
    """Train on the images that have captions."""
    captioned = read_captions(TRAIN)
    if not captioned:
        raise UserError(
            f"{TRAIN} has no captions to train a captioner on; set captioner.kind to published"
        )
    captions = captions_by_image(captioned)
    tower = EncodedComposer.load(ENCODER).encoder
    captioner = Captioner.micro(
        tower, [text for _, text in captioned], section.layers, section.heads
    )
    section.start_temperature(captioner.encoder)
    pixels = Pixels(ImageShards(TRAIN), captioner.encoder)
    plan = plan_batches(list(captions), section.batch_size, section.steps, seed)
    held_out, their_pixels = read_captions(VAL), Pixels(ImageShards(VAL), captioner.encoder)
    history = fit(
        CaptioningObjective(captioner, section.captioning_weight),
        module_groups(
            captioner,
            section.learning_rate,
            section.weight_decay,
            slower=captioner.encoder.clip.visual,
            share=section.tower_rate,
        ),
        CaptionBatches(pixels, captions, plan, 1, seed),
        lambda: {"score": word_accuracy(captioner, their_pixels, held_out)},
        section,
        seed,
        checkpoints,
        "training the captioner",
        curve.follow,
        optimisers.BY_NAME[section.optimiser],
    )
    return captioner, history


def save(captioner: Captioner | None, history: list[dict[str, float]], curve: Curve) -> None:
    """Write the model, its curve and its metrics, each whole."""
    with files.whole_folder(MODEL) as folder:
        if captioner is None:
            save_none(folder)
        else:
            captioner.save(folder)
    curve.write(history)
    best = best_row(history) if history else None
    Metrics(
        captioner_word_accuracy=best and best["score"], captioner_step=best and best["step"]
    ).write(METRICS)


if __name__ == "__main__":
    run(main)
