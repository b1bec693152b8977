"""The encoder of the retriever: any open_clip model."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import transforms

from cir.core import files
from cir.core.device import Inference, in_precision, inference_precision, with_precision
from cir.core.errors import UserError
from cir.core.weights import contiguous_weights, load_weights, read_weights, weights_digest
from cir.encoders import conse
from cir.encoders.open_clip_models import BRINGS_WEIGHTS, CONFIG, FOLDER, build

_WEIGHTS = "open_clip_model.safetensors"
_PROMPT = "prompt.json"


class Encoder(nn.Module):
    """An open_clip model with its preprocessing, its tokenizer and the prompt for names.

    Args:
        clip: the open_clip model.
        config: open_clip's config of the model (embed_dim, vision_cfg, text_cfg, …).
        tokenizer: open_clip's tokenizer of the model.
        prompt: template for names with one `{}`, such as "a photo of a {}".
        inference: the precision of vectors that are computed without gradients; "auto" is bf16 on a
            GPU that has it, else fp32.
    """

    SETTINGS = CONFIG  # the file that marks a folder as a saved Encoder

    def __init__(
        self, clip: nn.Module, config: dict, tokenizer, prompt: str, inference: Inference = "auto"
    ):
        super().__init__()
        if prompt.count("{}") != 1:
            raise UserError(f'encoder.prompt must contain one {{}} for the name, got "{prompt}".')
        self.clip = clip
        self.config = config
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.inference = inference
        preprocess = PreprocessCfg(**clip.visual.preprocess_cfg)
        self.resize = _without_tensor_steps(image_transform_v2(preprocess, is_train=False))
        for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
            self.register_buffer(f"pixel_{name}", torch.tensor(values).view(1, 3, 1, 1), False)

    @classmethod
    def create(
        cls,
        model: str,
        pretrained: str | None,
        prompt: str,
        pooling: str | None = None,
        *,
        weights_follow: bool = False,
    ) -> "Encoder":
        """Build a model by open_clip name, with random, published or local weights.

        Args:
            model: an open_clip model name, "hf-hub:owner/repository", "local-dir:folder", or a
                name of cir.encoders.conse.NAMES.
            pretrained: None (random weights), a tag such as "datacomp1b", a checkpoint file, or
                "packages" for a model of cir.encoders.conse.
            prompt: template for names with one `{}`.
            pooling: timm's name of the pooling of a timm image tower ("avg", "max", "map", …);
                None keeps the model's own.
            weights_follow: the caller will load the weights, so a folder need not have them.

        Raises:
            UserError: the model, the tag or the pooling is unknown, or the weights are unreachable
                or those of another model.
        """
        if pretrained is not None and model.startswith(BRINGS_WEIGHTS):
            raise UserError(
                f'encoder.model "{model}" brings its own weights; encoder.pretrained must be null, '
                f'got "{pretrained}".'
            )
        if model in conse.NAMES:
            if pooling is not None:
                raise UserError(f'encoder.pooling must be null for "{model}", got "{pooling}".')
            return cls(*conse.from_packages(model, pretrained), prompt)
        if model.startswith(FOLDER):
            folder = Path(model.removeprefix(FOLDER))
            config = _saved_conse(folder)
            if config is not None:
                return cls._load_conse(folder, config, prompt, weights_follow)
        return cls(*build(model, pretrained, pooling, weights_follow), prompt)

    @classmethod
    def load(cls, folder: Path | str) -> "Encoder":
        """Read a folder that `save` wrote.

        Raises UserError if the folder is missing or incomplete, or its weights do not fit.
        """
        folder = Path(folder)
        missing = [name for name in (CONFIG, _WEIGHTS, _PROMPT) if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder} is not a saved encoder: it lacks {', '.join(missing)}.")
        settings = files.read_json(folder / _PROMPT)
        encoder = cls.create(f"{FOLDER}{folder}", None, settings["prompt"])
        encoder.inference = settings.get("inference", "auto")  # older folders do not say it
        return encoder

    @classmethod
    def _load_conse(
        cls, folder: Path, config: dict, prompt: str, weights_follow: bool
    ) -> "Encoder":
        clip = conse.ConSE(config)
        if not weights_follow:
            path = folder / _WEIGHTS
            load_weights(clip, read_weights(path), str(path), "encoder")
        return cls(clip.eval(), config, conse.SentenceTokenizer.load(folder), prompt)

    def save(self, folder: Path | str) -> None:
        """Write the model in open_clip's layout, and the prompt, into an existing folder."""
        folder = Path(folder)
        config = {
            "model_cfg": self.config,
            "preprocess_cfg": asdict(PreprocessCfg(**self.clip.visual.preprocess_cfg)),
        }
        files.write_json(folder / CONFIG, config)
        files.write_json(folder / _PROMPT, {"prompt": self.prompt, "inference": self.inference})
        if isinstance(self.tokenizer, HFTokenizer):  # open_clip then looks for it in the folder
            self.tokenizer.save_pretrained(folder)
        save_file(contiguous_weights(self.clip), folder / _WEIGHTS)
        if isinstance(self.tokenizer, conse.SentenceTokenizer):
            self.tokenizer.save(folder)

    @property
    def dim(self) -> int:
        """Return the length of the vectors."""
        return self.config["embed_dim"]

    @property
    def text_dim(self) -> int:
        """Return the length of the texts' vectors, which lie in the space of the images."""
        return self.dim

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.pixel_mean.device

    @property
    def precision(self) -> str:
        """Return the precision of vectors that are computed on this device without gradients.

        "auto" leaves a ConSE in fp32: its softmax over classes magnifies the rounding of bf16.
        """
        if self.inference == "auto" and isinstance(self.clip, conse.ConSE):
            return "fp32"
        return inference_precision(self.inference, self.device)

    @property
    def image_size(self) -> tuple[int, int]:
        """Return height and width in pixels of a preprocessed image."""
        size = self.clip.visual.image_size
        return (size, size) if isinstance(size, int) else tuple(size)

    def fingerprint(self) -> str:
        """Return a digest of weights, config and prompt: equal only if the vectors are equal.

        It ends in the precision of the vectors unless that is fp32.
        """
        digest = files.fingerprint(weights_digest(self.clip), self.config, self.prompt)
        return with_precision(digest, self.precision)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize and crop an RGB image for the model: uint8 [3, H, W]."""
        height, width = self.image_size
        if image.mode != "RGB" or image.size != (width, height):  # else it fits already
            image = self.resize(image)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] as features [B, D], not normalised.

        The result of `trunk_features` can be given in place of the pixels.
        """
        pixels = pixels.to(self.device, non_blocking=True)
        with in_precision(self.precision, self.device):
            if pixels.is_floating_point():
                return self.clip.visual.head(pixels).float()
            return self.clip.encode_image(self._normalised(pixels)).float()

    @property
    def has_trunk(self) -> bool:
        """Tell whether the image tower is a trunk with a head, as timm's towers are."""
        return hasattr(self.clip.visual, "trunk") and hasattr(self.clip.visual, "head")

    def trunk_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] up to the head of the image tower, float [B, ...]."""
        pixels = pixels.to(self.device, non_blocking=True)
        with in_precision(self.precision, self.device):
            return self.clip.visual.trunk(self._normalised(pixels))

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255 - self.pixel_mean) / self.pixel_std

    def encode_names(self, names: Sequence[str]) -> torch.Tensor:
        """Encode N names, each in the prompt, as features [N, D], not normalised."""
        return self.encode_texts([self.prompt.format(name) for name in names])

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts, without the prompt, as features [N, D], not normalised."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        tokens = self.tokenizer(list(texts)).to(self.device)
        shortest = _shortest_context(self.clip, tokens)
        with shortest as tokens, in_precision(self.precision, self.device):
            return self.clip.encode_text(tokens).float()

    def use_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass, which saves memory and takes time."""
        self.clip.set_grad_checkpointing(True)


