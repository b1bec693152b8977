"""Build the tower of a class embedder: a timm model, its pooling, and its preprocessing."""

import logging
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import resolve_model_data_config
from timm.models import EfficientNet, VisionTransformer, load_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from torchvision import transforms

from cir.classes.embedder.pooling import Pooling
from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError, reason_of
from cir.core.weights import weights_digest
from cir.encoders import micro_vitamin  # noqa: F401  (registers vitamin_micro_64)
from cir.encoders.packaged import EFFICIENTNET_LITE, efficientnet_lite

_AFTER_TOKENS = ("attn_pool.", "detectors.", "head.", "head_dist.", "classifier.")
TOWERS = (VisionTransformer, EfficientNet)
PACKAGE = "package"  # for weights that an installed package holds


class TokenTower(nn.Module):
    """A tower of timm with a pooling of its tokens and the preprocessing of its weights.

    Args:
        tower: a VisionTransformer, such as a ViT or a published ViTamin, or an EfficientNet, whose
            tokens are the places of its last feature map.
        pooling: a pooling of cir.classes.embedder.pooling. For ClassToken, a transformer without a
            class token gets one.

    Raises:
        UserError: an EfficientNet has no class token to pool.
    """

    def __init__(self, tower: VisionTransformer | EfficientNet, pooling: Pooling):
        super().__init__()
        if isinstance(tower, EfficientNet):
            _prepare_convolutions(tower, pooling)
        else:
            _prepare_transformer(tower, pooling)
        self.tower, self.pooling = tower, pooling
        config = resolve_model_data_config(tower)
        self.image_size = tuple(config["input_size"][1:])
        shorter = transforms.Resize(min(self.image_size), transforms.InterpolationMode.BICUBIC)
        self.frame = transforms.Compose([shorter, transforms.CenterCrop(self.image_size)])
        for name in ("mean", "std"):
            # Saved with the weights, because timm's tags of one tower differ in them.
            self.register_buffer(f"pixel_{name}", torch.tensor(config[name]).view(1, 3, 1, 1))

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.pixel_mean.device

    @property
    def dim(self) -> int:
        """Return the length of the pooled vectors."""
        # The num_features of a ViTamin are those after its own pooling, which is left out.
        return getattr(self.tower, "embed_dim", self.tower.num_features)

    def fingerprint(self) -> str:
        """Return a short digest of weights and pooling, equal if and only if the vectors are."""
        return files.fingerprint(weights_digest(self), type(self.pooling).__name__)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize an RGB image by its shorter side and crop its middle: uint8 [3, H, W]."""
        height, width = self.image_size
        if image.size != (width, height):
            image = self.frame(image)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → pooled features [B, C], not normalised."""
        pixels = pixels.to(self.device, non_blocking=True)
        pixels = (pixels.float() / 255 - self.pixel_mean) / self.pixel_std
        if isinstance(self.tower, EfficientNet):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            features = self.tower.forward_features(pixels)  # [B, C, H/32, W/32]
            return self.pooling(features.flatten(2).mT, 0).float()
        tokens = self.tower.forward_features(pixels)
        # Towers that average their tokens apply their last norm after the pooling.
        return self.tower.fc_norm(self.pooling(tokens, self.tower.num_prefix_tokens)).float()


def create_tower(
    name: str, pretrained: str | None, image_size: int | None = None
) -> VisionTransformer | EfficientNet:
    """Build a tower of timm without its classifier; see ClassEmbedder.create."""
    from_file = pretrained is not None and Path(pretrained).is_file()
    tagged = pretrained not in (None, PACKAGE) and not from_file
    full_name = f"{name}.{pretrained}" if tagged else name
    _refuse_other_activation(full_name)
    try:
        if pretrained == PACKAGE:
            tower = _packaged(name)
        else:
            tower = timm.create_model(full_name, pretrained=tagged, num_classes=0)
        lost = _read_file(tower, pretrained) if from_file else ""
        if image_size is not None:
            _resize(tower, image_size)
    except Exception as error:  # timm, the hub and the unpickler raise many kinds
        weights = f' with weights "{pretrained}"' if pretrained else ""
        raise UserError(
            f'Cannot load class_embedder.tower "{name}"{weights}: {reason_of(error)}'
        ) from error
    if not isinstance(tower, TOWERS):
        raise UserError(
            "class_embedder.tower must be a transformer with tokens to pool, of timm's kind "
            f"VisionTransformer (ViT, ViTamin), or an EfficientNet; "
            f'"{name}" is a {type(tower).__name__}'
        )
    if lost:
        raise UserError(f'{pretrained} holds weights of another tower than "{name}": {lost}')
    return tower


