"""Random views of training images, the same for a step however often the run was interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torchvision.transforms import v2


@dataclass(frozen=True)
class Augmentation:
    """What may change between two pictures of one class.

    Args:
        smallest_crop: the least share of the picture that a crop keeps; 1 crops nothing.
        flip: whether to mirror half of the pictures.
        brightness, contrast, saturation: the largest relative change.
        hue: the largest turn, in circles, at most 0.5. 0 where colours tell classes apart.
        erase: the share of pictures in which a random box is painted over.
    """

    smallest_crop: float
    flip: bool
    brightness: float
    contrast: float
    saturation: float
    hue: float
    erase: float

    def views(self, pixels: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """A random view of each image: uint8 [B, 3, H, W] → the same shape.

        An image's view depends on its own seed and on nothing else.
        """
        change = self._transform(tuple(pixels.shape[2:]))
        with torch.random.fork_rng(devices=[]):
            return torch.stack([_seeded(change, *pair) for pair in zip(pixels, seeds, strict=True)])

    def _transform(self, size: tuple[int, int]) -> v2.Compose:
        steps: list[v2.Transform] = []
        if self.smallest_crop < 1:
            shape = (0.85, 1 / 0.85)
            steps.append(v2.RandomResizedCrop(size, (self.smallest_crop, 1.0), shape))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        steps.append(v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue))
        if self.erase:
            steps.append(v2.RandomErasing(self.erase, (0.02, 0.2), value=128))
        return v2.Compose(steps)


def _seeded(change: v2.Compose, image: torch.Tensor, seed: int) -> torch.Tensor:
    # torch.manual_seed would also seed every GPU, and takes longer than all the changes together.
    torch.default_generator.manual_seed(seed)
    return change(image)
