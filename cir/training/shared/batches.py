"""What a training step sees: which triplets or images, and their pixels.

A step's batch depends on the seed and the step's number alone, so that training that was killed
goes on with the very batches it would have seen, and each of several processes knows the whole
batch while it decodes only its own slice.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from cir.core.errors import UserError


def plan_batches(
    keys: Sequence[Hashable], batch_size: int, steps: int, seed: int, multiple_of: int = 1
) -> list[np.ndarray]:
    """Choose the items of every step, each epoch in a new order.

    Within a batch all keys differ: two queries with one target would be each other's negatives.
    An item whose key the batch already holds waits for a later batch of its epoch.

    Args:
        keys: one per item; for triplets what the target shows.
        batch_size: items in a batch; fewer where there are fewer different keys.
        steps: how many batches.
        multiple_of: the number of processes, by which the size of a batch must divide.

    Returns:
        `steps` arrays of item numbers, all of one length.

    Raises:
        UserError: there are fewer different keys than processes.
    """
    size = min(batch_size, len(set(keys)))
    size -= size % multiple_of
    if size < 1:
        raise UserError(
            f"the training split has {len(set(keys))} different targets or images: too few for "
            f"{multiple_of} processes"
        )
    batches: list[np.ndarray] = []
    epoch = 0
    while len(batches) < steps:
        order = np.random.default_rng((seed, epoch)).permutation(len(keys))
        batches.extend(_batches_of_epoch(order, keys, size))
        epoch += 1
    return batches[:steps]


def _batches_of_epoch(order: np.ndarray, keys: Sequence[Hashable], size: int) -> list[np.ndarray]:
    batches = []
    waiting: list[int] = []
    batch: list[int] = []
    taken: set[Hashable] = set()
    remaining = [int(item) for item in order]
    while remaining:
        for item in remaining:
            if keys[item] in taken:
                waiting.append(item)
                continue
            batch.append(item)
            taken.add(keys[item])
            if len(batch) == size:
                batches.append(np.array(batch))
                batch, taken = [], set()
        if len(waiting) == len(remaining) or (waiting and not batch and not batches):
            break
        remaining, waiting = (waiting, []) if batch or len(waiting) >= size else ([], [])
    return batches


class Images(Protocol):
    """Whatever gives images by id, such as cir.images.shards.ImageShards."""

    def image(self, name: str) -> Image.Image:
        """The image of this id, in RGB."""


class Preprocessing(Protocol):
    """An encoder's way to look at images; see cir.encoders.Encoder."""

    image_size: tuple[int, int]

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """An RGB image → uint8 [3, H, W]."""


class Pixels:
    """Preprocessed images, as many of them kept in memory as the budget allows.

    Args:
        images: where they are.
        encoder: whose preprocessing to apply.
        budget: bytes that preprocessed images may take; those beyond it are decoded at each use.
    """

    def __init__(self, images: Images, encoder: Preprocessing, budget: int = 2 << 30):
        self._images = images
        self._preprocess = encoder.preprocess
        self._room = budget // int(np.prod((3, *encoder.image_size)))
        self._kept: dict[str, np.ndarray] = {}

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] of the images of these ids."""
        return torch.from_numpy(np.stack([self._one(name) for name in names]))

    def _one(self, name: str) -> np.ndarray:
        if (pixels := self._kept.get(name)) is not None:
            return pixels
        pixels = self._preprocess(self._images.image(name))
        if len(self._kept) < self._room:
            self._kept[name] = np.ascontiguousarray(pixels)
        return pixels
