"""Fine-tune the encoder on images with captions."""

from pathlib import Path

import torch

from cir.composers.model import EncodedComposer
from cir.core import distributed, files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.device import DEVICE
from cir.core.english import listed
from cir.core.errors import UserError
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.text_search.data import captions_file
from cir.text_search.data.queries import read_captions
from cir.text_search.training.finetuning import (
    CaptionBatches,
    CaptionObjective,
    caption_score,
    captions_by_image,
    mixed,
)
from cir.text_search.training.params import Finetune
from cir.text_search.training.results import TextFinetuneMetrics as Metrics
from cir.training.composition import gallery_accuracy
from cir.training.shared import optimisers
from cir.training.shared.batches import (
    Pixels,
    plan_batches,
    training_inputs,
    without_loaders,
)
from cir.training.shared.loop import best_row, fit, sole_writer
from cir.training.shared.parameter_groups import encoder_groups
from stages.params import StageParams, load
from stages.run import code_of, run

BEFORE = Path("models/encoder")
TAGGER = Path("models/tagger")
CAPTIONS = Path("data/captions.csv")
TRAIN = Path("data/text_search/train")
VAL = Path("data/text_search/val")
COMPOSED = Path("data/retrieval/val")
MODEL = Path("models/text_search")
METRICS = Path("metrics/text_finetune.json")
CURVE = Path("metrics/curves/text_finetune.csv")
COLUMNS = ("step", "learning_rate", "loss", "contrastive", "made_wrong", "score")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    finetune_text_search: Finetune


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    recipe = params.model_dump(exclude={"tensorboard"})
    checkpoints = checkpoint_folder(
        "text_search", recipe, *code_of(__file__), BEFORE, CAPTIONS, TRAIN, VAL
    )
    with sole_writer(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        model = EncodedComposer.load(BEFORE)
        if not isinstance(model.encoder, Encoder):
            raise UserError(
                f"{BEFORE} holds two towers with a space each; captions train towers that share one"
            )
        history, score = train(model, params, checkpoints, curve)
        if distributed.is_main_process():
            save(model, history, score)
            curve.write(history)


def train(
    model: EncodedComposer, params: Params, checkpoints: Path, curve: Curve
) -> tuple[list[dict[str, float]], float]:
    """Train, then mix the weights with the earlier ones; return the history and the score."""
    section, encoder, images = params.finetune_text_search, model.encoder, ImageShards(TRAIN)
    captions = chosen_captions(section, images)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    if section.gradient_checkpointing:
        encoder.use_gradient_checkpointing()
    section.start_temperature(encoder)
    plan = plan_batches(
        list(captions), section.batch_size, section.steps, params.seed, distributed.processes()
    )
    head_alone = section.train.what == "head"
    pixels = training_inputs(images, encoder, head_alone)
    val, val_pixels = read_captions(VAL), training_inputs(ImageShards(VAL), encoder, head_alone)
    history = fit(
        CaptionObjective(encoder, section.hard_negatives, params.seed),
        encoder_groups(
            encoder,
            section.train.shares(encoder),
            section.learning_rate,
            section.weight_decay,
        ),
        CaptionBatches(pixels, captions, plan, section.captions, params.seed),
        lambda: {"score": caption_score(encoder, val_pixels, val)},
        without_loaders(section, pixels),
        params.seed,
        checkpoints,
        "training on captions",
        curve.follow,
        optimisers.BY_NAME[section.optimiser],
    )
    encoder.load_state_dict(mixed(before, encoder.state_dict(), section.share))
    return history, caption_score(encoder.eval(), val_pixels, val)


def save(model: EncodedComposer, history: list[dict[str, float]], score: float) -> None:
    """Write the model and its metrics, each whole."""
    with files.whole_folder(MODEL) as folder:
        model.save(folder)
    Metrics(
        text_val_mrr=score,
        text_best_step=best_row(history)["step"],
        text_val_composed=composed(model),
        text_val_composed_before=composed(EncodedComposer.load(BEFORE)),
    ).write(METRICS)


def composed(model: EncodedComposer) -> float:
    """Return the accuracy on the main job's validation split, with sentences read by the tagger."""
    shards, triplets = ImageShards(COMPOSED), read_triplets(COMPOSED)
    edits = Tagger.load(TAGGER, DEVICE).tag([triplet.text for triplet in triplets])
    pixels = Pixels(shards, model.encoder)
    model = model.to(DEVICE).eval()
    return gallery_accuracy(model, pixels, shards.ids, triplets, edits)["accuracy"]


def chosen_captions(section: Finetune, images: ImageShards) -> dict[str, list[str]]:
    """Return the captions of each training image by the authors in `use`."""
    rows = captions_file.read(CAPTIONS)
    absent = sorted({name for name, _, _ in rows if name not in images})
    if absent:
        raise UserError(
            f"{CAPTIONS} has captions of {len(absent)} images that are not in {TRAIN}: "
            f"{listed(absent)}; caption the training split (caption_images.folder null)"
        )
    captions = captions_by_image((name, text) for name, text, by in rows if by in section.use)
    if not captions:
        raise UserError(f"{CAPTIONS} holds no caption by {' or '.join(section.use)}")
    return captions


if __name__ == "__main__":
    run(main)
