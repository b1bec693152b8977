"""Write the exported folder's weights and settings, and build the retriever from them."""

import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

from cir import composers
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.device import DEVICE
from cir.core.weights import load_weights
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.retrieval.retriever import Retriever

_WEIGHTS = "weights.pth"
_SETTINGS = "settings.json"
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def take_apart(encoder: Path, tagger: Path, batch_size: int, folder: Path) -> None:
    """Write all weights of a trained encoder and tagger to one file in `folder`.

    Beside it stand the settings, and the two architectures with their tokenizers.
    """
    model = EncodedComposer.load(encoder)
    classifier = AutoModelForTokenClassification.from_pretrained(tagger, local_files_only=True)
    weights = {
        "tagger": classifier.state_dict(),
        "encoder": model.encoder.clip.state_dict(),
        "composer": model.composer.state_dict(),
    }
    torch.save(weights, folder / _WEIGHTS)
    settings = {
        "prompt": model.encoder.prompt,
        "inference": model.encoder.inference,
        "composer": model.composer.settings(),
        "batch_size": batch_size,
    }
    files.write_json(folder / _SETTINGS, settings)
    _copy_without_weights(encoder, folder / "encoder")
    _copy_without_weights(tagger, folder / "tagger")


def assemble(folder: Path) -> Retriever:
    """Build the retriever that `take_apart` wrote to `folder`, on a GPU if there is one."""
    weights = torch.load(folder / _WEIGHTS, weights_only=True, mmap=True)
    settings = files.read_json(folder / _SETTINGS)
    encoder = Encoder.create(
        f"local-dir:{folder / 'encoder'}", None, settings["prompt"], weights_follow=True
    )
    encoder.inference = settings["inference"]
    encoder.clip.load_state_dict(weights["encoder"])
    composer = composers.rebuild(settings["composer"])
    load_weights(composer, weights["composer"], str(folder / _WEIGHTS))
    config = AutoConfig.from_pretrained(folder / "tagger")
    classifier = AutoModelForTokenClassification.from_config(config)
    classifier.load_state_dict(weights["tagger"])
    tagger = Tagger(classifier.to(DEVICE), AutoTokenizer.from_pretrained(folder / "tagger"))
    return Retriever(EncodedComposer(encoder, composer).to(DEVICE), tagger, settings["batch_size"])


def _copy_without_weights(source: Path, destination: Path) -> None:
    destination.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix not in _WEIGHT_SUFFIXES:
            shutil.copyfile(path, destination / path.name)
