"""Choose the device for models, and the precision in which they compute vectors there."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Inference = Literal["auto", "fp32", "bf16"]


def inference_precision(asked: Inference, device: torch.device) -> Literal["fp32", "bf16"]:
    """Return the precision of inference: "auto" is bf16 on a GPU that has it, else fp32."""
    if asked != "auto":
        return asked
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "fp32"


def in_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """Compute in this precision where no gradients are recorded; training chooses its own.

    bf16 is torch's autocast: weights stay in fp32, products are computed in bf16.
    """
    if precision == "fp32" or torch.is_grad_enabled():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def with_precision(fingerprint: str, precision: str) -> str:
    """Name the precision at the end of a model's fingerprint, unless it is fp32."""
    return fingerprint if precision == "fp32" else f"{fingerprint}-{precision}"
