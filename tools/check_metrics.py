"""Every metrics file of dvc.yaml against the schema of its stage: python -m tools.check_metrics"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pydantic
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent


def metrics_files(root: Path = ROOT) -> list[tuple[str, str]]:
    """(stage, metrics file) for every metrics file in dvc.yaml."""
    stages = YAML(typ="safe", pure=True).load(root / "dvc.yaml")["stages"]
    return [
        (name, next(iter(entry)) if isinstance(entry, dict) else entry)
        for name, stage in stages.items()
        for entry in stage.get("metrics", [])
    ]


def problems(root: Path = ROOT) -> Iterator[str]:
    """A sentence for each metrics file that is missing or does not fit `stages.NAME.Metrics`."""
    for name, path in metrics_files(root):
        schema = importlib.import_module(f"stages.{name}").Metrics
        try:
            schema.model_validate_json((root / path).read_bytes())
        except FileNotFoundError:
            yield f"{path} does not exist"
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            yield f"{path} does not fit stages.{name}.Metrics: {key}: {first['msg']}"


def main() -> None:
    found = list(problems())
    if found:
        sys.exit("\n".join(f"error: {sentence}" for sentence in found))
    print(", ".join(path for _, path in metrics_files()), "fit their schemas")


if __name__ == "__main__":
    main()
