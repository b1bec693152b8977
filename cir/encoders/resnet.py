"""ResNet-18, the image tower of TIRG and ComposeAE."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models, transforms

from cir.core import files
from cir.core.errors import UserError, reason_of
from cir.core.weights import contiguous_weights, load_weights, read_weights, weights_digest

_WIDTH = 512  # length of the pooled feature
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016), global average pooling, then a linear layer to D.

    Args:
        dim: D, 512 in the papers.
        resize: length in pixels to which the shorter side of an image is resized.
        crop: side in pixels of the square that is then cropped from the middle.
    """

    SETTINGS = "resnet18.json"
    _WEIGHTS = "resnet18.safetensors"

    def __init__(self, dim: int, resize: int, crop: int):
        super().__init__()
        if crop > resize:
            raise UserError(
                f"images.crop must be at most images.resize, or crops have black edges; got "
                f"{crop} and {resize}"
            )
        self.dim, self.resize, self.crop = dim, resize, crop
        self.backbone = models.resnet18()
        self.backbone.fc = nn.Identity()
        self.projection = nn.Linear(_WIDTH, dim)
        self.frame = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(crop)])
        for name, values in (("mean", _MEAN), ("std", _STD)):
            self.register_buffer(f"pixel_{name}", torch.tensor(values).view(1, 3, 1, 1), False)

    @classmethod
    def create(cls, dim: int, resize: int, crop: int, pretrained: str | None) -> "ResNet18":
        """Build a network with a fresh linear layer above random or pretrained weights.

        Args:
            dim, resize, crop: as for the class.
            pretrained: None (random weights), a file of weights with torchvision's or timm's names
                (its classifier is dropped), or a tag of torchvision; the papers start with
                "IMAGENET1K_V1".

        Raises:
            UserError: the file or tag is unknown, or the weights are unreachable or those of
                another network.
        """
        tower = cls(dim, resize, crop)
        if pretrained is not None:
            found = _published(pretrained)
            kept = {n: value for n, value in found.items() if not n.startswith("fc.")}
            own = tower.backbone.state_dict()
            # Files from before 2018 lack the counters of batches, which nothing here reads.
            counters = {n: v for n, v in own.items() if n.endswith("num_batches_tracked")}
            load_weights(tower.backbone, {**counters, **kept}, f'"{pretrained}"', "network")
        return tower

    @classmethod
    def load(cls, folder: Path) -> "ResNet18":
        """Read a folder that `save` wrote; raises UserError if it is incomplete or inconsistent."""
        tower = cls(**files.read_json(folder / cls.SETTINGS))
        path = folder / cls._WEIGHTS
        load_weights(tower, read_weights(path), str(path), "network")
        return tower

    def save(self, folder: Path) -> None:
        """Write sizes and weights into an existing folder."""
        sizes = {"dim": self.dim, "resize": self.resize, "crop": self.crop}
        files.write_json(folder / self.SETTINGS, sizes)
        save_file(contiguous_weights(self), folder / self._WEIGHTS)

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.pixel_mean.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Return height and width in pixels of a preprocessed image."""
        return self.crop, self.crop

    def fingerprint(self) -> str:
        """Return a digest of weights and sizes: equal only if the vectors are equal."""
        return files.fingerprint(weights_digest(self), self.dim, self.resize, self.crop)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize an RGB image and crop its middle: uint8 [3, H, W]."""
        return np.asarray(self.frame(image), dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] as features [B, D], not normalised."""
        pixels = pixels.to(self.device, non_blocking=True)
        pixels = (pixels.float() / 255 - self.pixel_mean) / self.pixel_std
        return self.projection(self.backbone(pixels)).float()


def _published(name: str) -> dict[str, torch.Tensor]:
    """Return the weights of a file, or of a tag of torchvision."""
    tags = [tag.name for tag in models.ResNet18_Weights]
    if name not in tags:
        if not Path(name).is_file():
            raise UserError(
                f"images.pretrained must be null, a file of weights or one of torchvision's tags "
                f'({", ".join(tags)}), got "{name}"'
            )
        return read_weights(name)
    try:
        return models.ResNet18_Weights[name].get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # the network, the disk and the unpickler raise many types
        raise UserError(
            f'Cannot load ResNet-18 with weights "{name}": {reason_of(error)}'
        ) from error
