"""Keep finished experiments as rows of tables in metrics/: python -m tools.experiments

DVC keeps experiments in git references of this clone only; the tables are committed. There is one
table each for the retriever (the report shows it), published datasets, class-level retrieval and
text search. A row stays until an experiment of the same name replaces it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cir.core import files
from cir.core.errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of experiments.

    Attributes:
        path: its CSV file.
        sections: the table takes experiments that change a param of one of these sections. A table
            without sections takes those that change no section of another table.
        figures: the metrics that it shows.
    """

    path: Path
    sections: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Return the heads of the columns."""
        return ["experiment", "changed", *self.figures]

    def takes(self, changed: Iterable[str]) -> bool:
        """Return whether the table takes an experiment that changes these keys ("train.steps")."""
        sections = {key.split(".")[0] for key in changed}
        if self.sections:
            return not sections.isdisjoint(self.sections)
        return sections.isdisjoint(name for table in TABLES for name in table.sections)


OF_RETRIEVER = Table(
    Path("metrics/experiments.csv"),
    (),
    (
        "accuracy",
        "novel_accuracy",
        "recall@5",
        "mrr",
        "val_accuracy",
        "trained_weights",
        "tagger_exact_edit",
    ),
)
OF_BENCHMARKS = Table(
    Path("metrics/benchmark_experiments.csv"),
    ("benchmark",),
    (
        "benchmark_recall@1",
        "benchmark_recall@10",
        "benchmark_val_recall@1",
        "benchmark_step",
        "benchmark_weights",
    ),
)
OF_CLASSES = Table(
    Path("metrics/class_experiments.csv"),
    ("class_data", "class_embedder", "train_class_embedder", "embed_classes", "score_classes"),
    (
        "class_recall@1",
        "class_map",
        "class_map@r",
        "class_val_map",
        "class_weights",
        "class_gem_exponent",
    ),
)
OF_TEXT_SEARCH = Table(
    Path("metrics/text_experiments.csv"),
    (
        "text_data",
        "captioner",
        "caption_images",
        "finetune_text_search",
        "score_text_search",
        "benchmark_encoders",
    ),
    (
        "text_ndcg@10",
        "text_ndcg@10_one_object",
        "text_ndcg@10_colours_of_a_pair",
        "text_ndcg@10_pair_of_objects",
        "text_ndcg@10_count",
        "text_ndcg@10_place",
        "text_told_apart_colours_of_a_pair",
        "text_mrr",
        "text_val_mrr",
        "text_val_composed",
        "captions_true",
        "captions_naming_only_what_is_shown",
    ),
)
TABLES = (OF_RETRIEVER, OF_BENCHMARKS, OF_CLASSES, OF_TEXT_SEARCH)


def finished(shown: list[dict[str, Any]], table: Table) -> list[Row]:
    """Return the table's rows for the finished experiments, sorted by name.

    `shown` is the answer of `dvc exp show --json`. The column `changed` lists each param whose
    value differs from that in the commit where the experiment began.
    """
    rows = []
    for commit in shown:
        base = dict(_flat(_values(commit.get("data"), "params")))
        for experiment in commit.get("experiments") or []:
            row = _row(experiment["revs"][0], base, table)
            if row is not None:
                rows.append(row)
    return sorted(rows, key=lambda row: row["experiment"])


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """Replace old rows by new ones of the same name, and append the other new rows."""
    replacing = {row["experiment"]: row for row in new}
    kept = [replacing.pop(row["experiment"], row) for row in old]
    return [*kept, *replacing.values()]


def _row(revision: dict[str, Any], base: dict[str, Any], table: Table) -> Row | None:
    """Return the row of an experiment.

    Returns None if it is queued, is running, has failed or belongs to another table.
    """
    data = revision.get("data")
    found = {key: value for values in _values(data, "metrics") for key, value in values.items()}
    if revision.get("error") or not any(name in found for name in table.figures):
        return None
    params = dict(_flat(_values(data, "params")))
    changed = {
        key: params.get(key) for key in {**base, **params} if params.get(key) != base.get(key)
    }
    if not table.takes(changed):
        return None
    return {
        "experiment": revision.get("name") or revision["rev"][:7],
        "changed": ", ".join(f"{key}={_written(value)}" for key, value in changed.items()),
        **{name: found[name] for name in table.figures if name in found},
    }


def _values(data: dict[str, Any] | None, kind: str) -> list[dict[str, Any]]:
    """Return the contents of every params or metrics file (the `kind`) that DVC could read."""
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
    parser.add_argument("--rev", default="HEAD", help="the commit where the experiments began")
    arguments = parser.parse_args()
    command = ["dvc", "exp", "show", "--json", "--force", "--rev", arguments.rev]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc exp show failed: {' '.join(done.stderr.split())}")
    shown = json.loads(done.stdout)
    for table in TABLES:
        _write(table, finished(shown, table), arguments.rev)


def _write(table: Table, new: list[Row], rev: str) -> None:
    old = pd.read_csv(table.path).to_dict("records") if table.path.is_file() else []
    rows = pd.DataFrame(merged(old, new), columns=table.columns)
    if len(rows):
        with files.whole_file(table.path) as unfinished:
            rows.to_csv(unfinished, index=False, float_format="%.4f")
    print(f"{table.path}: {len(rows)} experiments, {len(new)} of them from {rev}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
