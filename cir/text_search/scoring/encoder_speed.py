"""Encode the images and texts of a split, and measure the speed.

Batches run one after another, so that the time in the encoder is separate from the time before it.
A rate is that of the fastest quarter of the batches, in several passes after at least a second of
warm-up. So it says what the encoder can do when nothing else occupies the machine.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from cir.core.progress import progress
from cir.images import decoding as image_bytes
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import unit_rows
from cir.text_search.scoring.scoring import unit_text_rows

_WARM = 1.0  # seconds
_PASSES, _TIMED = 4, 8  # the first pass takes all batches, each other pass _TIMED of them


class SearchEncoder(Protocol):
    """A torch module that encodes images and texts into a shared space."""

    dim: int
    image_size: tuple[int, int]
    device: torch.device

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into uint8 [3, H, W]."""

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → features [B, D], not normalised."""

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts → features [N, D], not normalised."""


def encode_images(
    model: SearchEncoder, images: ImageShards, batch_size: int
) -> tuple[np.ndarray, float, float]:
    """Return vectors [N, D] of length one, and images per second without and with decoding.

    One pass over all images and further passes over the first batches give the rates.
    """
    _warm_up(lambda: _encode_batch(model, next(_batches(images, batch_size))))
    parts: list[np.ndarray] = []
    times = _Times()
    whole = progress(_batches(images, batch_size), len(images), "encoding", "images", len)
    again = (islice(_batches(images, batch_size), _TIMED) for _ in range(_PASSES - 1))
    for number, batches in enumerate((whole, *again)):
        start = time.perf_counter()
        for batch in batches:
            vectors, inside = _encode_batch(model, batch)
            times.add(len(batch), inside, time.perf_counter() - start)
            if number == 0:
                parts.append(vectors)
            start = time.perf_counter()
    return np.concatenate(parts), _rate(times.sizes, times.inside), _rate(times.sizes, times.all)


@dataclass
class _Times:
    """The sizes of batches, the seconds in the encoder, and all seconds."""

    sizes: list[int] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)

    def add(self, size: int, inside: float, everything: float) -> None:
        self.sizes.append(size)
        self.inside.append(inside)
        self.all.append(everything)


def _batches(images: ImageShards, batch_size: int) -> Iterator[list[tuple[str, bytes]]]:
    """Yield batches of ids with encoded images; no batch has images of two shards."""
    for shard in images.shards():
        encoded = shard.encoded()
        while batch := list(islice(encoded, batch_size)):
            yield batch


def _encode_batch(model: SearchEncoder, batch: list[tuple[str, bytes]]) -> tuple[np.ndarray, float]:
    """Return the vectors of encoded images, and the seconds in the encoder."""
    pixels = np.stack([model.preprocess(image_bytes.decode(data, name)) for name, data in batch])
    start = time.perf_counter()
    features = model.encode_images(torch.from_numpy(pixels))
    vectors = unit_rows(features, [name for name, _ in batch]).cpu().numpy()  # waits for a GPU
    return vectors, time.perf_counter() - start


def encode_texts(
    model: SearchEncoder, texts: Sequence[str], batch_size: int
) -> tuple[np.ndarray, float]:
    """Return vectors [Q, D] of length one, and texts per second, measured as for images."""
    batches = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]
    _warm_up(lambda: unit_text_rows(model.encode_texts(batches[0]), batches[0]))
    parts: list[np.ndarray] = []
    sizes: list[int] = []
    seconds: list[float] = []
    for number in range(_PASSES):
        for batch in batches if number == 0 else batches[:_TIMED]:
            start = time.perf_counter()
            vectors = unit_text_rows(model.encode_texts(batch), batch)
            seconds.append(time.perf_counter() - start)
            sizes.append(len(batch))
            if number == 0:
                parts.append(vectors)
    return np.concatenate(parts), _rate(sizes, seconds)


def _warm_up(encode: Callable[[], object]) -> None:
    """Encode at least once and for _WARM seconds, so that caches, clocks and memory settle."""
    start = time.perf_counter()
    while True:
        encode()
        if time.perf_counter() - start >= _WARM:
            return


def _rate(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return items per second in the fastest quarter of the batches of the largest size.

    Other work on the machine can only slow a batch down, so the fastest batches show the encoder's
    time. A single fastest batch could be luck.
    """
    largest = np.array(sizes) == max(sizes)
    ascending = np.sort(np.array(seconds)[largest])
    return float(max(sizes) / ascending[: -(-len(ascending) // 4)].mean())


def device() -> str:
    """Name the device on which torch computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"processor, {torch.get_num_threads()} threads"
