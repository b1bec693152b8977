"""CI's gate: a metric that is missing or no number fails as one that is too low does."""

import json
import math
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools.check_floors import FLOORS_FILE, main, problems, value_at

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"metrics/a.json": {"accuracy": 0.97, "novel.accuracy": 0.89}}


def write(root, text):
    (root / "metrics").mkdir(exist_ok=True)
    (root / "metrics" / "a.json").write_text(text)


def test_at_the_floor_and_above_is_fine(tmp_path):
    write(tmp_path, json.dumps({"accuracy": 0.97, "novel": {"accuracy": 1}}))
    assert problems(FLOORS, tmp_path) == []


@pytest.mark.parametrize(
    ("novel", "sentence"),
    [
        ({"accuracy": 0.8899}, "novel.accuracy must be at least 0.89, got 0.8899"),
        ({"accuracy": math.nan}, "novel.accuracy must be at least 0.89, got nan"),
        ({"accuracy": math.inf}, "novel.accuracy must be at least 0.89, got inf"),
        ({"accuracy": None}, "novel.accuracy must be a number, got None"),
        ({"accuracy": "0.99"}, "novel.accuracy must be a number, got '0.99'"),
        ({"accuracy": True}, "novel.accuracy must be a number, got True"),
        ({}, "novel.accuracy must be a number, got None"),
        (0.99, "novel.accuracy must be a number, got None"),
    ],
)
def test_what_is_no_good_number_is_a_problem(tmp_path, novel, sentence):
    write(tmp_path, json.dumps({"accuracy": 0.99, "novel": novel}))
    assert problems(FLOORS, tmp_path) == [f"metrics/a.json: {sentence}"]


def test_a_missing_or_torn_file_is_a_problem(tmp_path):
    (sentence,) = problems(FLOORS, tmp_path)
    assert re.search(r"metrics/a\.json does not exist", sentence)
    write(tmp_path, '{"accuracy": 0.9')
    (sentence,) = problems(FLOORS, tmp_path)
    assert re.search(r"metrics/a\.json is not a JSON file", sentence)


def test_the_command_fails_with_the_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    FLOORS_FILE.write_text("metrics/a.json:\n  accuracy: 0.97\n")
    write(tmp_path, '{"accuracy": 0.5}')
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "accuracy must be at least 0.97, got 0.5" in capsys.readouterr().err
    write(tmp_path, '{"accuracy": 0.98}')
    main()
    assert "all 1 metrics" in capsys.readouterr().out


def test_the_tracked_floors_name_metrics_that_exist():
    floors = YAML(typ="safe", pure=True).load(ROOT / FLOORS_FILE)
    for name, metrics in floors.items():
        values = json.loads((ROOT / name).read_text())
        for metric, floor in metrics.items():
            assert isinstance(value_at(values, metric), float), metric
            assert 0 < floor < 1
