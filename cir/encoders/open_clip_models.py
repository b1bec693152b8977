"""Build the models of open_clip, and say in a sentence why one cannot be built."""

import json
import logging
from pathlib import Path

import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.tokenizer import HFTokenizer
from torch import nn

from cir.core.errors import UserError
from cir.core.hub import fetch, why_not_fetched
from cir.encoders import micro_vitamin  # noqa: F401  (registers ViTamin-Micro-64)

CONFIG = "open_clip_config.json"  # open_clip's own layout for a folder or a hub repository
HUB, FOLDER = "hf-hub:", "local-dir:"  # open_clip's ways to name a model that is not built in
BRINGS_WEIGHTS = (HUB, FOLDER)


def build(
    model: str, pretrained: str | None, pooling: str | None, weights_follow: bool
) -> tuple[nn.Module, dict, open_clip.SimpleTokenizer | HFTokenizer]:
    """Return a model, its config and its tokenizer; for the arguments see `Encoder.create`.

    Raises UserError if one of them is unknown, or the weights are unreachable or do not fit.
    """
    # open_clip keeps random weights if a folder or a hub repository has none.
    brings_weights = model.startswith(BRINGS_WEIGHTS) and not weights_follow
    required = pretrained is not None or brings_weights
    name = model.replace("/", "-")
    tag = open_clip.get_pretrained_cfg(name, pretrained) if pretrained else {}
    # Where the weights were trained with QuickGELU, open_clip only warns.
    changes = {"quick_gelu": True} if tag.get("quick_gelu") else {}
    try:
        if pooling is not None:
            changes["vision_cfg"] = _pooled_by(pooling, model)
        if tag.get("hf_hub"):
            fetch(*_place_on_the_hub(tag["hf_hub"]))
        elif brings_weights and model.startswith(HUB):
            fetch(*_place_on_the_hub(f"{model.removeprefix(HUB)}/"))
        clip = open_clip.create_model(
            model,
            pretrained=pretrained,
            require_pretrained=required,
            force_quick_gelu="quick_gelu" in changes,
            **changes,
        )
        tokenizer = open_clip.get_tokenizer(model)
    except UserError:
        raise
    except Exception as error:  # open_clip passes on errors of many libraries
        raise UserError(_why_not_loaded(model, pretrained, error)) from error
    return clip, {**_config_of(model), **changes}, tokenizer


def _place_on_the_hub(place: str) -> tuple[str, tuple[str, ...]]:
    """Return the repository, and the names of the weights in the order in which open_clip tries."""
    repository, _, name = place.rpartition("/")
    if not name:
        return repository, (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    safe = Path(name).with_suffix(".safetensors").name
    return repository, tuple(dict.fromkeys((safe, name)))


def _config_of(model: str) -> dict:
    if model.startswith(FOLDER):
        path = Path(model.removeprefix(FOLDER)) / CONFIG
        return json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
    if model.startswith(HUB):
        return open_clip.factory._get_hf_config(model.removeprefix(HUB))["model_cfg"]
    return open_clip.get_model_config(model.replace("/", "-"))


def _pooled_by(pooling: str, model: str) -> dict:
    """Return the model's vision_cfg with another pooling, which only timm's towers support."""
    config = _config_of(model) or {}  # open_clip itself will refuse an unknown model
    vision = config.get("vision_cfg", {})
    if config and "timm_model_name" not in vision:
        raise UserError(
            f'encoder.pooling must be null for "{model}", whose image tower is not from timm; '
            f'got "{pooling}".'
        )
    return {**vision, "timm_pool": pooling}


def _why_not_loaded(model: str, pretrained: str | None, error: Exception) -> str:
    what = f'encoder "{model}"' + (f' with weights "{pretrained}"' if pretrained else "")
    if "state_dict" in str(error):
        reason = " ".join(str(error).split())[:200]
        return f"Cannot load {what}: the weights are of another architecture ({reason})."
    return f"Cannot load {what}: {why_not_fetched(error)}"


# open_clip warns on the root logger about every model that it builds before reading the weights.
_EXPECTED = ("No pretrained weights loaded for", "Local config loaded, but no CLIP weights found")
logging.getLogger().addFilter(lambda record: not record.getMessage().startswith(_EXPECTED))
