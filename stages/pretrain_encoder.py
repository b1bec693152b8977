"""Train the encoder on images and the names of their objects, or take a published one as it is."""

from pathlib import Path

import numpy as np
import torch

from cir.core import distributed, files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.training.naming import NamingBatches, NamingObjective, naming_score, objects_by_image
from cir.training.params import EncoderChoice, Pretrain
from cir.training.shared import optimisers
from cir.training.shared.batches import Pixels, plan_batches
from cir.training.shared.loop import fit, sole_writer
from cir.training.shared.parameter_groups import all_layers, encoder_groups
from stages.params import StageParams, load
from stages.run import code_of, run

TRAIN = Path("data/retrieval/train")
TAGGER = Path("models/tagger")
MODEL = Path("models/encoder_base")
CURVE = Path("metrics/curves/pretrain.csv")
COLUMNS = ("step", "learning_rate", "loss", "naming", "score")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    encoder: EncoderChoice
    pretrain_encoder: Pretrain


def main() -> None:
    params = load(Params)
    torch.manual_seed(params.seed)
    encoder = params.encoder.create()
    verify(encoder)
    if not params.pretrain_encoder.steps:
        save(encoder, [], Curve(CURVE, COLUMNS, None))
        return
    shards = ImageShards(TRAIN)
    objects = {name: shards.objects(name) for name in shards.ids}
    # Only where the source names no objects, sentences have to be read for them.
    unclear = [] if any(objects.values()) else read_triplets(TRAIN)
    inputs = (TRAIN, TAGGER) if unclear else (TRAIN,)
    recipe = params.model_dump(exclude={"tensorboard"})
    checkpoints = checkpoint_folder("pretrain", recipe, *code_of(__file__), *inputs)
    with sole_writer(MODEL, checkpoints):
        edits = Tagger.load(TAGGER, DEVICE).tag([t.text for t in unclear]) if unclear else []
        objects = objects_by_image(objects, unclear, edits)
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        save(encoder, train(encoder, shards, objects, params, checkpoints, curve), curve)


def train(
    encoder: Encoder,
    shards: ImageShards,
    objects: dict[str, tuple[str, ...]],
    params: Params,
    checkpoints: Path,
    curve: Curve,
) -> list[dict[str, float]]:
    """Train on the images of the training split whose objects are known."""
    section = params.pretrain_encoder
    held_out, kept = hold_out(objects, section.held_out, params.seed)
    plan = plan_batches(
        list(kept), section.batch_size, section.steps, params.seed, distributed.processes()
    )
    pixels = Pixels(shards, encoder)
    section.start_temperature(encoder)
    return fit(
        NamingObjective(encoder),
        encoder_groups(
            encoder,
            all_layers(encoder, section.layer_decay),
            section.learning_rate,
            section.weight_decay,
        ),
        NamingBatches(pixels, kept, plan),
        lambda: {"score": naming_score(encoder, pixels, held_out)},
        section,
        params.seed,
        checkpoints,
        "pretraining the encoder",
        curve.follow,
        optimisers.BY_NAME[section.optimiser],
    )


def hold_out(objects: dict, count: int, seed: int) -> tuple[dict, dict]:
    """Divide the images into `count` (at most a tenth) that choose the checkpoint, and the rest."""
    names = list(objects)
    count = min(count, max(1, len(names) // 10))
    chosen = set(np.random.default_rng(seed).choice(len(names), count, replace=False))
    held_out = {name: objects[name] for number, name in enumerate(names) if number in chosen}
    return held_out, {name: objects[name] for name in names if name not in held_out}


@torch.inference_mode()
def verify(encoder: Encoder) -> None:
    """Check that the model encodes an image and a name into finite vectors of the same length."""
    encoder.eval()
    pixels = torch.zeros(1, 3, *encoder.image_size, dtype=torch.uint8)
    image, name = encoder.encode_images(pixels), encoder.encode_names(["umbrella"])
    assert image.shape == name.shape == (1, encoder.dim), f"{image.shape}, {name.shape}"
    if not (image.isfinite().all() and name.isfinite().all()):
        raise UserError("the encoder's weights give features that are not finite numbers")


def save(encoder: Encoder, history: list[dict[str, float]], curve: Curve) -> None:
    """Write the model and its curve."""
    if not distributed.is_main_process():
        return
    with files.whole_folder(MODEL) as folder:
        encoder.save(folder)
    curve.write(history)


if __name__ == "__main__":
    run(main)
