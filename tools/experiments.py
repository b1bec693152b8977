"""Keep finished experiments as rows of tables in metrics/: python -m tools.experiments

DVC keeps experiments in this clone's own git references; the tables are committed, and the report
shows that of the retriever. Experiments on a published dataset, which change the section
`benchmark`, have one of their own. A row stays until an experiment of the same name replaces it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cir import files
from cir.errors import UserError

FIGURES = (
    "accuracy",
    "novel_accuracy",
    "recall@5",
    "mrr",
    "val_accuracy",
    "trained_weights",
    "tagger_exact_edit",
)
OF_BENCHMARKS = (
    "benchmark_recall@1",
    "benchmark_recall@10",
    "benchmark_val_recall@1",
    "benchmark_step",
    "benchmark_weights",
)
TABLES = {
    Path("metrics/experiments.csv"): FIGURES,
    Path("metrics/benchmark_experiments.csv"): OF_BENCHMARKS,
}
Row = dict[str, Any]


def columns(figures: Sequence[str]) -> list[str]:
    """The columns of the table with these figures."""
    return ["experiment", "changed", *figures]


def finished(shown: list[dict[str, Any]], figures: Sequence[str] = FIGURES) -> list[Row]:
    """The rows of the finished experiments in the answer of `dvc exp show --json`, by name.

    Only those that belong to the table with these `figures`. `changed` names each parameter whose
    value is not that of the commit it began from.
    """
    rows = []
    for commit in shown:
        base = dict(_flat(_values(commit.get("data"), "params")))
        for experiment in commit.get("experiments") or []:
            row = _row(experiment["revs"][0], base, figures)
            if row is not None:
                rows.append(row)
    return sorted(rows, key=lambda row: row["experiment"])


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The rows of both; of equal names the new one, in the old one's place."""
    replacing = {row["experiment"]: row for row in new}
    kept = [replacing.pop(row["experiment"], row) for row in old]
    return [*kept, *replacing.values()]


def _row(revision: dict[str, Any], base: dict[str, Any], figures: Sequence[str]) -> Row | None:
    """One experiment, or None if it has no such figures: it is queued, running or has failed."""
    data = revision.get("data")
    found = {key: value for values in _values(data, "metrics") for key, value in values.items()}
    if revision.get("error") or not any(name in found for name in figures):
        return None
    params = dict(_flat(_values(data, "params")))
    changed = {
        key: params.get(key) for key in {**base, **params} if params.get(key) != base.get(key)
    }
    if any(key.startswith("benchmark.") for key in changed) is not (figures == OF_BENCHMARKS):
        return None
    return {
        "experiment": revision.get("name") or revision["rev"][:7],
        "changed": ", ".join(f"{key}={_written(value)}" for key, value in changed.items()),
        **{name: found[name] for name in figures if name in found},
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
    shown = json.loads(done.stdout)
    for path, figures in TABLES.items():
        _write(path, figures, finished(shown, figures), arguments.rev)


def _write(path: Path, figures: Sequence[str], new: list[Row], rev: str) -> None:
    old = pd.read_csv(path).to_dict("records") if path.is_file() else []
    table = pd.DataFrame(merged(old, new), columns=columns(figures))
    if len(table):
        with files.whole_file(path) as unfinished:
            table.to_csv(unfinished, index=False, float_format="%.4f")
    print(f"{path}: {len(table)} experiments, {len(new)} of them from {rev}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
