"""Define the class embedder: a timm tower, a pooling of its tokens, and a linear head."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from cir.classes.embedder.pooling import POOLINGS
from cir.classes.embedder.towers import TokenTower, create_tower
from cir.core import files
from cir.core.errors import UserError
from cir.core.weights import contiguous_weights, load_weights, read_weights, weights_digest

_WEIGHTS = "class_embedder.safetensors"


class ClassEmbedder(nn.Module):
    """A TokenTower, then dropout, a linear layer to D and batch normalisation.

    Args:
        backbone: the tower with its pooling.
        dim: D, 512 in the full size.
        dropout: the rate of the dropout before the linear layer.
    """

    SETTINGS = "class_embedder.json"

    def __init__(self, backbone: TokenTower, dim: int, dropout: float):
        super().__init__()
        self.backbone, self.dim = backbone, dim
        # The linear layer needs no bias: batch normalisation has one.
        linear = nn.Linear(backbone.dim, dim, bias=False)
        self.head = nn.Sequential(nn.Dropout(dropout), linear, nn.BatchNorm1d(dim))
        self.settings: dict = {}

    @classmethod
    def create(
        cls,
        tower: str,
        pretrained: str | None,
        pooling: str,
        dim: int,
        dropout: float,
        image_size: int | None = None,
    ) -> "ClassEmbedder":
        """Build an embedder with a new head.

        Args:
            tower: a transformer or an EfficientNet of timm, such as "vit_large_patch14_clip_224".
            pretrained: None (random weights), "package" (see cir.encoders.packaged), one of timm's
                tags for the tower, such as "datacompxl", or a file of weights with timm's or CLIP's
                names. With a file, the name of the tower may end in the tag (".datacompxl") whose
                normalisation of pixels the weights expect.
            pooling: a key of cir.classes.embedder.pooling.POOLINGS.
            dim, dropout: see the class.
            image_size: the side in pixels of the square images; None takes the tower's own.

        Raises:
            UserError: the tower or the tag is unknown, the package is not installed, the weights
                cannot be read or belong to another tower, or the tower has no tokens.
        """
        backbone = TokenTower(create_tower(tower, pretrained, image_size), POOLINGS[pooling]())
        embedder = cls(backbone, dim, dropout)
        embedder.settings = {"tower": tower, "pooling": pooling, "dim": dim, "dropout": dropout}
        if image_size is not None:
            embedder.settings["image_size"] = image_size
        return embedder

    @classmethod
    def load(cls, folder: Path | str) -> "ClassEmbedder":
        """Read a folder that `save` wrote; raises UserError if it is incomplete or inconsistent."""
        folder = Path(folder)
        embedder = cls.create(pretrained=None, **_read_settings(folder / cls.SETTINGS))
        path = folder / _WEIGHTS
        load_weights(embedder, read_weights(path), str(path), "class embedder")
        return embedder

    def save(self, folder: Path | str) -> None:
        """Write the settings and the weights into an existing folder."""
        files.write_json(Path(folder) / self.SETTINGS, self.settings)
        save_file(contiguous_weights(self), Path(folder) / _WEIGHTS)

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.backbone.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Return the height and width in pixels that `preprocess` produces."""
        return self.backbone.image_size

    def fingerprint(self) -> str:
        """Return a short digest of weights and settings, equal if and only if the vectors are."""
        return files.fingerprint(weights_digest(self), self.settings)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """See TokenTower.preprocess."""
        return self.backbone.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → vectors [B, D], not normalised."""
        return self.head(self.backbone.encode_images(pixels)).float()

    def use_gradient_checkpointing(self) -> None:
        """Save memory by recomputing activations in the backward pass, which takes longer."""
        self.backbone.tower.set_grad_checkpointing(True)


def _read_settings(path: Path) -> dict:
    settings = files.read_json(path)
    expected = {"tower", "pooling", "dim", "dropout"}
    if not isinstance(settings, dict) or settings.keys() - {"image_size"} != expected:
        got = ", ".join(sorted(settings)) if isinstance(settings, dict) else repr(settings)
        raise UserError(f"{path} should hold {', '.join(sorted(expected))}, and holds {got}")
    if settings["pooling"] not in POOLINGS:
        raise UserError(
            f'{path}: pooling must be one of {", ".join(POOLINGS)}, got "{settings["pooling"]}"'
        )
    return settings
