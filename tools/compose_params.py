"""Rewrite params.yaml from conf/, as `dvc exp run -S` does: python -m tools.compose_params"""

from collections.abc import Sequence
from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from tools.pipeline import ROOT


def compose(output: Path, overrides: Sequence[str] = (), root: Path = ROOT) -> None:
    """Compose `conf/config.yaml` and its groups into the file `output`.

    `overrides` follow Hydra: "encoder=vitamin_l_384" chooses a file of a group, "seed=1" sets a
    value.
    """
    conf = root / "conf"
    compose_and_dump(str(output), str(conf), None, "config", str(root), list(overrides))


if __name__ == "__main__":
    compose(ROOT / "params.yaml")
