"""Read weights from files, and load them into models."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cir.core.errors import UserError, reason_of

_DIGESTS: WeakKeyDictionary[nn.Module, tuple[tuple | None, str]] = WeakKeyDictionary()


def read_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """Read the weights, by name, of a file of safetensors or torch.save.

    Raises UserError if the file is missing or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: there are no weights to load")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a complete file of weights: {reason_of(error)}") from None
    named = isinstance(weights, dict) and all(isinstance(w, torch.Tensor) for w in weights.values())
    if not named:
        raise UserError(f"{path} does not hold weights by name, but a {type(weights).__name__}")
    return weights


def load_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], source: str, what: str = "composer"
) -> None:
    """Load weights into a module.

    Raises UserError if names or shapes differ; the message names `source`, and calls the module
    `what`.
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
    """Return the module's weights as contiguous tensors, which safetensors requires."""
    return {name: value.contiguous() for name, value in module.state_dict().items()}


def weights_digest(module: nn.Module) -> str:
    """Return a digest of the names and values of the module's weights.

    It is computed once, and again only after the weights have changed: half a billion of them take
    seconds.
    """
    weights = module.state_dict()
    state = _state_of(weights)
    known, digest = _DIGESTS.get(module, (None, ""))
    if state is not None and state == known:
        return digest
    total = hashlib.sha256()
    for name, value in weights.items():
        total.update(name.encode())
        total.update(value.float().cpu().numpy().tobytes())
    _DIGESTS[module] = state, total.hexdigest()
    return total.hexdigest()


def _state_of(weights: Mapping[str, torch.Tensor]) -> tuple | None:
    """Return what changes with every change of the weights; None if torch does not count them."""
    if any(value.is_inference() for value in weights.values()):
        return None
    return tuple((name, w.data_ptr(), w._version) for name, w in weights.items())
