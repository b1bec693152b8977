"""What `make` says on a machine or a copy where it cannot work."""

import os
import shutil
import subprocess

import pytest

from tests.helpers import ROOT

SCRIPTS = ("tools/make_venv.sh", "tools/check_clone.sh")


@pytest.fixture
def copy(tmp_path):
    """A folder with the Makefile, its scripts, and a bin/ that is the whole PATH."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml", *SCRIPTS):
        shutil.copy(ROOT / name, tmp_path / name)
    for tool in ("sh", "make", "git", "rm", "touch"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def make(copy, goal="test"):
    environment = {"PATH": str(copy / "bin"), "HOME": str(copy)}
    finished = subprocess.run(
        ["make", goal], cwd=copy, env=environment, capture_output=True, text=True
    )
    said = [line for line in finished.stderr.splitlines() if not line.startswith("make: ")]
    return finished.returncode, said


def commit(copy):
    name = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "Makefile"], [*name, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=copy, check=True)


def fake_python(copy, name, body):
    script = copy / "bin" / name
    script.write_text(f"#!{shutil.which('sh')}\n{body}\n")
    script.chmod(0o755)


@pytest.mark.parametrize("goal", ["repro", "test", "bench", "lint"])
def test_a_download_without_history(copy, goal):
    status, said = make(copy, goal)
    assert status != 0
    assert said == [
        "error: this folder is not a git clone (DVC needs one): "
        "get the project with 'git clone' instead of downloading its files"
    ]


def test_no_git(copy):
    commit(copy)
    (copy / "bin" / "git").unlink()
    status, said = make(copy)
    assert status != 0
    assert said == ["error: git was not found; install it, then run make again"]


def test_a_repository_without_a_commit(copy):
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    status, (sentence,) = make(copy)
    assert status != 0
    assert "git cannot read the history of this clone" in sentence


def test_no_python_that_fits(copy):
    commit(copy)
    fake_python(copy, "python3", '[ "$1" = --version ] && echo "Python 3.9.2"; exit 1')
    status, said = make(copy)
    assert status != 0
    assert said[0].startswith("error: Python 3.10, 3.11 or 3.12 is needed and none was found")
    assert len(said) == 1


def test_python_without_venv(copy):
    commit(copy)
    fake_python(copy, "python3.11", 'case "$2" in *ensurepip*) exit 1;; esac')
    status, said = make(copy)
    assert status != 0
    assert said[0].startswith("error: python3.11 lacks the module venv or ensurepip")
    assert len(said) == 1


def test_the_environment_is_made_once_and_again_for_new_requirements(copy):
    commit(copy)
    log = copy / "log"
    fake_python(
        copy,
        "python3",
        f'echo "$*" >>{log}\n'
        'if [ "$2" = venv ]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi',
    )
    for tool in ("mkdir", "cp"):
        (copy / "bin" / tool).symlink_to(shutil.which(tool))

    def installs():
        lines = log.read_text().splitlines()
        log.unlink()
        return [("venv" if " venv " in line else "pip") for line in lines if line[:2] == "-m" and "pytest" not in line]  # noqa: E501  # fmt: skip

    assert make(copy)[0] == 0
    assert installs() == ["venv", "pip", "pip"]
    assert make(copy)[0] == 0
    assert installs() == []
    later = (copy / ".venv" / "ready").stat().st_mtime + 10
    os.utime(copy / "requirements.txt", (later, later))
    assert make(copy)[0] == 0
    assert installs() == ["pip", "pip"]
