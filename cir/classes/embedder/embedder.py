"""Define the class embedder: a timm tower, a pooling of its tokens, and a linear head."""

import logging
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import resolve_model_data_config
from timm.models import VisionTransformer, load_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from torchvision import transforms

from cir.classes.embedder.pooling import POOLINGS, Pooling
from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError, reason_of
from cir.core.weights import contiguous_weights, load_weights, read_weights, weights_digest
from cir.encoders import micro_vitamin  # noqa: F401  (registers vitamin_micro_64)

_WEIGHTS = "class_embedder.safetensors"
_AFTER_TOKENS = ("attn_pool.", "detectors.", "head.", "head_dist.")


class TokenTower(nn.Module):
    """A transformer of timm with a pooling of its tokens and the preprocessing of its weights.

    Args:
        tower: a VisionTransformer. A published ViTamin is one, with a convolutional stem.
        pooling: a pooling of cir.classes.embedder.pooling. For ClassToken, a tower without a class
            token gets one.
    """

    def __init__(self, tower: VisionTransformer, pooling: Pooling):
        super().__init__()
        _leave_out_own_pooling(tower)
        if pooling.needs_class_token and tower.cls_token is None:
            _add_class_token(tower)
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
        return self.tower.embed_dim

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
        tokens = self.tower.forward_features(
            (pixels.float() / 255 - self.pixel_mean) / self.pixel_std
        )
        # Towers that average their tokens apply their last norm after the pooling.
        return self.tower.fc_norm(self.pooling(tokens, self.tower.num_prefix_tokens)).float()


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
        cls, tower: str, pretrained: str | None, pooling: str, dim: int, dropout: float
    ) -> "ClassEmbedder":
        """Build an embedder with a new head.

        Args:
            tower: a timm transformer, such as "vit_large_patch14_clip_224".
            pretrained: None (random weights), one of timm's tags for the tower, such as
                "datacompxl", or a file of weights with timm's or CLIP's names. With a file, the
                name of the tower may end in the tag (".datacompxl") whose normalisation of pixels
                the weights expect.
            pooling: a key of cir.classes.embedder.pooling.POOLINGS.
            dim, dropout: see the class.

        Raises:
            UserError: the tower or the tag is unknown, the weights cannot be read or belong to
                another tower, or the tower has no tokens.
        """
        backbone = TokenTower(_tower(tower, pretrained), POOLINGS[pooling]())
        embedder = cls(backbone, dim, dropout)
        embedder.settings = {"tower": tower, "pooling": pooling, "dim": dim, "dropout": dropout}
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
    if not isinstance(settings, dict) or settings.keys() != expected:
        got = ", ".join(sorted(settings)) if isinstance(settings, dict) else repr(settings)
        raise UserError(f"{path} should hold {', '.join(sorted(expected))}, and holds {got}")
    if settings["pooling"] not in POOLINGS:
        raise UserError(
            f'{path}: pooling must be one of {", ".join(POOLINGS)}, got "{settings["pooling"]}"'
        )
    return settings


def _tower(name: str, pretrained: str | None) -> VisionTransformer:
    from_file = pretrained is not None and Path(pretrained).is_file()
    tagged = pretrained is not None and not from_file
    full_name = f"{name}.{pretrained}" if tagged else name
    _refuse_other_activation(full_name)
    try:
        tower = timm.create_model(full_name, pretrained=tagged, num_classes=0)
        lost = _read_file(tower, pretrained) if from_file else ""
    except Exception as error:  # timm, the hub and the unpickler raise many kinds
        weights = f' with weights "{pretrained}"' if pretrained else ""
        raise UserError(
            f'Cannot load class_embedder.tower "{name}"{weights}: {reason_of(error)}'
        ) from error
    if not isinstance(tower, VisionTransformer):
        raise UserError(
            f"class_embedder.tower must be a transformer with tokens to pool, of timm's kind "
            f'VisionTransformer (ViT, ViTamin); "{name}" is a {type(tower).__name__}'
        )
    if lost:
        raise UserError(f'{pretrained} holds weights of another tower than "{name}": {lost}')
    return tower


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
    if not isinstance(tower, VisionTransformer):
        return ""
    weights = checkpoint_filter_fn(load_state_dict(path), tower)
    names = tower.load_state_dict(weights, strict=False)
    missing = _of_tokens(names.missing_keys)
    unknown = _of_tokens(names.unexpected_keys)
    told = [f"it has no {listed(missing)}"] if missing else []
    told += [f"the tower has no {listed(unknown)}"] if unknown else []
    return ", and ".join(told)


def _of_tokens(names: list[str]) -> list[str]:
    """Return the names without those of layers after the tokens, which are not used."""
    return [name for name in names if not name.startswith(_AFTER_TOKENS)]


def _leave_out_own_pooling(tower: VisionTransformer) -> None:
    """Remove the tower's own pooling, whose weights would be saved and never trained."""
    tower.attn_pool = None
    if hasattr(tower, "detectors"):
        tower.detectors = nn.Identity()


def _add_class_token(tower: VisionTransformer) -> None:
    """Add a class token before the patches, without a position embedding."""
    tower.cls_token = nn.Parameter(torch.zeros(1, 1, tower.embed_dim))
    nn.init.normal_(tower.cls_token, std=1e-6)
    tower.has_class_token = tower.no_embed_class = True
    tower.num_prefix_tokens += 1


# timm logs which weights of a checkpoint a tower without a classifier does not use.
logging.getLogger("timm.models").setLevel(logging.ERROR)
