"""Two towers that know nothing of each other behind the interface of one encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from cir.core import files
from cir.core.errors import UserError
from cir.encoders.bert import FrozenBert
from cir.encoders.clip_encoder import Encoder
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM

_IMAGES, _TEXTS = "images", "texts"
# By the file that tells which of them a folder holds.
_IMAGE_TOWERS = {ResNet18.SETTINGS: ResNet18, Encoder.SETTINGS: Encoder}
_TEXT_ENCODERS = {WordLSTM.SETTINGS: WordLSTM, FrozenBert.SETTINGS: FrozenBert}


class GivenFeatures(nn.Module):
    """In the place of an image tower that stands still: its images are their own features.

    Args:
        dim: D, the length of the features.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.backbone = self.projection = nn.Identity()  # nothing to train, as in a ResNet18 all is

    def encode_images(self, features: torch.Tensor) -> torch.Tensor:
        """Features float [B, D] → the same."""
        return features


class PairedEncoder(nn.Module):
    """An image tower and a text encoder, each with a space and a length of its own.

    Composers that add names to images make nothing of it; those that learn from a text do.

    Args:
        images: a ResNet18, an Encoder of which the image half is used, or GivenFeatures.
        texts: a WordLSTM or a FrozenBert.
    """

    def __init__(self, images: ResNet18 | Encoder | GivenFeatures, texts: WordLSTM | FrozenBert):
        super().__init__()
        self.images = images
        self.texts = texts

    @classmethod
    def load(cls, folder: Path | str) -> "PairedEncoder":
        """Read what `save` wrote; UserError where a half is missing or incomplete."""
        folder = Path(folder)
        return cls(
            _load_kind(folder / _IMAGES, _IMAGE_TOWERS), _load_kind(folder / _TEXTS, _TEXT_ENCODERS)
        )

    def save(self, folder: Path | str) -> None:
        """Write both halves into folders of their own in an existing folder."""
        for name, half in ((_IMAGES, self.images), (_TEXTS, self.texts)):
            (Path(folder) / name).mkdir()
            half.save(Path(folder) / name)

    @property
    def dim(self) -> int:
        """Length of the images' vectors."""
        return self.images.dim

    @property
    def text_dim(self) -> int:
        """Length of the texts' vectors."""
        return self.texts.dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.texts.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of what `preprocess` returns."""
        return self.images.image_size

    def fingerprint(self) -> str:
        """A short digest of both halves: equal iff the vectors would be."""
        return files.fingerprint(self.images.fingerprint(), self.texts.fingerprint())

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """An RGB image as the image tower wants to see it: uint8 [3, H, W]."""
        return self.images.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the image tower takes → features [B, D], not normalised."""
        return self.images.encode_images(pixels.to(self.device, non_blocking=True))

    def encode_names(self, names: Sequence[str]) -> torch.Tensor:
        """Names as they are → features [N, E]."""
        return self.encode_texts(names)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → features [N, E]; [0, E] for no texts."""
        return self.texts.encode_texts(texts)


def load_encoder(folder: Path | str) -> Encoder | PairedEncoder:
    """Read an encoder of either kind; UserError where the folder holds none."""
    paired = (Path(folder) / _IMAGES).is_dir()
    return PairedEncoder.load(folder) if paired else Encoder.load(folder)


def _load_kind(folder: Path, kinds: Mapping[str, type]):
    for settings, kind in kinds.items():
        if (folder / settings).is_file():
            return kind.load(folder)
    raise UserError(f"{folder} holds no half of an encoder: it has none of {', '.join(kinds)}")