@contextlib.contextmanager
def _shortest_context(clip: nn.Module, tokens: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cut the padding that all texts share; the features stay the same.

    A causal text tower that reads its end-of-text token never attends to later tokens. All other
    towers get their full context.
    """
    text = getattr(clip, "text", None)
    mask = getattr(text, "attn_mask", None)
    if mask is None or getattr(text, "pool_type", None) != "argmax" or text.cls_emb is not None:
        yield tokens
        return
    length = int(tokens.argmax(dim=-1).max()) + 1
    text.attn_mask = mask[:length, :length]
    try:
        yield tokens[:, :length]
    finally:
        text.attn_mask = mask


def _without_tensor_steps(transform: transforms.Compose) -> transforms.Compose:
    """Keep the steps on the Pillow image; scaling and normalising are done per batch."""
    *on_image, to_tensor, normalise = transform.transforms
    assert isinstance(to_tensor, transforms.ToTensor), to_tensor
    assert isinstance(normalise, transforms.Normalize), normalise
    return transforms.Compose(on_image)


def _saved_conse(folder: Path) -> dict | None:
    """Return the config of a saved model of cir.encoders.conse; None for any other folder."""
    path = folder / CONFIG
    content = files.read_json(path) if path.is_file() else None
    config = content.get("model_cfg") if isinstance(content, dict) else None
    return config if isinstance(config, dict) and conse.is_config(config) else None
