"""Choose which weights learn, at which learning rate, and with which weight decay.

`fit` reports the learning rate of the last group, so the groups at the full rate come last.
"""

import re
from collections.abc import Iterable

from torch import nn

from cir.core.errors import UserError
from cir.encoders.clip_encoder import Encoder

_BLOCK = re.compile(r"\.(?:(?:res)?blocks|encoder\.layer)\.(\d+)\.")
# The names that open_clip and timm give to the layers after the last block of a tower.
_AFTER_BLOCKS = re.compile(
    r"(\.head\b|\.proj$|\.ln_post\b|(^|\.)ln_final\b|text_projection"
    r"|trunk\.(norm|fc_norm|detectors|network\.(conv_head|bn2|classifier))\b"
    r"|logit_scale|logit_bias|attn_pool\b)"
)


def head(encoder: Encoder) -> dict[str, float]:
    """Train the projection of the image tower only: each weight's share of the learning rate."""
    names = [name for name, _ in encoder.clip.visual.named_parameters(prefix="visual")]
    return {n: 1.0 for n in names if n.startswith("visual.head.") or n == "visual.proj"}


def last_blocks(encoder: Encoder, blocks: int) -> dict[str, float]:
    """Train the last `blocks` transformer blocks of both towers and everything after them."""
    depths, towers = _depths(encoder)
    return {
        name: 1.0
        for name, depth in depths.items()
        if depth > towers[_tower(name)] - blocks and depth > 0
    }


def all_layers(encoder: Encoder, decay: float) -> dict[str, float]:
    """Train all weights; each block learns at `decay` times the rate of the block above it.

    This is the layer-wise decay of BEiT (Bao et al. 2022, https://arxiv.org/abs/2106.08254,
    section 3.1), in both towers. With 1.0 all layers learn alike.
    """
    depths, towers = _depths(encoder)
    return {name: decay ** (towers[_tower(name)] + 1 - depth) for name, depth in depths.items()}


def encoder_groups(
    encoder: Encoder, shares: dict[str, float], learning_rate: float, weight_decay: float
) -> list[dict]:
    """Return parameter groups for an optimiser, and freeze the weights without a share.

    Args:
        encoder: only weights of its `clip` are trained.
        shares: the share of the learning rate by parameter name of `clip`; see `all_layers`.
        learning_rate: the full rate.
        weight_decay: of matrices; vectors and scalars (biases, norms, temperature) do not decay.

    Raises:
        UserError: no weight is left to train.
    """
    for name, weight in encoder.clip.named_parameters():
        weight.requires_grad_(name in shares)
    rates = [
        (weight, learning_rate * shares[name])
        for name, weight in encoder.clip.named_parameters()
        if name in shares
    ]
    if not rates:
        raise UserError("No weight of this encoder is left to train; see finetune_encoder.train.")
    return marked_for_muon(_grouped(rates, weight_decay), encoder.clip)


def module_groups(
    module: nn.Module,
    learning_rate: float,
    weight_decay: float,
    slower: nn.Module | None = None,
    share: float = 1.0,
    vectors_decay: bool = False,
) -> list[dict]:
    """Return parameter groups for torch.optim of all weights of a module that are not frozen.

    Args:
        module: everything that is trained.
        learning_rate: the full rate.
        weight_decay: of matrices.
        slower: a part of the module that learns at `share` of the learning rate.
        share: see `slower`.
        vectors_decay: whether vectors and scalars (biases, norms, temperatures) decay too.
    """
    part = [] if slower is None else slower.parameters()
    rates = [(weight, learning_rate * share) for weight in part]
    rates += [(weight, learning_rate) for weight in module.parameters()]
    return marked_for_muon(_grouped(rates, weight_decay, vectors_decay), module)


def marked_for_muon(groups: Iterable[dict], module: nn.Module) -> list[dict]:
    """Divide groups of a module's weights: those that `Muon` is made for have a true "matrices".

    AdamW takes no notice of it. The groups of the highest rate come last.
    """
    matrices = _matrices(module)
    divided = []
    for group in groups:
        for kind in (False, True):
            weights = [weight for weight in group["params"] if (weight in matrices) is kind]
            if weights:
                divided.append({**group, "params": weights, "matrices": kind})
    return sorted(divided, key=lambda group: group["lr"])


def trained_weights(groups: Iterable[dict]) -> int:
    """Count the weights (scalars) of the groups."""
    return sum(parameter.numel() for group in groups for parameter in group["params"])


def _matrices(module: nn.Module) -> set[nn.Parameter]:
    """Return the weights of linear layers, of convolutions and of projections.

    Convolutions of groups of channels are several matrices in one weight, and are left out, as is
    the last layer of a captioner, which has a row for each word.
    """
    found = set()
    for part in module.modules():
        if isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1):
            found.add(part.weight)
        elif isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            found.add(part.in_proj_weight)
    ends = ("text_projection", "visual.proj")  # open_clip's projections, outside of any layer
    named = [(name, weight) for name, weight in module.named_parameters() if name.endswith(ends)]
    return found | {weight for name, weight in named if "text_decoder." not in name}


def _grouped(
    rates: Iterable[tuple[nn.Parameter, float]], weight_decay: float, vectors_decay: bool = False
) -> list[dict]:
    """Make one group for each learning rate and weight decay.

    If a weight appears twice, its first learning rate counts.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    taken: set[nn.Parameter] = set()
    for weight, rate in rates:
        if weight.requires_grad and weight not in taken:
            taken.add(weight)
            decay = weight_decay if vectors_decay or weight.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(weight)
    return [
        {"params": weights, "lr": rate, "weight_decay": decay}
        for (rate, decay), weights in groups.items()
    ]


def _tower(name: str) -> str:
    return "visual" if name.startswith("visual.") else "text"


def _depths(encoder: Encoder) -> tuple[dict[str, int], dict[str, int]]:
    """Return each parameter's depth, and the number n of blocks of each tower.

    Depth 0 is before the blocks, 1 to n are the blocks, and n + 1 is after them.
    """
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
