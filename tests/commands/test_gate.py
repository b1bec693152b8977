"""Test the gate on good, worse, low, missing and NaN metrics."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from cir.commands import gate
from cir.commands.gate import Limit
from cir.commands.main import main
from cir.core.errors import UserError
from tests.helpers import ROOT

LIMITS = [Limit("m/a.json", "accuracy", 0.97, 0.005), Limit("m/a.json", "recall@5", 0.9, 0.02)]
GOOD = {"accuracy": 0.985, "recall@5": 1}
LIMITS_FILE = """\
m/a.json:
  accuracy: {floor: 0.97, drop: 0.005}
  recall@5: {floor: 0.9, drop: 0.02}
"""


def sentences(now, base=None):
    against = None if base is None else {"m/a.json": base}
    return gate.problems(gate.judge(LIMITS, {"m/a.json": now}, against))


def test_good_metrics_pass():
    assert sentences(GOOD) == []
    assert sentences({"accuracy": 0.97, "recall@5": 0.9}) == []  # at the floor


def test_a_fall_of_just_the_allowed_drop_passes():
    """0.99 − 0.985 is 0.0050000000000000044 in binary."""
    assert sentences(GOOD, {"accuracy": 0.99, "recall@5": 1}) == []


def test_a_rise_passes():
    assert sentences(GOOD, {"accuracy": 0.5, "recall@5": 0.5}) == []


@pytest.mark.parametrize(
    ("accuracy", "base", "expected"),
    [
        (0.969, None, ["must be at least 0.97, got 0.969"]),
        (0.984, 0.99, ["may drop by 0.005 at most, but dropped from 0.99 to 0.984"]),
        (
            0.95,
            0.99,
            [
                "must be at least 0.97, got 0.95",
                "may drop by 0.005 at most, but dropped from 0.99 to 0.95",
            ],
        ),
        (math.nan, 0.99, ["must be a finite number, got nan"]),
        (math.inf, None, ["must be a finite number, got inf"]),
        (None, None, ["must be a finite number, got None"]),
        ("0.99", 0.99, ["must be a finite number, got '0.99'"]),
        (True, None, ["must be a finite number, got True"]),
        ({"value": 0.99}, 0.99, ["must be a finite number, got {'value': 0.99}"]),
    ],
)
def test_what_is_no_good_number_fails(accuracy, base, expected):
    old = None if base is None else {**GOOD, "accuracy": base}
    found = sentences({**GOOD, "accuracy": accuracy}, old)
    assert found == [f"m/a.json: accuracy {one}" for one in expected]


@pytest.mark.parametrize("now", [{"recall@5": 1}, {"recall@5": 1, "splits": {"accuracy": 0.99}}])
def test_a_missing_metric_fails(now):
    assert sentences(now, GOOD) == ["m/a.json: accuracy is missing"]


def test_a_file_of_another_form_fails():
    assert sentences([0.99]) == ["m/a.json: accuracy is missing", "m/a.json: recall@5 is missing"]


def test_a_missing_or_torn_file_fails_with_one_sentence(tmp_path):
    def found():
        return gate.problems(gate.judge(LIMITS, gate.present(["m/a.json"], tmp_path)))

    (sentence,) = found()
    assert sentence.endswith("m/a.json does not exist")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.json").write_text('{"accuracy": 0.9')
    (sentence,) = found()
    assert "m/a.json is not a JSON file" in sentence


@pytest.mark.parametrize(
    "base", [None, {}, [1], {"accuracy": math.nan}, {"accuracy": {"mean": 0.99}}, {"accuracy": "1"}]
)
def test_what_the_base_lacks_is_said_and_held_against_its_floor_alone(base):
    verdicts = gate.judge(LIMITS, {"m/a.json": GOOD}, {"m/a.json": base})
    assert gate.problems(verdicts) == []
    first = gate.table(verdicts).splitlines()[1]
    assert first.split() == [*"a accuracy 0.9700 0.0050 - 0.9850 ok, not in the base".split()]
    low = gate.judge(LIMITS, {"m/a.json": {**GOOD, "accuracy": 0.5}}, {"m/a.json": base})
    assert gate.problems(low) == ["m/a.json: accuracy must be at least 0.97, got 0.5"]


def test_the_tables():
    now = {"accuracy": math.nan, "recall@5": 0.99}
    verdicts = gate.judge(LIMITS, {"m/a.json": now}, {"m/a.json": {"accuracy": 0.9, "recall@5": 1}})
    assert gate.table(verdicts) == (
        "metric       floor  allowed drop    base     now  verdict\n"
        "a accuracy  0.9700        0.0050  0.9000     nan  FAILED\n"
        "a recall@5  0.9000        0.0200  1.0000  0.9900  ok"
    )
    assert gate.markdown(verdicts) == (
        "| metric | floor | allowed drop | base | now | verdict |\n"
        "| --- | ---: | ---: | ---: | ---: | --- |\n"
        "| `a accuracy` | 0.9700 | 0.0050 | 0.9000 | nan | FAILED |\n"
        "| `a recall@5` | 0.9000 | 0.0200 | 1.0000 | 0.9900 | ok |"
    )


def test_the_limits_are_read_in_their_order(tmp_path):
    (tmp_path / "gate.yaml").write_text(LIMITS_FILE)
    assert gate.read_limits(tmp_path / "gate.yaml") == LIMITS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must map metrics files to their limits, got None"),
        ("- a", "must map metrics files to their limits, got ['a']"),
        ("a.json: {}", "a.json must map metrics to their limits, got {}"),
        ("a.json: {x: 0.9}", "a.json: x must have floor and drop, got 0.9"),
        (
            "a.json: {x: {floor: 0.9, fall: 0.1}}",
            "a.json: x: unknown key 'fall'; expected floor and drop",
        ),
        ("a.json: {x: {floor: 0.9}}", "a.json: x: drop must be a number, got None"),
        ("a.json: {x: {floor: low, drop: 0}}", "a.json: x: floor must be a number, got 'low'"),
        ("a.json: {x: {floor: .nan, drop: 0}}", "a.json: x: floor must be a number, got nan"),
        ("a.json: {x: {floor: 0, drop: -1}}", "a.json: x: drop must not be negative, got -1"),
        ("a.json: {x: {floor: 0, drop: 0}, x: {floor: 1, drop: 0}}", "is not a YAML file: "),
        ("a.json: {", "is not a YAML file: "),
    ],
)
def test_a_bad_limits_file_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        gate.read_limits(path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Make a repository whose commit `old` lacks recall@5 and has a better accuracy than now."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "n")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "e@example.org")
    (tmp_path / "m").mkdir()
    Path("metrics_gate.yaml").write_text(LIMITS_FILE)
    subprocess.run(["git", "init", "-q"], check=True)
    Path("m/a.json").write_text('{"accuracy": 0.995}')
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", "old"], check=True)
    subprocess.run(["git", "tag", "old"], check=True)
    Path("m/a.json").write_text(json.dumps(GOOD))
    return tmp_path


def test_the_command_passes_and_prints_the_table(project, capsys):
    assert main(["gate"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].endswith("0.9850  ok")
    assert said.err == ""


def test_the_command_compares_with_a_revision(project, capsys):
    assert main(["gate", "--against", "old", "--markdown"]) == 1
    said = capsys.readouterr()
    assert "| `a accuracy` | 0.9700 | 0.0050 | 0.9950 | 0.9850 | FAILED |" in said.out
    assert "| `a recall@5` | 0.9000 | 0.0200 | - | 1.0000 | ok, not in the base |" in said.out
    assert said.err == (
        "error: m/a.json: accuracy may drop by 0.005 at most, but dropped from 0.995 to 0.985\n"
    )


def test_a_base_without_the_file_passes(project, capsys):
    Path("m/a.json").rename("m/b.json")
    Path("metrics_gate.yaml").write_text(LIMITS_FILE.replace("a.json", "b.json"))
    assert main(["gate", "--against", "old"]) == 0
    assert capsys.readouterr().out.count("not in the base") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--against", "no-such"], "error: git cannot show the revision 'no-such': "),
        (["--against", "--help me"], "error: git cannot show the revision '--help me': "),
        (["--limits", "none.yaml"], "error: none.yaml does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(project, capsys, words, sentence):
    if words[1].startswith("--"):
        words = ["=".join(words)]
    assert main(["gate", *words]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1


def test_the_tracked_gate_passes_on_the_tracked_metrics():
    limits = gate.read_limits(ROOT / "metrics_gate.yaml")
    found = gate.present(dict.fromkeys(limit.file for limit in limits), ROOT)
    assert gate.problems(gate.judge(limits, found)) == []
    assert all(0 < limit.drop < 0.1 < limit.floor < 1 for limit in limits)
