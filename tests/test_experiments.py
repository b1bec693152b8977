"""The table of experiments, from what `dvc exp show --json` answers."""

import pandas as pd

from tools.experiments import FIGURES, OF_BENCHMARKS, columns, finished, merged


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
    assert finished(SHOWN) == [
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
    (row,) = finished(shown)
    assert row == {"experiment": "seed", "changed": "seed=3", "accuracy": 0.7}


def test_a_new_row_replaces_the_old_one_of_its_name_and_others_stay():
    old = [{"experiment": "a", "accuracy": 0.1}, {"experiment": "b", "accuracy": 0.2}]
    new = [{"experiment": "c", "accuracy": 0.3}, {"experiment": "a", "accuracy": 0.4}]
    assert merged(old, new) == [new[1], old[1], new[0]]
    assert merged([], new) == new


def test_the_committed_table_has_the_columns_and_a_row_per_experiment():
    table = pd.read_csv("metrics/experiments.csv")
    assert list(table.columns) == columns(FIGURES)
    assert table["experiment"].is_unique
    assert len(table) >= 12
    assert table["accuracy"].between(0, 1).all()
