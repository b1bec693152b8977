"""The smoke pipeline, run once for all tests that look at it: from conftest, a session fixture."""

import os
import pickle
import shutil
import subprocess
import sys
from tempfile import TemporaryFile

import pytest
from filelock import FileLock

from tools import smoke


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
    """(The project with everything made and committed, what `dvc repro` did there.)

    Where several processes run tests, one of them makes it, and each changes a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    first = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"
    done = first.with_suffix(".pickle")
    with FileLock(first.with_suffix(".lock")):
        if not done.exists():
            made = smoke.clone(first, uncommitted=True)
            smoke.choose(made)
            reproduction = smoke.repro(made)
            smoke.commit(made, "made")
            done.write_bytes(pickle.dumps(reproduction))
    project = tmp_path_factory.mktemp("smoke") / "project"
    shutil.copytree(first, project, symlinks=True)
    return project, pickle.loads(done.read_bytes())


def dvc(project, *arguments, status=0, **variables):
    """Run a DVC command in the project, with environment variables; return what it printed."""
    # To a file: a worker of DVC's queue may outlive the command, and would keep a pipe open.
    with TemporaryFile("w+", encoding="utf-8") as output:
        ran = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=project,
            env={**smoke.environment(), **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=900,
        )
        output.seek(0)
        said = output.read()
    assert ran.returncode == status, said[-3000:]
    return said


def git(project, *arguments):
    """Run a git command in the project; return what it printed."""
    ran = subprocess.run(
        ["git", *arguments], cwd=project, env=smoke.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
