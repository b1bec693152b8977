"""Make random views of training images that depend on a seed only, also after an interruption."""

from collections.abc import Sequence

import torch
from torchvision.transforms import v2

from cir.classes.embedder.params import Augmentation


def views(params: Augmentation, pixels: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
    """Make a random view of each image: uint8 [B, 3, H, W] → the same shape.

    The view of an image depends only on the image and its seed.
    """
    change = _transform(params, tuple(pixels.shape[2:]))
    with torch.random.fork_rng(devices=[]):
        return torch.stack([_seeded(change, *pair) for pair in zip(pixels, seeds, strict=True)])


def _transform(params: Augmentation, size: tuple[int, int]) -> v2.Compose:
    steps: list[v2.Transform] = []
    if params.smallest_crop < 1:
        shape = (0.85, 1 / 0.85)
        steps.append(v2.RandomResizedCrop(size, (params.smallest_crop, 1.0), shape))
    if params.flip:
        steps.append(v2.RandomHorizontalFlip())
    steps.append(v2.ColorJitter(params.brightness, params.contrast, params.saturation, params.hue))
    if params.erase:
        steps.append(v2.RandomErasing(params.erase, (0.02, 0.2), value=128))
    return v2.Compose(steps)


def _seeded(change: v2.Compose, image: torch.Tensor, seed: int) -> torch.Tensor:
    # torch.manual_seed would also seed every GPU, and takes longer than all the changes together.
    torch.default_generator.manual_seed(seed)
    return change(image)
