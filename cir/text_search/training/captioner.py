"""Caption images with an open_clip CoCa: a published one, or a micro one trained here.

CoCa (Yu et al., "CoCa: Contrastive Captioners are Image-Text Foundation Models", TMLR 2022,
https://arxiv.org/abs/2205.01917, section 3) has an image tower, a text tower, and a decoder that
attends to the image tower's tokens. A contrastive and a captioning loss train it together.

The micro CoCa takes the image tower of the pipeline's encoder (a timm tower with tokens), and only
the tokens of its training captions: all 49,408 of open_clip would take nine tenths of the time.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.timm_model import TimmModel
from open_clip.transform import PreprocessCfg
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cir.core import files
from cir.core.errors import UserError
from cir.core.hub import why_not_fetched
from cir.core.weights import contiguous_weights, load_weights, read_weights
from cir.encoders import Encoder
from cir.encoders.open_clip_models import BRINGS_WEIGHTS
from cir.text_search.training.vocabulary import PAD, Vocabulary

_SETTINGS, _WEIGHTS = "captioner.json", "captioner.safetensors"
_NONE = {"kind": "none"}  # stands in the place of settings
_KEYS = ("model", "config", "preprocessing", "kept", "context")


class TimmCoCa(CoCa):
    """A CoCa on a timm tower, which open_clip can build but whose tokens it cannot get."""

    def _encode_image(self, images: torch.Tensor, normalize: bool = True):
        trunk = self.visual.trunk
        tokens = trunk.forward_features(images)
        latent = self.visual.head(trunk.forward_head(tokens))
        return (functional.normalize(latent, dim=-1) if normalize else latent), tokens


class Captioner(nn.Module):
    """A CoCa with the preprocessing of an encoder and the tokens of its captions.

    Args:
        encoder: the encoder whose `clip` is the CoCa.
        vocabulary: the tokens.
        model: the CoCa's name in open_clip; None for a micro CoCa.
    """

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary, model: str | None):
        super().__init__()
        if not isinstance(encoder.clip, CoCa):
            raise UserError(f'captioner.model must be a CoCa of open_clip, got "{model}"')
        self.encoder, self.vocabulary, self.model = encoder, vocabulary, model

    @classmethod
    def published(cls, model: str, pretrained: str | None) -> "Captioner":
        """Load a published CoCa by its open_clip name and tag (or file), or from a hub or folder.

        Raises:
            UserError: as Encoder.create; the model is no CoCa or has other tokens than
                `Vocabulary`; a name comes without `pretrained`, or a hub or folder with it.
        """
        _check_published(model, pretrained)
        return cls(Encoder.create(model, pretrained, "{}"), Vocabulary(), model)

    @classmethod
    def micro(cls, tower: Encoder, captions: Sequence[str], layers: int, heads: int) -> "Captioner":
        """Build a captioner with a copy of the image tower of `tower`, for captions like these.

        The text tower and the decoder have `layers` layers each, as wide as the image tokens.

        Raises:
            UserError: the image tower is not from timm, or `heads` does not divide its width.
        """
        visual = tower.clip.visual if isinstance(tower, Encoder) else None
        if not isinstance(visual, TimmModel):
            raise UserError(
                "a micro captioner needs an encoder of open_clip whose image tower is from timm; "
                "set captioner.kind to published, or choose text_search=photos, which trains on "
                "captions by people alone"
            )
        width = visual.trunk.embed_dim
        if width % heads:
            raise UserError(
                f"captioner.heads must divide {width}, the width of the image tower; got {heads}"
            )
        vocabulary = Vocabulary.of(captions, tower.config["text_cfg"]["context_length"])
        text = {
            "context_length": vocabulary.context,
            "vocab_size": len(vocabulary),
            "width": width,
            "heads": heads,
            "layers": layers,
        }
        config = {
            "embed_dim": tower.dim,
            "multimodal_cfg": text,
            "vision_cfg": tower.config["vision_cfg"],
            "text_cfg": {**text, "embed_cls": True, "output_tokens": True},
        }
        captioner = cls._built(config, asdict(PreprocessCfg(**visual.preprocess_cfg)), vocabulary)
        captioner.encoder.clip.visual.load_state_dict(visual.state_dict())
        return captioner

    @classmethod
    def _built(cls, config: dict, preprocessing: dict, vocabulary: Vocabulary) -> "Captioner":
        coca = TimmCoCa(**config, pad_id=PAD)
        # open_clip does not initialise this weight.
        nn.init.normal_(coca.text_decoder.text_projection, std=coca.text.width**-0.5)
        coca.visual.preprocess_cfg = preprocessing
        return cls(Encoder(coca, config, vocabulary.encode, "{}"), vocabulary, None)

    @classmethod
    def load(cls, folder: Path | str) -> "Captioner":
        """Read only a folder that `save` wrote; raises UserError if it is incomplete."""
        path = Path(folder) / _WEIGHTS
        settings = _settings(Path(folder) / _SETTINGS)
        if settings["model"] is None:
            vocabulary = Vocabulary(settings["kept"], settings["context"])
            captioner = cls._built(settings["config"], settings["preprocessing"], vocabulary)
        else:
            config, vocabulary = settings["config"], Vocabulary()
            # The name is not looked up: it may be a hub repository, or a folder that is gone.
            coca = CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
            coca.visual.preprocess_cfg = settings["preprocessing"]
            encoder = Encoder(coca, config, vocabulary.encode, "{}")
            captioner = cls(encoder, vocabulary, settings["model"])
        load_weights(captioner.encoder.clip, read_weights(path), str(path))
        return captioner

    def save(self, folder: Path | str) -> None:
        """Write the model into an existing folder."""
        settings = {
            "model": self.model,
            "config": self.encoder.config,
            "preprocessing": asdict(PreprocessCfg(**self.encoder.clip.visual.preprocess_cfg)),
            "kept": self.vocabulary.kept,
            "context": self.vocabulary.context,
        }
        files.write_json(Path(folder) / _SETTINGS, settings)
        save_file(contiguous_weights(self.encoder.clip), Path(folder) / _WEIGHTS)

    def forward(self, pixels: torch.Tensor, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Run pixels uint8 [B, 3, H, W] and B captions → the input of open_clip's CoCaLoss."""
        tokens = self.vocabulary.encode(captions).to(self.encoder.device)
        return self.encoder.clip(self._normalised(pixels), tokens)

    @torch.inference_mode()
    def captions(
        self, pixels: torch.Tensor, each: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[str]]:
        """Write `each` captions for every image of pixels uint8 [B, 3, H, W], word after word.

        Temperature 0 takes the likeliest word. A higher one draws words from the softmax of the
        logits divided by the temperature, equal for equal seeds. open_clip's `generate` needs a
        class that transformers 5 no longer has.
        """
        coca, words = self.encoder.clip, self.vocabulary
        latent, tokens = coca._encode_image(self._normalised(pixels))
        latent, tokens = latent.repeat_interleave(each, 0), tokens.repeat_interleave(each, 0)
        chance = torch.Generator(tokens.device).manual_seed(seed)
        ids = torch.full((len(tokens), 1), words.first, device=tokens.device)
        ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        while ids.shape[1] < words.context and not ended.all():
            logits = coca(None, ids, latent, tokens, output_labels=False)["logits"][:, -1].float()
            if temperature:
                shares = (logits / temperature).softmax(dim=1)
                word = torch.multinomial(shares, 1, generator=chance)[:, 0]
            else:
                word = logits.argmax(dim=1)
            word[ended] = PAD
            ended |= word == words.last
            ids = torch.cat([ids, word[:, None]], dim=1)
        texts = [words.decode(row) for row in ids.tolist()]
        return [texts[start : start + each] for start in range(0, len(texts), each)]

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(self.encoder.device, non_blocking=True).float() / 255
        return (pixels - self.encoder.pixel_mean) / self.encoder.pixel_std


