"""Fetch a published model once, verify it, and write it in the project's own form.

A model's folder is what `EncodedComposer.save` writes, with a record, model.json: the name, the
source, the licence and the SHA-256 of each file. Reading it needs no network.
"""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from cir import composers
from cir.composers.model import EncodedComposer
from cir.composers.params import ArithmeticParams
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import say
from cir.encoders import Encoder, conse
from cir.encoders.paired import load_encoder
from cir.retrieval.models.catalogue import RECORD, Preset, folder_name, preset_of, read_record

_COMPOSED = "composer.json"  # marks a folder in the project's own form that has a composer
_TEXTS = ("a photo of a dog", "two red chairs on a beach")


def get(name: str, models: Path, save_as: str | None = None) -> Path:
    """Fetch a model, verify it, and write its folder whole or not at all.

    Args:
        name: the name of a preset, or a source (cir.retrieval.models.catalogue).
        models: the folder of models; it may not exist yet.
        save_as: the name of the model's folder in `models`; None: `folder_name(name)`.

    Returns:
        The folder.

    Raises:
        UserError: there is no such model, it cannot be fetched, it is damaged, or it does not give
            usable vectors; or the folder holds a model that was trained here.
    """
    preset = preset_of(name)
    folder = models / folder_name(save_as or name)
    if folder.exists() and not (folder / RECORD).is_file():
        raise UserError(
            f"{folder} was not written by cir models get, so it is kept: give the new model "
            "another name with --as"
        )
    with files.exclusive(folder):
        model = _model_of(preset).eval()
        vectors = probe(model.encoder, name)
        with files.whole_folder(folder) as unfinished:
            say(f"writing {folder}")
            model.save(unfinished)
            del model
            files.write_json(unfinished / RECORD, _record(name, preset, unfinished))
            again = probe(EncodedComposer.load(unfinished).eval().encoder, name)
            if not torch.allclose(vectors, again, rtol=1e-3, atol=1e-5):
                raise UserError(f"{name} gives other vectors once it is saved and read again")
    return folder


def check(folder: Path) -> EncodedComposer:
    """Read a model's folder again: digests, shapes and the vectors of a known image and text.

    Raises UserError if a file is missing or another one, or the vectors are unusable.
    """
    record = read_record(folder)
    where = "" if folder.parent == Path("models") else f" --models {folder.parent}"
    again = f"cir models get {record['name']} --as {folder.name}{where}"
    for name, expected in record["files"].items():
        path = folder / name
        found = files.file_digest(path) if path.is_file() else "missing"
        if found != expected:
            raise UserError(
                f"{path} is not the file that was fetched (expected SHA-256 {expected}, got "
                f"{found}): fetch it again with {again}"
            )
    model = EncodedComposer.load(folder).eval()
    probe(model.encoder, folder.name)
    return model


@torch.inference_mode()
def probe(encoder: Any, name: str) -> torch.Tensor:
    """Encode two known images and two known texts, and return all numbers in one vector.

    Raises UserError if the vectors have a wrong length, are not finite, or do not tell the images
    or the texts apart, as those of damaged weights.
    """
    images = np.stack([encoder.preprocess(image) for image in _known_images()])
    parts = encoder.encode_images(torch.from_numpy(images)), encoder.encode_texts(_TEXTS)
    lengths = encoder.dim, encoder.text_dim
    for what, vectors, length in zip(("images", "texts"), parts, lengths, strict=True):
        if tuple(vectors.shape) != (2, length):
            raise UserError(
                f"{name} should give 2 vectors of length {length} to 2 {what}, but it gives an "
                f"array of shape {tuple(vectors.shape)}"
            )
        if not vectors.isfinite().all():
            raise UserError(f"{name} gives vectors of {what} that are not finite numbers")
        if torch.allclose(vectors[0], vectors[1], rtol=1e-6, atol=0):
            raise UserError(f"{name} gives one vector to different {what}: its weights are damaged")
    return torch.cat([vectors.flatten() for vectors in parts]).float().cpu()


def _known_images() -> list[Image.Image]:
    """Return two images that no random state changes: a slope of colours, and a chequerboard."""
    down, across = np.mgrid[0:256, 0:256].astype(np.uint8)
    squares = ((down // 32 + across // 32) % 2 * 255).astype(np.uint8)
    slope = np.stack([down, across, 255 - down], axis=-1)
    return [Image.fromarray(slope), Image.fromarray(np.stack([squares] * 3, axis=-1))]


def _model_of(preset: Preset) -> EncodedComposer:
    """Build the encoder, and the arithmetic with weights for towers that no triplet has trained."""
    kind, _, place = preset.source.partition(":")
    if kind == "local-dir" and Path(place, _COMPOSED).is_file():
        return EncodedComposer.load(place)
    encoder = _encoder_of(preset.source, kind, place, preset.prompt)
    weights = ArithmeticParams(
        name="arithmetic",
        normalise_image=True,
        normalise_objects=True,
        image_weight=preset.image_weight,
        added_weight=1.0,
        removed_weight=1.0,
    )
    return EncodedComposer(encoder, composers.create(weights, encoder.dim, encoder.text_dim))


def _encoder_of(source: str, kind: str, place: str, prompt: str) -> Any:
    if kind == "packages":
        return Encoder.create(place, conse.PACKAGES, prompt)
    if kind == "local-dir" and Path(place, "prompt.json").is_file():
        return load_encoder(place)
    if kind != "open_clip":
        encoder = Encoder.create(source, None, prompt)
    else:
        model, _, weights = place.partition("/")
        if not weights:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
            raise UserError(
                f"{source} names no weights: add /TAG or /FILE; open_clip knows these tags of "
                f"{model}: {tags}"
            )
        encoder = Encoder.create(model, weights, prompt)
    if "hf_model_name" in encoder.config.get("text_cfg", {}):
        raise UserError(
            f"{source} has a text tower of transformers, which open_clip asks the hub for each "
            "time it loads it: such a model cannot be kept here; choose another one"
        )
    return encoder


def _record(name: str, preset: Preset, folder: Path) -> dict[str, Any]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "name": name,
        "source": preset.source,
        "licence": preset.licence,
        "page": preset.page,
        "date": date.today().isoformat(),
        "files": {path.relative_to(folder).as_posix(): files.file_digest(path) for path in paths},
    }
