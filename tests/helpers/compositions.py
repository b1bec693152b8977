"""What Hydra composes from conf/, each choice of overrides composed once."""

import functools
import tempfile
from pathlib import Path

from omegaconf import OmegaConf

from tools.compose_params import compose


@functools.cache
def composed(*overrides):
    """Return the text of the params.yaml that the overrides give.

    Raises ConfigCompositionException where Hydra refuses them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        compose(path, overrides)
        return path.read_text(encoding="utf-8")


@functools.cache
def composed_values(*overrides):
    """Return the same as nested dictionaries."""
    return OmegaConf.to_container(OmegaConf.create(composed(*overrides)))
