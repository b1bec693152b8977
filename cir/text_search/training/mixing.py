"""Weights between those before and those after fine-tuning: new skills without losing the old.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT),
https://arxiv.org/abs/2109.01903, equation 1: a straight line between the two in weight space. Here
it lets one encoder answer sentences and still compose images with edits.
"""

from collections.abc import Mapping

import torch


def mixed(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """(1 − share) of the weights before + share of those after; counters are those after."""
    assert before.keys() == after.keys(), "the weights are of one model"
    return {
        name: torch.lerp(before[name].to(weight), weight, share)
        if weight.is_floating_point()
        else weight
        for name, weight in after.items()
    }
