"""An encoder made of an image tower and a text encoder that were trained apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from cir.core import files
from cir.core.device import with_precision
from cir.core.errors import UserError
from cir.encoders.bert import FrozenBert
from cir.encoders.clip_encoder import Encoder
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM

_IMAGES, _TEXTS = "images", "texts"
# The key is the file that marks a folder as a saved tower of that class.
_IMAGE_TOWERS = {ResNet18.SETTINGS: ResNet18, Encoder.SETTINGS: Encoder}
_TEXT_ENCODERS = {WordLSTM.SETTINGS: WordLSTM, FrozenBert.SETTINGS: FrozenBert}


class GivenFeatures(nn.Module):
    """Stands in for a frozen image tower: takes features computed earlier and returns them.

    Args:
        dim: D, the length of the features.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.backbone = self.projection = nn.Identity()  # no weights; a ResNet18 has both parts

    def encode_images(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features float [B, D] unchanged."""
        return features


class PairedEncoder(nn.Module):
    """An image tower and a text encoder with features in different spaces.

    Do not use it with the arithmetic composers, which add text features to image features. Learned
    composers can use it.

    Args:
        images: a ResNet18, the image tower of an Encoder, or GivenFeatures.
        texts: a WordLSTM or a FrozenBert.
    """

    def __init__(self, images: ResNet18 | Encoder | GivenFeatures, texts: WordLSTM | FrozenBert):
        super().__init__()
        self.images = images
        self.texts = texts

    @classmethod
    def load(cls, folder: Path | str) -> "PairedEncoder":
        """Read a folder that `save` wrote; raises UserError if a half is missing or incomplete."""
        folder = Path(folder)
        return cls(
            _load_kind(folder / _IMAGES, _IMAGE_TOWERS), _load_kind(folder / _TEXTS, _TEXT_ENCODERS)
        )

    def save(self, folder: Path | str) -> None:
        """Write each half into its own folder inside an existing folder."""
        for name, half in ((_IMAGES, self.images), (_TEXTS, self.texts)):
            (Path(folder) / name).mkdir()
            half.save(Path(folder) / name)

    @property
    def dim(self) -> int:
        """Return the length of the images' vectors."""
        return self.images.dim

    @property
    def text_dim(self) -> int:
        """Return the length of the texts' vectors."""
        return self.texts.dim

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.texts.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Return height and width in pixels of a preprocessed image."""
        return self.images.image_size

    def fingerprint(self) -> str:
        """Return a digest of both halves: equal only if the vectors are equal."""
        digest = files.fingerprint(self.images.fingerprint(), self.texts.fingerprint())
        return with_precision(digest, self.precision)

    @property
    def precision(self) -> str:
        """Return the precision of the images' vectors; texts are encoded in fp32."""
        return getattr(self.images, "precision", "fp32")

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Prepare an RGB image for the image tower: uint8 [3, H, W]."""
        return self.images.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode the image tower's input as features [B, D], not normalised."""
        return self.images.encode_images(pixels.to(self.device, non_blocking=True))

    def encode_names(self, names: Sequence[str]) -> torch.Tensor:
        """Encode N names, without a prompt, as features [N, E]."""
        return self.encode_texts(names)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts as features [N, E]."""
        return self.texts.encode_texts(texts)


def load_encoder(folder: Path | str) -> Encoder | PairedEncoder:
    """Read an encoder of either kind; raises UserError if the folder holds none."""
    paired = (Path(folder) / _IMAGES).is_dir()
    return PairedEncoder.load(folder) if paired else Encoder.load(folder)


def _load_kind(folder: Path, kinds: Mapping[str, type]):
    for settings, kind in kinds.items():
        if (folder / settings).is_file():
            return kind.load(folder)
    raise UserError(f"{folder} is no saved half of an encoder: it has none of {', '.join(kinds)}")
