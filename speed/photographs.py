"""Compare the rate of indexing photographs with the bare rate of the photo tower."""

import time
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from transformers import BertConfig

from cir.app.search_model import RetrieverModel
from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from cir.composers.model import EncodedComposer
from cir.core.device import in_threads
from cir.encoders import Encoder, conse
from cir.images import decoding as images
from speed.indexing import index_seconds

SIZE = 640, 480
_BATCHES = 1, 2, 4, 8, 16
_TRIED = 16  # images, to find the best way to run the tower


def share_of_bare_rate(count: int = 96, repeats: int = 3) -> tuple[float, float]:
    """Return the rate of `cir index` divided by the tower's, and the images indexed a second.

    The tower alone runs over the same images, decoded before, in the way that is fastest here: with
    the best of several batch sizes, on one batch a thread or on one batch with all threads. Both
    take turns, and the fastest turn of each counts.
    """
    model = _photo_model()
    with TemporaryDirectory() as place:
        folder = Path(place, "images")
        folder.mkdir()
        for number, data in enumerate(_photographs(count)):
            Path(folder, f"{number:04d}.jpg").write_bytes(data)
        files = sorted(folder.iterdir())
        pixels = np.stack([model.preprocess(images.decode(file, file.name)) for file in files])
        ways = list(product(_BATCHES, (False, True)))
        tried = [[_seconds(model, pixels[:_TRIED], *way) for way in ways] for _ in range(2)]
        _, best = min(zip(np.min(tried, axis=0), ways, strict=True))
        bare, indexed = [], []
        for turn in range(repeats):
            bare.append(_seconds(model, pixels, *best))
            indexed.append(index_seconds(model, folder, Path(place, f"store{turn}"), None))
    return min(bare) / min(indexed), count / min(indexed)


def _photo_model() -> RetrieverModel:
    """Return the photo towers with random weights, which are as fast as the pretrained ones."""
    words = BertConfig(hidden_size=384, num_hidden_layers=1, num_attention_heads=12)
    config = conse.config_of("tf_efficientnet_lite2", 1000, conse._SIZE, words)
    encoder = Encoder(conse.ConSE(config).eval(), config, None, "{}")
    return RetrieverModel(EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC)))


def _photographs(count: int) -> Iterator[bytes]:
    """Yield JPEGs of random clouds, whose spectrum and size in bytes are like a photograph's."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        clouds = np.zeros((SIZE[1], SIZE[0], 3))
        for cells in (4, 8, 16, 32, 64, 128, 256, 512):
            noise = rng.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
            grown = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
            clouds += (np.asarray(grown) / 255 - 0.5) * cells**-0.6
        scaled = (clouds / np.abs(clouds).max() + 1) * 127.5
        buffer = BytesIO()
        Image.fromarray(scaled.astype(np.uint8)).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def _seconds(model: RetrieverModel, pixels: np.ndarray, batch: int, threads: bool) -> float:
    """Return the seconds of the tower over these images, with one batch a thread or not."""
    batches = np.split(pixels, range(batch, len(pixels), batch))
    started = time.perf_counter()
    if threads:
        for _ in in_threads(model.encode_pixels, batches):
            pass
    else:
        for one in batches:
            model.encode_pixels(one)
    return time.perf_counter() - started
