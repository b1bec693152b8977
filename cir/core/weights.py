"""Weights from files, and into the models that they belong to."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cir.core.errors import UserError


def read_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """The weights in a file of safetensors, or of torch.save, by name.

    Raises UserError where there is no such file, or where it holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: there are no weights to load")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no whole file of weights: {reason}") from None
    named = isinstance(weights, dict) and all(isinstance(w, torch.Tensor) for w in weights.values())
    if not named:
        raise UserError(f"{path} holds no weights by name, but {type(weights).__name__}")
    return weights


def load_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], source: str, what: str = "composer"
) -> None:
    """Give the module its weights; UserError naming the `source` unless names and shapes fit.

    `what` says in that sentence what the weights should be of.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        wrong = sorted(n for n in {*expected, *found} if expected.get(n) != found.get(n))
        raise UserError(
            f"{source} holds weights of another {what}: {len(wrong)} differ, the first being "
            f"{wrong[0]}, expected {expected.get(wrong[0], 'not at all')}, "
            f"got {found.get(wrong[0], 'nothing')}"
        )
    module.load_state_dict(weights)


def contiguous_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's weights as safetensors wants them."""
    return {name: value.contiguous() for name, value in module.state_dict().items()}


def weights_digest(module: nn.Module) -> str:
    """A digest of the names and values of the module's weights."""
    total = hashlib.sha256()
    for name, value in module.state_dict().items():
        total.update(name.encode())
        total.update(value.float().cpu().numpy().tobytes())
    return total.hexdigest()
