"""Choose the items of every training step, and give their pixels.

A batch depends only on the seed and the number of its step. A training that was killed therefore
resumes with the same batches, and each of several processes knows the whole batch but decodes
only its own slice.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from PIL import Image

from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.training.shared.params import Schedule


def plan_batches(
    keys: Sequence[Hashable], batch_size: int, steps: int, seed: int, multiple_of: int = 1
) -> list[np.ndarray]:
    """Choose the items of every step, in a new order in each epoch.

    Within a batch all keys differ, because two queries with the same target would be each other's
    negatives. An item whose key is already in the batch waits for a later batch of its epoch.

    Args:
        keys: one key for each item; for triplets, the content of the target.
        batch_size: items in a batch; fewer if there are fewer different keys.
        steps: number of batches.
        seed: of the order.
        multiple_of: number of processes; the size of a batch is a multiple of it.

    Returns:
        `steps` arrays of item numbers, all of the same length.

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


_TRUNK_BATCH = 64  # images that the frozen trunk encodes at once


class Images(Protocol):
    """A source of images by id, such as cir.images.shards.ImageShards."""

    def image(self, name: str) -> Image.Image:
        """Return the image of this id, in RGB."""


class Preprocessing(Protocol):
    """The preprocessing of an encoder; see cir.encoders.Encoder."""

    image_size: tuple[int, int]

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into uint8 [3, H, W]."""


class Pixels:
    """Preprocess images, and keep as many of them in memory as the budget allows.

    Args:
        images: the source of the images.
        encoder: preprocesses them.
        budget: bytes for preprocessed images; further images are decoded at each use.
    """

    def __init__(self, images: Images, encoder: Preprocessing, budget: int = 2 << 30):
        self._images = images
        self._preprocess = encoder.preprocess
        self._room = budget // int(np.prod((3, *encoder.image_size)))
        self._kept: dict[str, np.ndarray] = {}

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """Return the pixels uint8 [B, 3, H, W] of the images with these ids."""
        return torch.from_numpy(np.stack([self._one(name) for name in names]))

    def _one(self, name: str) -> np.ndarray:
        if (pixels := self._kept.get(name)) is not None:
            return pixels
        pixels = self._preprocess(self._images.image(name))
        if len(self._kept) < self._room:
            self._kept[name] = np.ascontiguousarray(pixels)
        return pixels


class TrunkFeatures(Pixels):
    """Stands in for Pixels where only the head learns: gives what the frozen trunk makes of images.

    Each image is encoded once and kept, as far as the budget allows; what a step lacks is encoded
    in one batch. The results are those of training with the trunk in the loop. On a GPU, call it
    in the process that trains, as another process cannot use its encoder.

    Args:
        images, budget: see Pixels.
        encoder: has a trunk; its `encode_images` takes these features in place of pixels.
    """

    def __init__(self, images: Images, encoder: Encoder, budget: int = 4 << 30):
        super().__init__(images, encoder, 0)
        self._encoder, self._budget = encoder, budget
        self._features: dict[str, torch.Tensor] = {}

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """Return the features float [B, ...] of the images with these ids."""
        new = [name for name in dict.fromkeys(names) if name not in self._features]
        parts = [new[start : start + _TRUNK_BATCH] for start in range(0, len(new), _TRUNK_BATCH)]
        made = {name: feature for part in parts for name, feature in self._encoded(part)}
        features = torch.stack([made.get(n, self._features.get(n)) for n in names])
        for name, feature in made.items():
            if (size := feature.nbytes) <= self._budget:
                self._budget -= size
                self._features[name] = feature
        return features

    @torch.no_grad()
    def _encoded(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        features = self._encoder.trunk_features(super().get(names)).float().cpu()
        return zip(names, features.unbind(), strict=True)


class KeptNames:
    """Encodes names by a frozen text tower: each name once, and all new ones of a step together.

    The tower must have no dropout, as those of open_clip, because one draw would be kept for good.
    The features stay on the device of the tower, as many as the training has different names.
    """

    def __init__(self, encode: Callable[[Sequence[str]], torch.Tensor]):
        self._encode = encode
        self._kept: dict[str, torch.Tensor] = {}

    def __call__(self, names: Sequence[str]) -> torch.Tensor:
        """Return the features float [N, D] of N names, without gradients."""
        new = [name for name in dict.fromkeys(names) if name not in self._kept]
        with torch.no_grad():
            features = self._encode(new)
        self._kept.update(zip(new, features.unbind(), strict=True))
        return torch.stack([self._kept[name] for name in names]) if names else features


def training_inputs(images: Images, encoder: Encoder, head_alone: bool) -> Pixels:
    """Return the images as what training needs of them: pixels, or features of a frozen trunk."""
    return (TrunkFeatures if head_alone and encoder.has_trunk else Pixels)(images, encoder)


S = TypeVar("S", bound=Schedule)


def without_loaders(schedule: S, inputs: Pixels) -> S:
    """Return the schedule; without processes that prepare batches if the inputs need an encoder."""
    of_the_trunk = isinstance(inputs, TrunkFeatures)
    return schedule.model_copy(update={"workers": 0}) if of_the_trunk else schedule
