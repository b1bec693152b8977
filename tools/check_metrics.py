"""Check every metrics file with the Metrics class of its stage: python -m tools.check_metrics"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pydantic

from tools.pipeline import ROOT, read_stages


def metrics_files(root: Path = ROOT) -> list[tuple[str, str]]:
    """Return (module of the stage, metrics file) for every metrics file in a dvc.yaml."""
    return [(one.module, path) for one in read_stages(root) for path in one.paths("metrics")]


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield a sentence for each metrics file that is missing or does not fit its Metrics class."""
    for module, path in metrics_files(root):
        schema = importlib.import_module(module).Metrics
        try:
            schema.model_validate_json((root / path).read_bytes())
        except FileNotFoundError:
            yield f"{path} does not exist"
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            yield f"{path} does not fit {module}.Metrics: {key}: {first['msg']}"


def main() -> None:
    found = list(problems())
    if found:
        sys.exit("\n".join(f"error: {sentence}" for sentence in found))
    print(", ".join(path for _, path in metrics_files()), "fit their forms")


if __name__ == "__main__":
    main()
