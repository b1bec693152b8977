"""Which weights of an encoder are trained, and each at what share of the learning rate."""

import re
from collections.abc import Iterable

from torch import nn

from cir.core.errors import UserError
from cir.encoders.clip_encoder import Encoder

_BLOCK = re.compile(r"\.(?:res)?blocks\.(\d+)\.")
# What stands after the last block of either tower, by the names that open_clip and timm give it.
_AFTER_BLOCKS = re.compile(
    r"(\.head\b|\.proj$|\.ln_post\b|(^|\.)ln_final\b|text_projection|trunk\.(norm|fc_norm|detectors)\b"
    r"|logit_scale|logit_bias|attn_pool\b)"
)


def head(encoder: Encoder) -> dict[str, float]:
    """Only the projection of the image tower."""
    names = [name for name, _ in encoder.clip.visual.named_parameters(prefix="visual")]
    return {n: 1.0 for n in names if n.startswith("visual.head.") or n == "visual.proj"}


def last_blocks(encoder: Encoder, blocks: int) -> dict[str, float]:
    """The last `blocks` transformer blocks of both towers and all that follows them."""
    depths, towers = _depths(encoder)
    return {
        name: 1.0
        for name, depth in depths.items()
        if depth > towers[_tower(name)] - blocks and depth > 0
    }


def all_layers(encoder: Encoder, decay: float) -> dict[str, float]:
    """Every weight; the learning rate shrinks by the factor `decay` per block from the top down.

    Layer-wise decay as in BEiT (Bao et al. 2022, https://arxiv.org/abs/2106.08254, section 3.1),
    for both towers. 1.0 trains all layers alike.
    """
    depths, towers = _depths(encoder)
    return {name: decay ** (towers[_tower(name)] + 1 - depth) for name, depth in depths.items()}


def optimiser_groups(
    encoder: Encoder, shares: dict[str, float], learning_rate: float, weight_decay: float
) -> list[dict]:
    """Parameter groups for torch.optim, one per learning rate and weight decay.

    Freezes what is not in `shares` (parameter name of `encoder.clip` → share of the learning
    rate). Vectors and scalars (biases, norms, the temperature) are not decayed.

    Raises:
        UserError: nothing is left to train.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in encoder.clip.named_parameters():
        parameter.requires_grad_(name in shares)
        if name in shares:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((learning_rate * shares[name], decay), []).append(parameter)
    if not groups:
        raise UserError("No weight of this encoder is left to train; see finetune_encoder.train.")
    return [{"params": p, "lr": lr, "weight_decay": d} for (lr, d), p in groups.items()]


def _tower(name: str) -> str:
    return "visual" if name.startswith("visual.") else "text"


def _depths(encoder: Encoder) -> tuple[dict[str, int], dict[str, int]]:
    """Depth of each parameter (0: before the blocks, 1…n: block, n+1: after) and n per tower."""
    names = [name for name, _ in encoder.clip.named_parameters()]
    blocks = {"visual": 0, "text": 0}
    for name in names:
        if found := _BLOCK.search(name):
            tower = _tower(name)
            blocks[tower] = max(blocks[tower], int(found.group(1)) + 1)
    return {name: _depth(name, blocks[_tower(name)]) for name in names}, blocks


def _depth(name: str, blocks: int) -> int:
    if found := _BLOCK.search(name):
        return int(found.group(1)) + 1
    return blocks + 1 if _AFTER_BLOCKS.search(name) else 0


def trained_weights(groups: Iterable[dict]) -> int:
    """How many weights (scalars) the groups hold."""
    return sum(parameter.numel() for group in groups for parameter in group["params"])
