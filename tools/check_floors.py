"""Fail when a metric is missing, no number, or below its floor: python -m tools.check_floors

metrics_floors.yaml maps a metrics file to its metrics (the keys on the way, joined by dots) and
the lowest value of each that is accepted.
"""

import math
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cir.errors import UserError
from cir.files import read_json

FLOORS_FILE = Path("metrics_floors.yaml")


def problems(floors: dict[str, dict[str, float]], root: Path) -> list[str]:
    """One sentence for each metric that is not at or above its floor."""
    found = []
    for name, metrics in floors.items():
        try:
            values = read_json(root / name)
        except UserError as error:
            found.append(str(error))
            continue
        for metric, floor in metrics.items():
            value = value_at(values, metric)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                found.append(f"{name}: {metric} must be a number, got {value!r}")
            elif not math.isfinite(value) or value < floor:
                found.append(f"{name}: {metric} must be at least {floor}, got {value}")
    return found


def value_at(values: Any, metric: str) -> Any:
    """The value under dotted keys, or None where there is none."""
    for key in metric.split("."):
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def main() -> None:
    floors = YAML(typ="safe", pure=True).load(FLOORS_FILE)
    found = problems(floors, Path())
    for sentence in found:
        print(f"error: {sentence}", file=sys.stderr)
    if found:
        sys.exit(1)
    count = sum(len(metrics) for metrics in floors.values())
    print(f"all {count} metrics are at or above their floors")


if __name__ == "__main__":
    main()
