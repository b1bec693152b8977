"""The smoke pipeline, run once for all tests that look at it: from conftest, a session fixture."""

import subprocess
import sys

import pytest

from tools import smoke

GROUP = pytest.mark.xdist_group("smoke")  # tests that share the project share a process


@pytest.fixture(scope="session")
def one_thread():
    """Stages on one thread: their results are the same bits each time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        for name in ("CIR_CHECKPOINTS", "CIR_LAUNCH", "DVC_STAGE", "DVC_ROOT"):
            patched.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory, one_thread):
    """(The project with everything made and committed, what `dvc repro` did there.)"""
    project = smoke.clone(tmp_path_factory.mktemp("smoke") / "project", uncommitted=True)
    smoke.choose(project)
    reproduction = smoke.repro(project)
    smoke.commit(project, "made")
    return project, reproduction


def dvc(project, *arguments, status=0, **variables):
    """Run a DVC command in the project, with environment variables; return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env={**smoke.environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode == status, ran.stdout[-3000:]
    return ran.stdout


def git(project, *arguments):
    """Run a git command in the project; return what it printed."""
    ran = subprocess.run(
        ["git", *arguments], cwd=project, env=smoke.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
