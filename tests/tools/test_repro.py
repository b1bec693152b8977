"""Stages side by side: the same lock file, failures, Ctrl-C, threads, forks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tools.repro import Plan, label

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it calls dvc repro")

DIAMOND = """\
stages:
  top:
    cmd: cat source.txt >top.txt; echo $OMP_NUM_THREADS >threads_top.txt
    deps: [source.txt]
    outs: [top.txt, threads_top.txt]
  left:
    cmd: sh left.sh
    deps: [top.txt, left.sh]
    outs: [left.txt]
  right:
    cmd: cat top.txt >right.txt; echo $OMP_NUM_THREADS >threads_right.txt
    deps: [top.txt]
    outs: [right.txt, threads_right.txt]
  bottom:
    cmd: cat left.txt right.txt >bottom.txt
    deps: [left.txt, right.txt]
    outs: [bottom.txt]
"""
LEFT = "cat top.txt >left.txt; echo left >>left.txt\n"
# One after the other, the left branch comes first; side by side, it can wait for the right one.
WAITING = """\
for i in $(seq 30); do grep -q right: dvc.lock && break; sleep 0.1; done
cat top.txt >left.txt
"""


@pytest.fixture(scope="module")
def diamond(tmp_path_factory):
    """A project of four stages, none of which has run."""
    folder = tmp_path_factory.mktemp("repro") / "diamond"
    folder.mkdir()
    write(folder, {"dvc.yaml": DIAMOND, "left.sh": LEFT, "source.txt": "source\n"})
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(diamond, tmp_path):
    return Path(shutil.copytree(diamond, tmp_path / "project"))


def write(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text)


def start(project, *arguments, module="tools.repro", threads="1"):
    variables = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "CIR_LAUNCH")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables |= {"PYTHONPATH": str(ROOT), "PATH": path}
    return subprocess.Popen(
        [sys.executable, "-m", *module.split(), *arguments],
        cwd=project,
        env=variables | ({"OMP_NUM_THREADS": threads} if threads else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project, *arguments, status=0, **options):
    """What the command prints; it has to end with the status."""
    process = start(project, *arguments, **options)
    output, _ = process.communicate()
    assert process.returncode == status, output
    return output


def ran(output):
    return [line.split("'")[1] for line in output.splitlines() if "Running stage" in line]


def test_the_lock_file_is_that_of_one_after_the_other(project, tmp_path):
    write(project, {"left.sh": WAITING})
    serial = Path(shutil.copytree(project, tmp_path / "serial"))
    output = run(project, "--jobs", "2", threads="3")
    ended = [line.split()[0] for line in output.splitlines() if " | done in" in line]
    assert ended == ["top", "right", "left", "bottom"]
    run(serial, module="dvc repro", threads="3")
    for name in ("dvc.lock", "bottom.txt"):
        assert (project / name).read_bytes() == (serial / name).read_bytes()
    for stage in ("top", "right"):  # the user's number of threads stays
        assert (project / f"threads_{stage}.txt").read_text() == "3\n"
    assert run(project) == "Data and pipelines are up to date.\n"


def test_branches_run_at_the_same_time(project):
    """Each of the two waits until the other has begun."""
    wait = "touch {0}.began; for i in $(seq 300); do test -e {1}.began && break; sleep 0.1; done; "
    wait += "test -e {1}.began && cat top.txt >{0}.txt\n"
    right = "cat top.txt >right.txt; echo $OMP_NUM_THREADS >threads_right.txt"
    text = DIAMOND.replace(right, "sh right.sh; echo 1 >threads_right.txt")
    write(project, {"left.sh": wait.format("left", "right")})
    write(project, {"right.sh": wait.format("right", "left"), "dvc.yaml": text})
    run(project, "--jobs", "2")
    assert (project / "bottom.txt").read_text() == "source\nsource\n"


def test_a_branch_shares_the_cores_and_a_lone_stage_has_all(project):
    run(project, "--jobs", str(CORES), threads=None)
    assert (project / "threads_right.txt").read_text() == "1\n"
    assert (project / "threads_top.txt").read_text() == f"{CORES}\n"


def test_a_failure_lets_the_other_branch_end_and_starts_nothing_new(project):
    write(project, {"left.sh": "echo something is missing >&2; exit 4\n"})
    output = run(project, "--jobs", "2", status=1)
    assert "left | something is missing" in output
    assert (
        "left | ERROR: failed to reproduce 'left': failed to run: sh left.sh, exited with 4"
        in output
    )
    assert output.endswith("error: failed: left; not run: bottom\n")
    assert (project / "right.txt").is_file()
    write(project, {"left.sh": LEFT})
    assert ran(run(project)) == ["left", "bottom"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(project, number):
    write(project, {"left.sh": "echo $$; exec sleep 600\n"})
    process = start(project, "--jobs", "1", "left")
    lines = iter(process.stdout.readline, "")
    sleeper = next(int(line.split()[-1]) for line in lines if line.split()[-1].isdigit())
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number
    assert "interrupted; finished stages stay" in output
    assert not runs(sleeper)
    write(project, {"left.sh": LEFT})
    assert ran(run(project, "left")) == ["left"]  # no lock is left
    assert not (project / "right.txt").exists()  # a target takes what it needs alone


def runs(process):
    """Return whether a process runs; one that has ended may wait for its parent to notice."""
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(process):
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def test_its_dvcs_end_with_a_killed_run(project):
    """A stage of this project then ends with its DVC: see stages/run.py."""
    write(project, {"left.sh": "echo $$; exec sleep 600\n"})
    process = start(project, "left")
    lines = iter(process.stdout.readline, "")
    sleeper = ancestor = next(int(li.split()[-1]) for li in lines if li.split()[-1].isdigit())
    while parent_of(ancestor) != process.pid:
        ancestor = parent_of(ancestor)
    process.kill()
    process.wait()
    for _ in range(200):
        if not runs(ancestor):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the DVC still runs")
    with suppress(ProcessLookupError):
        os.kill(sleeper, signal.SIGKILL)


def test_a_wrong_target_is_one_sentence(project):
    output = run(project, "middle", status=1)
    assert output.startswith("ERROR: ")
    assert "middle" in output
    assert "Traceback" not in output


SHOW = """\
import json, os, sys
from pathlib import Path

