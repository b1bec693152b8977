"""Make tables of experiments from the answer of `dvc exp show --json`."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tools import experiments
from tools.experiments import OF_BENCHMARKS, OF_CLASSES, OF_RETRIEVER, TABLES, finished, merged


def revision(name, params, metrics, error=None):
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {file: {"data": values} for file, values in metrics.items()},
    }
    return {"rev": "0123456789", "name": name, "data": data, "error": error}


HALF = {"composer": {"weight": 0.5}}
BASE = {"seed": 17, "train": {"what": "all", "decay": 1.0}, "composer": {"weight": 1.0}}
SHOWN = [
    {"rev": "workspace", "data": None, "experiments": None},
    {
        "rev": "abc",
        **{key: value for key, value in revision("main", BASE, {}).items() if key == "data"},
        "experiments": [
            {"revs": [revision("later", {**BASE, "seed": 3}, {})], "name": "later"},
            {
                "revs": [
                    revision(
                        "head",
                        {**BASE, "train": {"what": "head"}},
                        {
                            "metrics/retrieval.json": {"accuracy": 0.9, "results": [1]},
                            "metrics/finetune.json": {"val_accuracy": 0.8},
                        },
                    )
                ]
            },
            {
                "revs": [
                    revision("half", {**BASE, "composer": {"weight": 0.5}}, {"m": {"mrr": 1.0}})
                ]
            },
            {"revs": [{"rev": "9876543210", "data": None, "error": {"msg": "torn"}}]},
        ],
    },
]


def test_finished_experiments_by_name_with_what_they_changed():
    assert finished(SHOWN, OF_RETRIEVER) == [
        {"experiment": "half", "changed": "composer.weight=0.5", "mrr": 1.0},
        {
            "experiment": "head",
            "changed": "train.what=head, train.decay=(none)",
            "accuracy": 0.9,
            "val_accuracy": 0.8,
        },
    ]


def test_an_experiment_on_a_published_dataset_has_a_table_of_its_own():
    metrics = {"m": {"benchmark_recall@1": 0.9, "accuracy": 0.7, "benchmark_step": 30}}
    params = {**BASE, "benchmark": {"composer": {"name": "composeae"}}}
    base = {**BASE, "benchmark": {"composer": {"name": "tirg"}}}
    shown = [
        {
            "rev": "abc",
            "data": revision("main", base, {})["data"],
            "experiments": [
                {"revs": [revision("composeae", params, metrics)]},
                {"revs": [revision("seed", {**base, "seed": 3}, metrics)]},
            ],
        }
    ]
    (row,) = finished(shown, OF_BENCHMARKS)
    assert row == {
        "experiment": "composeae",
        "changed": "benchmark.composer.name=composeae",
        "benchmark_recall@1": 0.9,
        "benchmark_step": 30,
    }
    (row,) = finished(shown, OF_RETRIEVER)
    assert row == {"experiment": "seed", "changed": "seed=3", "accuracy": 0.7}


CLASS_BASE = {
    **BASE,
    "benchmark": {"steps": 90},
    "class_data": {"source": "drawn_objects"},
    "class_embedder": {"pooling": "gem"},
    "train_class_embedder": {"steps": 900},
    "embed_classes": {"flip": True},
    "score_classes": {"reranking": {"k1": 20}},
}
CLASS_METRICS = {
    "metrics/retrieval.json": {"accuracy": 0.98},
    "metrics/benchmark.json": {"benchmark_recall@1": 0.9},
    "metrics/class_retrieval.json": {"class_recall@1": 0.95, "class_map": 0.85, "class_map@r": 0.7},
    "metrics/class_embedder.json": {"class_val_map": 0.9, "class_weights": 663249},
}


@pytest.mark.parametrize(
    ("changes", "changed", "tables"),
    [
        (
            {"class_data": {"source": "folders"}},
            "class_data.source=folders",
            [OF_CLASSES],
        ),
        ({"class_embedder": {"pooling": "cls"}}, "class_embedder.pooling=cls", [OF_CLASSES]),
        ({"train_class_embedder": {"steps": 9}}, "train_class_embedder.steps=9", [OF_CLASSES]),
        ({"embed_classes": {"flip": False}}, "embed_classes.flip=false", [OF_CLASSES]),
        (
            {"score_classes": {"reranking": None}},
            "score_classes.reranking.k1=(none)",
            [OF_CLASSES],
        ),
        (
            {"seed": 3, "class_embedder": {"pooling": "cls"}},
            "seed=3, class_embedder.pooling=cls",
            [OF_CLASSES],
        ),
        (
            {"benchmark": {"steps": 9}, "train_class_embedder": {"steps": 9}},
            "benchmark.steps=9, train_class_embedder.steps=9",
            [OF_BENCHMARKS, OF_CLASSES],
        ),
        ({"seed": 3}, "seed=3", [OF_RETRIEVER]),
        ({"train": {"what": "head", "decay": 1.0}}, "train.what=head", [OF_RETRIEVER]),
    ],
)
def test_an_experiment_is_in_the_tables_of_the_sections_that_it_changes(changes, changed, tables):
    experiment = revision("one", {**CLASS_BASE, **changes}, CLASS_METRICS)
    main = {"rev": "abc", "data": revision("main", CLASS_BASE, {})["data"]}
    shown = [{**main, "experiments": [{"revs": [experiment]}]}]
    rows = {table.path: finished(shown, table) for table in TABLES}
    assert [table for table in TABLES if rows[table.path]] == tables
    for table in tables:
        (row,) = rows[table.path]
        assert row["changed"] == changed
        assert not row.keys() - set(table.columns)


def test_the_class_level_retrievers_figures():
    """The GeM exponent is missing here, as with any other pooling than GeM."""
    experiment = revision("one", {**CLASS_BASE, "embed_classes": {"flip": False}}, CLASS_METRICS)
    main = {"rev": "abc", "data": revision("main", CLASS_BASE, {})["data"]}
    assert finished([{**main, "experiments": [{"revs": [experiment]}]}], OF_CLASSES) == [
        {
            "experiment": "one",
            "changed": "embed_classes.flip=false",
            "class_recall@1": 0.95,
            "class_map": 0.85,
            "class_map@r": 0.7,
            "class_val_map": 0.9,
            "class_weights": 663249,
        }
    ]


def test_the_tables_are_written_and_old_rows_stay(tmp_path, monkeypatch, capsys):
    """New figures replace old ones of the same experiment; a table without rows is not written."""
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    heads = ",".join(OF_CLASSES.columns)
    OF_CLASSES.path.write_text(f"{heads}\nold,x=1,0.9,0.8,0.7,0.6,5,3.0\none,x=2,0.1,,,,,\n")
    experiment = revision("one", {**CLASS_BASE, "embed_classes": {"flip": False}}, CLASS_METRICS)
    main = {"rev": "abc", "data": revision("main", CLASS_BASE, {})["data"]}
    answer = json.dumps([{**main, "experiments": [{"revs": [experiment]}]}])
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, answer, "")
    )
    monkeypatch.setattr("sys.argv", ["experiments"])
    experiments.main()
    table = pd.read_csv(OF_CLASSES.path)
    assert table["experiment"].tolist() == ["old", "one"]
    assert table["class_recall@1"].tolist() == [0.9, 0.95]
    assert not OF_RETRIEVER.path.exists()
    assert "metrics/class_experiments.csv: 2 experiments, 1 of them from HEAD" in (
        capsys.readouterr().out
    )


def test_a_new_row_replaces_the_old_one_of_its_name_and_others_stay():
    old = [{"experiment": "a", "accuracy": 0.1}, {"experiment": "b", "accuracy": 0.2}]
    new = [{"experiment": "c", "accuracy": 0.3}, {"experiment": "a", "accuracy": 0.4}]
    assert merged(old, new) == [new[1], old[1], new[0]]
    assert merged([], new) == new


def test_the_committed_table_has_the_columns_and_a_row_per_experiment():
    table = pd.read_csv("metrics/experiments.csv")
    assert list(table.columns) == OF_RETRIEVER.columns
    assert table["experiment"].is_unique
    assert len(table) >= 12
    assert table["accuracy"].between(0, 1).all()
