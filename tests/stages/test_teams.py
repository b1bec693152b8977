"""Run the recipes of docs/team.md on one machine: remotes, experiments, a shared cache, queues."""

import json

import pytest

from tests.helpers.smoke_project import dvc, git
from tools import smoke

pytestmark = pytest.mark.recipes

SIZE = [argument for choice in smoke.CHOICES for argument in ("-S", choice)]


def objects(folder):
    """The objects in a cache or a remote, by their names."""
    found = (folder / "files" / "md5").glob("*/*")
    return {path.parent.name + path.name for path in found if path.is_file()}


def clone(source, folder):
    """A teammate's clone, with a name to commit under."""
    git(source.parent, "clone", "--quiet", str(source), str(folder))
    git(folder, "config", "user.name", "teammate")
    git(folder, "config", "user.email", "teammate@example.org")
    return folder


@pytest.fixture(scope="module")
def team(made, tmp_path_factory):
    """A clone of the made project whose code is on a bare git remote and its data on a folder."""
    folder = tmp_path_factory.mktemp("team")
    mine = clone(made[0], folder / "mine")
    dvc(mine, "cache", "dir", "--local", str(made[0] / ".dvc" / "cache"))
    dvc(mine, "checkout", "--quiet")
    git(folder, "init", "--quiet", "--bare", "hub.git")
    git(mine, "remote", "set-url", "origin", str(folder / "hub.git"))
    dvc(mine, "remote", "add", "--default", "team", str(folder / "store"))
    smoke.commit(mine, "remote")
    git(mine, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    git(folder / "hub.git", "symbolic-ref", "HEAD", "refs/heads/main")
    dvc(mine, "push")
    return folder


def test_a_fresh_clone_runs_nothing_and_fetches_what_it_is_asked_for(team):
    theirs = clone(team / "hub.git", team / "theirs")
    first = smoke.repro(theirs, "--pull", "--allow-missing")
    assert first.stages == {}
    assert objects(theirs / ".dvc" / "cache") == set(), "nothing was needed"
    dvc(theirs, "pull")
    assert objects(theirs / ".dvc" / "cache") == objects(team / "store") != set()
    assert smoke.repro(theirs).stages == {}
    assert (theirs / "models" / "encoder").is_dir()


def test_a_fresh_clone_fetches_only_what_a_change_needs(team):
    theirs = clone(team / "hub.git", team / "changed")
    smoke.choose(theirs, ["embed_gallery.workers=2"])
    assert set(smoke.repro(theirs, "--pull", "--allow-missing").stages) == {"embed_gallery"}
    assert (theirs / "data" / "retrieval" / "test").is_dir()
    assert not (theirs / "data" / "retrieval" / "train").exists()
    assert not (theirs / "models" / "encoder_base").exists()


def test_an_experiment_goes_from_one_clone_to_another(team):
    mine = team / "mine"
    dvc(mine, "exp", "run", "-n", "fewer", *SIZE, "-S", "score.resamples=150")
    git(mine, "checkout", "--", ".")
    dvc(mine, "checkout", "--quiet")  # the report lies in DVC's cache, and shows the intervals
    dvc(mine, "exp", "push", "origin", "fewer")
    theirs = clone(team / "hub.git", team / "other")
    assert "fewer" in dvc(theirs, "exp", "list", "origin")
    assert "fewer" not in dvc(theirs, "exp", "show", "--csv")
    dvc(theirs, "exp", "pull", "origin", "fewer")
    (row,) = [line for line in dvc(theirs, "exp", "show", "--csv").splitlines() if "fewer" in line]
    assert "150" in row.split(",")
    dvc(theirs, "exp", "apply", "fewer")
    assert "resamples: 150" in (theirs / "params.yaml").read_text()
    assert smoke.repro(theirs, "--pull", "--allow-missing").stages == {}


def test_clones_share_a_cache(team):
    shared = team / "shared"
    for name in ("first", "second"):
        project = clone(team / "hub.git", team / name)
        dvc(project, "cache", "dir", "--local", str(shared))
        dvc(project, "config", "--local", "cache.shared", "group")
        dvc(project, "config", "--local", "cache.type", "reflink,symlink,copy")
        if name == "first":
            dvc(project, "pull")
            before = objects(shared)
        else:
            dvc(project, "checkout")
        assert smoke.repro(project).stages == {}
        assert not (project / ".dvc" / "cache" / "files").exists()
        assert (project / "models" / "encoder").is_dir()
    assert objects(shared) == before
    assert (shared / "files").stat().st_mode & 0o2070 == 0o2070, "a group can write"


def test_a_queued_grid_runs_the_code_it_was_queued_with(team):
    project = clone(team / "hub.git", team / "queue")
    dvc(project, "cache", "dir", "--local", str(team / "mine" / ".dvc" / "cache"))
    dvc(project, "pull")
    dvc(project, "exp", "run", "--queue", *SIZE, "-S", "score.resamples=120,130")
    script = project / "stages" / "score.py"
    later = script.read_text().replace('model="tagger"', 'model="changed later"')
    assert later != script.read_text()
    script.write_text(later)
    dvc(project, "exp", "run", "--run-all")
    dvc(project, "queue", "stop")  # a worker ends by itself, but for a race in DVC's queue
    shown = json.loads(dvc(project, "exp", "show", "--json"))
    experiments = [e for row in shown for e in row["experiments"] or []]
    found = {}
    for experiment in experiments:
        (revision,) = experiment["revs"]
        metrics = json.loads(git(project, "show", f"{revision['rev']}:metrics/retrieval.json"))
        resamples = revision["data"]["params"]["params.yaml"]["data"]["score"]["resamples"]
        found[resamples] = [row["model"] for row in metrics["fingerprints"]]
    assert found == {120: ["encoder", "tagger"], 130: ["encoder", "tagger"]}
    assert script.read_text() == later


def test_a_launcher_leaves_the_lock_as_it_is(team):
    mine = team / "mine"
    before = (mine / "dvc.lock").read_text()
    launcher = {"CIR_LAUNCH": "python -m accelerate.commands.launch --cpu --num_processes 1"}
    assert "up to date" in dvc(mine, "status", **launcher)
    said = dvc(mine, "repro", "--force", "--single-item", "pretrain_encoder", **launcher)
    assert "Running stage 'pretrain_encoder'" in said
    assert (mine / "dvc.lock").read_text() == before
    assert "up to date" in dvc(mine, "status")
