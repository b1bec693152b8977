"""Curves of training as CSV and as TensorBoard's events: the same figures."""

from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cir.core.curves import Curve, event_folder

HISTORY = [
    {"step": 10, "loss": 2.5, "accuracy": 0.25, "score": 1},
    {"step": 20, "loss": 1.25},
    {"step": 30, "loss": 0.5, "accuracy": 0.75},
]
COLUMNS = ("step", "loss", "accuracy")


def events(folder):
    """Tag → its (step, value) pairs, from all event files of a folder as TensorBoard reads them."""
    accumulator = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_events_and_csv_hold_the_same_figures(tmp_path):
    curve = Curve(tmp_path / "curve.csv", COLUMNS, tmp_path / "events")
    curve.follow(HISTORY[:1])
    assert events(tmp_path / "events") == {"loss": [(10, 2.5)], "accuracy": [(10, 0.25)]}
    curve.follow(HISTORY[:2])
    curve.write(HISTORY)
    table = pd.read_csv(tmp_path / "curve.csv")
    assert list(table.columns) == list(COLUMNS)
    for tag, told in events(tmp_path / "events").items():
        rows = table.dropna(subset=tag)
        assert told == list(zip(rows["step"], rows[tag], strict=True))
    assert set(events(tmp_path / "events")) == {"loss", "accuracy"}


def test_a_resumed_run_tells_every_row_once(tmp_path):
    killed = Curve(tmp_path / "curve.csv", COLUMNS, tmp_path / "events")
    killed.follow(HISTORY[:2])  # the second row came after the last checkpoint
    resumed = Curve(tmp_path / "curve.csv", COLUMNS, tmp_path / "events")
    again = [HISTORY[0], {"step": 20, "loss": 1.5}, HISTORY[2]]
    resumed.follow(again[:2])
    resumed.write(again)
    assert events(tmp_path / "events")["loss"] == [(10, 2.5), (20, 1.5), (30, 0.5)]


def test_without_the_param_there_are_no_events(tmp_path):
    curve = Curve(tmp_path / "curve.csv", COLUMNS, event_folder(None, Path("finetune-ab12")))
    curve.follow(HISTORY)
    curve.write(HISTORY)
    assert [path.name for path in tmp_path.iterdir()] == ["curve.csv"]


def test_every_recipe_has_a_run_of_its_own(tmp_path):
    folders = {
        event_folder("runs", Path(".checkpoints") / name) for name in ("tagger-1", "tagger-2")
    }
    assert folders == {Path("runs/tagger-1"), Path("runs/tagger-2")}


@pytest.mark.parametrize("history", [[], HISTORY])
def test_the_csv_has_its_header_even_without_rows(tmp_path, history):
    Curve(tmp_path / "curve.csv", COLUMNS, None).write(history)
    assert (tmp_path / "curve.csv").read_text().splitlines()[0] == "step,loss,accuracy"