def save_none(folder: Path | str) -> None:
    """Write into an existing folder that there is no captioner; `Captioner.load` then says so."""
    files.write_json(Path(folder) / _SETTINGS, _NONE)


def _settings(path: Path) -> dict:
    settings = files.read_json(path)
    if settings == _NONE:
        raise UserError(
            f"{path.parent} holds no captioner, because captioner.kind is none; choose another "
            "kind, or set caption_images.each to 0"
        )
    held = settings if isinstance(settings, dict) else {}
    missing = [key for key in _KEYS if key not in held]
    if missing:
        raise UserError(f"{path} is of no captioner: it lacks {', '.join(missing)}")
    return settings


def _check_published(model: str, pretrained: str | None) -> None:
    """Raise UserError before a large download; a name unknown to open_clip passes."""
    brings = model.startswith(BRINGS_WEIGHTS)
    if brings and pretrained is not None:
        raise UserError(
            f'captioner.model "{model}" brings its own weights; captioner.pretrained must be null, '
            f'got "{pretrained}"'
        )
    try:
        config = open_clip.get_model_config(model if brings else model.replace("/", "-"))
    except Exception as error:  # the hub, its client and broken files raise many kinds
        raise UserError(
            f'captioner.model "{model}" cannot be read: {why_not_fetched(error)}'
        ) from error
    if config is None:
        return
    if "multimodal_cfg" not in config:
        raise UserError(f'captioner.model must be a CoCa of open_clip, got "{model}"')
    own = Vocabulary()
    text = config["text_cfg"]
    other = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    context, size = text.get("context_length", 77), text.get("vocab_size", len(own))
    if other or (context, size) != (own.context, len(own)):
        what = f"the tokenizer {other}" if other else f"{size} tokens, {context} of them in a text"
        raise UserError(
            f"captioner.model must be a CoCa with CLIP's {len(own)} tokens, {own.context} of them "
            f'in a text; "{model}" has {what}'
        )
    if not brings and pretrained is None:
        raise UserError(
            f'captioner.pretrained must be a tag or a file of weights for "{model}", got null: '
            "random weights would say nothing"
        )
