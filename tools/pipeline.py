"""Read the stages of every dvc.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stage:
    """A stage of a dvc.yaml file.

    Attributes:
        address: the name that DVC gives it: "score", or "stages/classes/dvc.yaml:score".
        module: the module of its script: "stages.classes.score".
        entry: its mapping in dvc.yaml; for a `foreach` stage, the mapping under `do`.
        foreach: whether the stage runs once for each item of a mapping.
    """

    address: str
    module: str
    entry: dict[str, Any]
    foreach: bool

    def paths(self, kind: str) -> list[str]:
        """Return the paths under `kind` ("outs", "metrics", "plots"), without their options."""
        entries = self.entry.get(kind, [])
        return [next(iter(one)) if isinstance(one, dict) else one for one in entries]

    @property
    def outputs(self) -> list[str]:
        """Return every path that the stage writes."""
        return [path for kind in ("outs", "metrics", "plots") for path in self.paths(kind)]


def dvc_files(root: Path = ROOT) -> list[Path]:
    """Return the dvc.yaml of the root, then the dvc.yaml of each folder in stages/."""
    return [root / "dvc.yaml", *sorted((root / "stages").glob("*/dvc.yaml"))]


def read_stages(root: Path = ROOT) -> list[Stage]:
    """Read every stage of every dvc.yaml."""
    found = []
    for path in dvc_files(root):
        relative = path.relative_to(root)
        for name, entry in YAML(typ="safe", pure=True).load(path)["stages"].items():
            inner = len(relative.parts) > 1
            address = f"{relative.as_posix()}:{name}" if inner else name
            module = ".".join([*(relative.parent.parts or ("stages",)), name])
            found.append(Stage(address, module, entry.get("do", entry), "do" in entry))
    return found
