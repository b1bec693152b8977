"""A git repository with a DVC pipeline of three stages that only copy, quick to run for real."""

import os
import subprocess

import pytest
from dvc.cli import main as dvc_command

from tests.helpers import ROOT

PIPELINE = """\
stages:
  one:
    cmd: cp code.txt a.txt
    deps: [code.txt]
    params: [speed]
    outs: [a.txt]
  two:
    cmd: cp a.txt b.json
    deps: [a.txt]
    outs: [b.json]
  three:
    cmd: cp b.json scores.json
    deps: [b.json]
    metrics: [scores.json: {cache: false}]
"""


def run(folder, *words, status=0):
    """Run a command in `folder` and return its standard output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for name in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{name}_NAME": "n", f"GIT_{name}_EMAIL": "e@example.org"}
    environment["PYTHONPATH"] = str(ROOT)
    finished = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished.stdout


def dvc(folder, *words):
    """Run a DVC command in `folder`, but in this process, which has DVC at hand."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert dvc_command([*words]) == 0


def commit(folder, message):
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", message)


def make(folder):
    """Make the project in a new folder, run it and commit it, dvc.lock and all."""
    folder.mkdir()
    run(folder, "git", "init", "-q", "-b", "main")
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("speed: 1\nunused: 1\n")
    (folder / "code.txt").write_text('{"accuracy": 0.98}\n')
    dvc(folder, "repro", "-q")
    commit(folder, "first")


def clone(folder, to):
    """Clone it as a colleague would who has none of the data."""
    run(folder.parent, "git", "clone", "-q", str(folder), str(to))
    return to