found = {
    "arguments": sys.argv[1:],
    "main": __name__,
    "file": str(Path(__file__).relative_to(Path.cwd())),
    "stage": os.environ["DVC_STAGE"],
    "libraries": "torch" in sys.modules,
    "ours": "cir" in sys.modules,
}
Path(f"{sys.argv[1]}.json").write_text(json.dumps(found))
if sys.argv[1] == "bad":
    sys.exit("error: one sentence")
"""
FORKED = """\
stages:
  good:
    cmd: python -m stages.show good 2
    outs: [good.json]
  bad:
    cmd: python -m stages.show bad
    deps: [good.json]
    outs: [bad.json]
"""


def test_stages_in_python_are_forks_that_have_the_libraries(project):
    (project / "stages").mkdir()
    write(project, {"stages/__init__.py": "", "stages/show.py": SHOW, "dvc.yaml": FORKED})
    output = run(project, status=1)
    assert "bad | error: one sentence\n" in output
    assert "failed to run: python -m stages.show bad, exited with 1" in output
    assert json.loads((project / "good.json").read_text()) == {
        "arguments": ["good", "2"],
        "main": "__main__",
        "file": "stages/show.py",
        "stage": "good",
        "libraries": True,
        "ours": False,
    }


def test_a_plan_knows_what_comes_after_and_what_is_alone():
    needs = {"top": set(), "left": {"top"}, "right": {"top"}, "bottom": {"left", "right"}}
    plan = Plan(needs, [], {}, {})
    assert plan.after("top") == {"left", "right", "bottom"}
    assert plan.after("left") == {"bottom"}
    assert [name for name in needs if plan.alone(name)] == ["top", "bottom"]


def test_labels_are_short():
    assert label("stages/classes/dvc.yaml:score") == "classes:score"
    assert label("stages/composers/dvc.yaml:train@tirg") == "composers:train@tirg"
    assert label("score") == "score"
