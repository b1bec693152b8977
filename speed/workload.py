"""Load what the benchmarks run on: the pipeline's models and test split, or stand-ins."""

from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from cir.composers.model import EncodedComposer
from cir.core.records import Edit
from cir.datasets.scenes import all_names, draw_scene
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import split_words
from cir.encoders import Encoder
from cir.images import shards
from cir.retrieval.retriever import Retriever

ENCODER = Path("models/encoder")
TAGGER = Path("models/tagger")
TEST = Path("data/retrieval/test")
_SENTENCE = "Take out the {}, and put a {} and a {} in its place."


@dataclass(frozen=True)
class Workload:
    """Queries: reference images (encoded and decoded), their sentences, and their edits.

    The edits are the true ones if they are known, so that the number of names to encode does not
    depend on how well the tagger is trained.
    """

    encoded: list[bytes]
    images: list[Image.Image]
    texts: list[str]
    edits: list[Edit]


def load_retriever(batch_size: int) -> tuple[Retriever, str]:
    """Load the pipeline's retriever, or make a fresh one; also return in words where it is from."""
    if ENCODER.is_dir() and TAGGER.is_dir():
        return Retriever.load(ENCODER, TAGGER, batch_size), f"{ENCODER} and {TAGGER}"
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-Micro-64", None, "a photo of a {}")
    model = EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC))
    return Retriever(model, _fresh_tagger(), batch_size), "freshly initialised micro models"


def larger_retriever(retriever: Retriever, batch_size: int) -> Retriever:
    """Return a retriever with a random ViTamin-S at 224 pixels, as slow as a published encoder."""
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-S", None, "a photo of a {}")
    model = EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC))
    return Retriever(model, retriever.tagger, batch_size)


def load_workload(count: int) -> tuple[Workload, str]:
    """Load `count` queries of the test split, or draw them; also return where they are from.

    A split with fewer queries is repeated.
    """
    if not TEST.is_dir():
        return _drawn(count), "scenes drawn for this run"
    split = shards.ImageShards(TEST)
    triplets = list(islice(cycle(shards.read_triplets(TEST)), count))
    edits = [triplet.edit or Edit(triplet.text) for triplet in triplets]
    workload = Workload(
        [split.encoded(triplet.reference) for triplet in triplets],
        [split.image(triplet.reference) for triplet in triplets],
        [triplet.text for triplet in triplets],
        edits,
    )
    return workload, str(TEST)


def write_gallery(folder: Path, encoded: list[bytes], count: int) -> tuple[shards.Shard, ...]:
    """Write a gallery of `count` images: the given ones, repeated under different ids."""
    rows = ((f"{n:06d}", data, ()) for n, data in zip(range(count), cycle(encoded), strict=False))
    shards.write(folder, rows, [], {})
    return shards.ImageShards(folder).shards()


def _drawn(count: int) -> Workload:
    rng = np.random.default_rng(0)
    names = all_names()
    drawn, edits = [], []
    for _ in range(count):
        shown = [names[index] for index in rng.choice(len(names), 5, replace=False)]
        drawn.append(draw_scene(shown[:3], rng, 64))
        text = _SENTENCE.format(shown[0], *shown[3:])
        edits.append(Edit(text, tuple(shown[3:]), (shown[0],)))
    return Workload([_jpeg(image) for image in drawn], drawn, [edit.text for edit in edits], edits)


def _jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _fresh_tagger() -> Tagger:
    """Return a tagger of the default size with random weights."""
    size = FromScratch(layers=3, width=128, heads=4, hidden=512, dropout=0.1, longest=128)
    return Tagger(*fresh_model(size, split_words(_SENTENCE), seed=0))
