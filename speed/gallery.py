"""Compare the rate of embedding a gallery with the encoder's bare forward rate."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from cir.encoders import Encoder
from cir.images import decoding as images
from cir.retrieval.ranking.embedding import embed
from speed.workload import Workload, write_gallery


def share_of_bare_rate(
    encoder: Encoder, workload: Workload, count: int, batch_size: int, repeats: int = 3
) -> float:
    """Return the rate of `embed`, with reading and writing, divided by that of the forward pass.

    Both take `count` images in batches of the same size, by turns, so that other work on the
    machine slows both. The result is the median of the ratios.
    """
    with TemporaryDirectory() as place:
        gallery = write_gallery(Path(place, "images"), workload.encoded, count)
        batches = _decoded(encoder, gallery, batch_size)
        _forward(encoder, batches[:2])  # warm up
        ratios = []
        for turn in range(repeats):
            bare = _forward(encoder, batches)
            started = time.perf_counter()
            embed(encoder, gallery, Path(place, f"out{turn}"), Path(place, "work"), batch_size)
            ratios.append(bare / (time.perf_counter() - started))
    return float(np.median(ratios))


def _decoded(encoder: Encoder, gallery, batch_size: int) -> list[torch.Tensor]:
    pixels = [
        encoder.preprocess(images.decode(data, name))
        for shard in gallery
        for name, data in shard.encoded()
    ]
    return list(torch.from_numpy(np.stack(pixels)).split(batch_size))


def _forward(encoder: Encoder, batches: list[torch.Tensor]) -> float:
    """Return the seconds of the forward pass over these batches."""
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            encoder.encode_images(batch).cpu()
    return time.perf_counter() - started
