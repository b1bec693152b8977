"""Find stale locks in a real pipeline, with its data and in a clone without data."""

import shutil
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from cir.core.errors import UserError
from tests.helpers import small_project
from tools import stale_lock
from tools.stale_lock import stale

COMMAND = (sys.executable, "-m", "tools.stale_lock")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make the project with its data, and a clone that never fetched data."""
    whole = tmp_path_factory.mktemp("stale_lock") / "whole"
    small_project.make(whole)
    return {"whole": whole, "bare": small_project.clone(whole, whole.parent / "bare")}


@pytest.fixture(params=["whole", "bare"])
def project(request, made, tmp_path, monkeypatch):
    return copy_of(made[request.param], tmp_path, monkeypatch)


@pytest.fixture
def bare(made, tmp_path, monkeypatch):
    return copy_of(made["bare"], tmp_path, monkeypatch)


def copy_of(folder, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    monkeypatch.chdir(copy)
    return copy


def rewrite(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def without_stage(name):
    """Remove a stage from dvc.lock, as if it had never run."""
    yaml = YAML()
    lock = yaml.load(Path("dvc.lock"))
    del lock["stages"][name]
    yaml.dump(lock, Path("dvc.lock"))


def test_a_committed_run_is_fresh_with_data_and_without(project):
    assert stale() == []


def test_the_clone_has_no_data(made):
    assert not (made["bare"] / "a.txt").exists()
    assert (made["bare"] / "scores.json").exists()


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda: rewrite("code.txt", "0.98", "0.97"), ["one: code.txt (modified)"]),
        (lambda: Path("code.txt").unlink(), ["one: code.txt (deleted)"]),
        (lambda: rewrite("dvc.yaml", "cp a.txt", "cp -p a.txt"), ["two: changed command"]),
        (
            lambda: rewrite("dvc.yaml", "deps: [a.txt]", "deps: [a.txt, code.txt]"),
            ["two: code.txt is not in dvc.lock"],
        ),
        (
            lambda: rewrite("dvc.yaml", "outs: [b.json]", "outs: [b.json, c.json]"),
            ["two: c.json is not in dvc.lock"],
        ),
        (
            lambda: rewrite("params.yaml", "speed: 1", "speed: 2"),
            ["one: speed of params.yaml (modified)"],
        ),
        (
            lambda: rewrite("params.yaml", "speed", "pace"),
            ["one: speed of params.yaml (deleted)"],
        ),
        (
            lambda: rewrite("dvc.yaml", "[speed]", "[speed, unused]"),
            ["one: unused of params.yaml (new)"],
        ),
        (lambda: Path("params.yaml").unlink(), ["one: params.yaml (deleted)"]),
        (lambda: Path("scores.json").write_text("{}"), ["three: scores.json (modified)"]),
        (lambda: Path("scores.json").unlink(), ["three: scores.json (deleted)"]),
        (lambda: without_stage("two"), ["two: the stage is not in dvc.lock"]),
        (
            lambda: Path("dvc.lock").unlink(),
            [f"{name}: the stage is not in dvc.lock" for name in ("one", "two", "three")],
        ),
        (lambda: rewrite("params.yaml", "unused: 1", "unused: 2"), []),
    ],
    ids=range(14),
)
def test_what_makes_a_lock_stale(project, change, lines):
    change()
    assert stale() == lines


def test_a_folder_that_several_stages_fill(tmp_path, monkeypatch):
    """The folder is not an output, and it does not exist in a clone without data."""
    whole = tmp_path / "whole"
    small_project.make(whole)
    pipeline = (
        small_project.PIPELINE
        + """\
  each:
    foreach: [left, right]
    do:
      cmd: mkdir -p sides && cp code.txt sides/${item}
      deps: [code.txt]
      outs: ["sides/${item}"]
  both:
    cmd: cat sides/left sides/right > both.txt
    deps: [sides]
    outs: [both.txt]
"""
    )
    (whole / "dvc.yaml").write_text(pipeline)
    (whole / ".gitignore").write_text("sides/\n")
    small_project.dvc(whole, "repro", "-q")
    small_project.commit(whole, "sides")
    bare = small_project.clone(whole, tmp_path / "bare")
    assert not (bare / "sides").exists()
    for folder in (whole, bare):
        monkeypatch.chdir(folder)
        assert stale() == []
        without_stage("each@left")
        assert stale() == ["each@left: the stage is not in dvc.lock"]


def test_data_that_was_never_fetched_in_part_or_whole_is_no_reason(made, tmp_path, monkeypatch):
    shutil.copytree(made["whole"], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("a.txt").unlink()
    assert stale() == []
    shutil.rmtree(".dvc/cache")
    assert stale() == []


def test_a_stage_run_alone_leaves_the_next_one_stale(made, tmp_path, monkeypatch):
    """Without data, DVC's own status does not report it."""
    whole = tmp_path / "whole"
    shutil.copytree(made["whole"], whole)
    rewrite(whole / "code.txt", "0.98", "0.97")
    small_project.dvc(whole, "repro", "-q", "-s", "one")
    small_project.commit(whole, "one alone")
    monkeypatch.chdir(whole)
    assert stale() == ["two: a.txt (modified)"]
    monkeypatch.chdir(small_project.clone(whole, tmp_path / "bare"))
    assert stale() == ["two: a.txt was made again by one"]


def test_the_command(bare):
    small_project.run(bare, *COMMAND)
    rewrite("code.txt", "0.98", "0.97")
    said = small_project.run(bare, *COMMAND, status=1)
    assert said == "one: code.txt (modified)\n"


def test_no_pipeline_and_a_broken_one_are_one_sentence(bare, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="DVC cannot compare: "):
        stale(tmp_path / "empty")
    Path("dvc.yaml").write_text("stages: {one: {}}")
    assert stale_lock.main() == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: DVC cannot compare: ")
    assert said.err.count("\n") == 1


def test_a_running_pipeline_is_not_judged(bare):
    with Repo() as repo, repo.lock, pytest.raises(UserError, match="lock"):
        stale()
