"""Write comments on pull requests from real git and DVC histories."""

import sys
from pathlib import Path

import pytest

from tests.helpers import small_project
from tools import pull_request
from tools.pull_request import MARKER, comment

LIMITS = "scores.json:\n  accuracy: {floor: 0.9, drop: 0.01}\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pull_request") / "project"
    small_project.make(folder)
    (folder / "metrics_gate.yaml").write_text(LIMITS)
    small_project.commit(folder, "gate")
    return folder


@pytest.fixture
def branch(base, tmp_path, monkeypatch):
    """Clone without data, as CI does; the base is a branch of origin."""
    folder = small_project.clone(base, tmp_path / "clone")
    small_project.run(folder, "git", "switch", "-qc", "better")
    monkeypatch.chdir(folder)
    return folder


def sections(text):
    """Map each title to its text, without the padding of tables."""
    parts = text.split("\n### ")
    tight = ["\n".join(" ".join(line.split()) for line in part.splitlines()) for part in parts]
    return {title: body.strip() for title, _, body in (part.partition("\n") for part in tight[1:])}


def test_no_change_reads_as_sentences(branch):
    text = comment("origin/main")
    assert text.startswith(f"{MARKER}\n\n## Against `origin/main`\n")
    found = sections(text)
    assert found["Metrics"] == "No metric changed."
    assert found["Params"] == "No param changed."
    assert found["Lock files"].startswith("Fresh: ")
    assert "| `scores accuracy` | 0.9000 | 0.0100 | 0.9800 | 0.9800 | ok |" in found["Gate: passed"]


def test_a_worse_metric_and_another_param(branch):
    Path("code.txt").write_text('{"accuracy": 0.95}\n')
    Path("params.yaml").write_text("speed: 2\nunused: 1\n")
    small_project.dvc(branch, "repro", "-q")
    small_project.commit(branch, "worse")
    found = sections(comment("origin/main"))
    assert "| accuracy | 0.98 | 0.95 | -0.03 |" in found["Metrics"]
    assert "| speed | 1 | 2 |" in found["Params"]
    assert "unused" not in found["Params"]
    assert found["Lock files"].startswith("Fresh: ")
    assert found["Gate: failed"].endswith(
        "- scores.json: accuracy may drop by 0.01 at most, but dropped from 0.98 to 0.95"
    )


def test_another_metric_and_a_stale_lock(branch):
    Path("scores.json").write_text('{"recall": 1.0}\n')
    found = sections(comment("origin/main"))
    assert "| recall | - | 1.0 | - |" in found["Metrics"]
    assert "| accuracy | 0.98 | - | - |" in found["Metrics"]
    assert found["Gate: failed"].endswith("- scores.json: accuracy is missing")
    assert found["Lock files"].endswith("- three: scores.json (modified)")


def test_many_changes_are_folded(branch):
    values = ", ".join(f'"m{number}": {number}' for number in range(40))
    Path("scores.json").write_text(f'{{"accuracy": 0.98, {values}}}\n')
    body = sections(comment("origin/main"))["Metrics"]
    assert body.startswith("<details><summary>40 metrics changed</summary>\n\n| Metric |")
    assert body.endswith("</details>")


@pytest.mark.parametrize("revision", ["no-such-branch", "HEAD:"])
def test_an_unknown_base_is_one_sentence(branch, revision, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pull_request", "--base", revision])
    assert pull_request.main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: git cannot show the revision '{revision}'")
    assert said.err.count("\n") == 1
