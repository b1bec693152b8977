"""Keep finished experiments as rows of metrics/experiments.csv: python -m tools.experiments

DVC keeps experiments in this clone's own git references; the CSV is committed and the report
shows it. A row of the CSV stays until an experiment of the same name replaces it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cir import files
from cir.errors import UserError

TABLE = Path("metrics/experiments.csv")
FIGURES = (
    "accuracy",
    "novel_accuracy",
    "recall@5",
    "mrr",
    "val_accuracy",
    "trained_weights",
    "tagger_exact_edit",
)
COLUMNS = ("experiment", "changed", *FIGURES)
Row = dict[str, Any]


def finished(shown: list[dict[str, Any]]) -> list[Row]:
    """The rows of the finished experiments in the answer of `dvc exp show --json`, by name.

    `changed` names each parameter whose value is not that of the commit it began from.
    """
    rows = []
    for commit in shown:
        base = dict(_flat(_values(commit.get("data"), "params")))
        for experiment in commit.get("experiments") or []:
            row = _row(experiment["revs"][0], base)
            if row is not None:
                rows.append(row)
    return sorted(rows, key=lambda row: row["experiment"])


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The rows of both; of equal names the new one, in the old one's place."""
    replacing = {row["experiment"]: row for row in new}
    kept = [replacing.pop(row["experiment"], row) for row in old]
    return [*kept, *replacing.values()]


def _row(revision: dict[str, Any], base: dict[str, Any]) -> Row | None:
    """One experiment, or None if it has no figures: it is queued, running or has failed."""
    data = revision.get("data")
    figures = {key: value for values in _values(data, "metrics") for key, value in values.items()}
    if revision.get("error") or not any(name in figures for name in FIGURES):
        return None
    params = dict(_flat(_values(data, "params")))
    changed = {
        key: params.get(key) for key in {**base, **params} if params.get(key) != base.get(key)
    }
    return {
        "experiment": revision.get("name") or revision["rev"][:7],
        "changed": ", ".join(f"{key}={_written(value)}" for key, value in changed.items()),
        **{name: figures[name] for name in FIGURES if name in figures},
    }


def _values(data: dict[str, Any] | None, kind: str) -> list[dict[str, Any]]:
    """The contents of each of the params or metrics files that DVC could read."""
    found = ((data or {}).get(kind) or {}).values()
    return [file["data"] for file in found if isinstance(file.get("data"), dict)]


def _flat(sections: list[dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for section in sections:
        for key, value in section.items():
            if isinstance(value, dict):
                yield from _flat([value], f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value


def _written(value: Any) -> str:
    return "(none)" if value is None else value if isinstance(value, str) else json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep finished experiments in a table.")
    parser.add_argument("--rev", default="HEAD", help="the commit that they began from")
    arguments = parser.parse_args()
    command = ["dvc", "exp", "show", "--json", "--force", "--rev", arguments.rev]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc exp show failed: {' '.join(done.stderr.split())}")
    new = finished(json.loads(done.stdout))
    old = pd.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []
    table = pd.DataFrame(merged(old, new), columns=list(COLUMNS))
    with files.whole_file(TABLE) as path:
        table.to_csv(path, index=False, float_format="%.4f")
    print(f"{TABLE}: {len(table)} experiments, {len(new)} of them from {arguments.rev}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