def _packaged(name: str) -> EfficientNet:
    """Return the tower of this name with the weights of an installed package."""
    numbers = {f"tf_efficientnet_lite{number}": number for number in EFFICIENTNET_LITE}
    if name not in numbers:
        raise UserError(f"weights come as packages for {listed(list(numbers))} only")
    tower = efficientnet_lite(numbers[name])
    tower.reset_classifier(0)
    return tower


def _resize(tower: nn.Module, size: int) -> None:
    """Make a tower take square images of `size` pixels."""
    tower.pretrained_cfg["input_size"] = (3, size, size)
    if isinstance(tower, VisionTransformer):
        side = tower.patch_embed.feat_ratio()
        if size % side:
            raise UserError(
                f"class_embedder.image_size {size} is no multiple of its patches' {side}"
            )
        tower.set_input_size(size)  # interpolates the position embeddings


def _refuse_other_activation(name: str) -> None:
    """Raise UserError where timm would load weights trained with QuickGELU into a GELU tower.

    timm only mentions the difference in a note.
    """
    try:
        published = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag, which timm reports again when it builds the tower
        return
    notes = " ".join(published.notes or ()) if published else ""
    if "quickgelu" in notes.lower() and "quickgelu" not in name:
        raise UserError(
            f'class_embedder.tower "{name}" would compute with another activation than its weights '
            f"were trained with ({notes}): name the tower with quickgelu in it"
        )


def _read_file(tower: nn.Module, path: str) -> str:
    """Load a file of weights into the tower; return a description of those that do not fit, or "".

    timm's own loading silently skips weights with other names.
    """
    if not isinstance(tower, TOWERS):
        return ""
    weights = load_state_dict(path)
    if isinstance(tower, VisionTransformer):
        weights = checkpoint_filter_fn(weights, tower)
    names = tower.load_state_dict(weights, strict=False)
    missing = _of_tokens(names.missing_keys)
    unknown = _of_tokens(names.unexpected_keys)
    told = [f"it has no {listed(missing)}"] if missing else []
    told += [f"the tower has no {listed(unknown)}"] if unknown else []
    return ", and ".join(told)


def _of_tokens(names: list[str]) -> list[str]:
    """Return the names without those of layers after the tokens, which are not used."""
    return [name for name in names if not name.startswith(_AFTER_TOKENS)]


def _prepare_convolutions(tower: EfficientNet, pooling: Pooling) -> None:
    if pooling.needs_class_token:
        raise UserError(
            "class_embedder.pooling class_token needs a transformer: an EfficientNet has no class "
            "token; choose gem, average or max"
        )
    tower.to(memory_format=torch.channels_last)  # on a CPU a quarter faster


def _prepare_transformer(tower: VisionTransformer, pooling: Pooling) -> None:
    """Remove the tower's own pooling, whose weights would be saved and never trained.

    A tower that lacks the class token to pool gets one.
    """
    tower.attn_pool = None
    if hasattr(tower, "detectors"):
        tower.detectors = nn.Identity()
    if pooling.needs_class_token and tower.cls_token is None:
        _add_class_token(tower)


def _add_class_token(tower: VisionTransformer) -> None:
    """Add a class token before the patches, without a position embedding."""
    tower.cls_token = nn.Parameter(torch.zeros(1, 1, tower.embed_dim))
    nn.init.normal_(tower.cls_token, std=1e-6)
    tower.has_class_token = tower.no_embed_class = True
    tower.num_prefix_tokens += 1


# timm logs which weights of a checkpoint a tower without a classifier does not use.
logging.getLogger("timm.models").setLevel(logging.ERROR)
