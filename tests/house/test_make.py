"""What `make` says on a machine or a copy where it cannot work."""

import os
import shutil
import subprocess
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import ROOT

SCRIPTS = ("tools/make_venv.sh", "tools/check_clone.sh", "tools/photos.sh")
# Stands for every python: notes its arguments, makes .venv and the folder of the model.
PYTHON = """\
echo "$*" >>log
if [ "$2" = venv ]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi
if [ "$3 $4" = "models get" ]; then mkdir -p "models/$5"; fi
"""


@pytest.fixture
def copy(tmp_path):
    """A folder with the Makefile, its scripts, and a bin/ that is the whole PATH."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    requirements = "requirements.txt", "requirements-photos.txt"
    for name in ("Makefile", "pyproject.toml", *requirements, *SCRIPTS):
        shutil.copy(ROOT / name, tmp_path / name)
    for tool in ("sh", "make", "git", "rm", "touch", "mkdir", "cp"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def make(copy, goal="test", *variables, **environment):
    environment |= {"PATH": str(copy / "bin"), "HOME": str(copy)}
    finished = subprocess.run(
        ["make", goal, *variables], cwd=copy, env=environment, capture_output=True, text=True
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
    fake_python(copy, "python3", PYTHON)
    log = copy / "log"

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


@pytest.mark.parametrize(
    ("environment", "option"),
    [({}, "--no-compile"), ({"PYTHONDONTWRITEBYTECODE": "1"}, "--compile")],
)
def test_modules_are_compiled_at_once_only_where_they_could_not_be_later(copy, environment, option):
    commit(copy)
    fake_python(copy, "python3", PYTHON)
    assert make(copy, **environment)[0] == 0
    (line,) = [line for line in (copy / "log").read_text().splitlines() if "-r req" in line]
    assert option in line.split()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "FOLDER names no folder: run make photos FOLDER=~/Pictures, with your own folder"),
        (["FOLDER=nowhere"], "FOLDER=nowhere is not a folder: give one that holds photos"),
        (["FOLDER=Makefile"], "FOLDER=Makefile is not a folder: give one that holds photos"),
    ],
)
def test_a_folder_of_photos_that_is_missing_is_told_before_anything_is_made(copy, given, sentence):
    status, said = make(copy, "photos", *given)
    assert status != 0
    assert len(said) == 1
    assert said[0].startswith(f"error: {sentence}")
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("given", ["~/my photos", "my photos", "$(rm Makefile)"])
def test_photos_are_indexed_and_served_and_a_second_run_does_what_is_new(copy, given):
    commit(copy)
    fake_python(copy, "python3", PYTHON)
    folder = given.replace("~", str(copy))
    (copy / folder).mkdir(parents=True)
    variables = "FOLDER=" + given.replace("$", "$$"), "SERVE=--port 9000"
    log = copy / "log"

    def called():
        lines = log.read_text().splitlines()
        log.unlink()
        return [line.removeprefix("-m ") for line in lines if line.startswith("-m ")]

    photos = [
        f"cir index {folder} --store .photos --model photos",
        "cir serve --store .photos --port 9000",
    ]
    assert make(copy, "photos", *variables)[0] == 0
    first = called()
    *_, packages, get, index, serve = first
    assert packages.startswith("pip install ")
    assert packages.endswith(" --no-deps -r requirements-photos.txt")
    assert [get, index, serve] == ["cir models get photos", *photos]
    assert make(copy, "photos", *variables)[0] == 0
    assert called() == photos
    assert make(copy, "photos", *variables, "STORE=.other")[0] == 0
    assert called() == [line.replace(".photos", ".other") for line in photos]
    assert make(copy, "photo-packages")[0] == 0
    later = (copy / ".venv" / "photos-ready").stat().st_mtime + 10
    os.utime(copy / "requirements-photos.txt", (later, later))
    assert make(copy, "photo-packages")[0] == 0
    assert called() == [packages]


def test_a_clone_that_turns_line_ends_leaves_the_files_as_they_are(tmp_path):
    """Git on Windows writes CRLF, with which no shell script runs and no digest of DVC fits."""
    names = (".gitattributes", "Makefile", *SCRIPTS)
    for name in names:
        (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "origin" / name)

    def git(place, *arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *author, *arguments], cwd=place, check=True, capture_output=True)

    git(tmp_path / "origin", "init")
    git(tmp_path / "origin", "add", ".")
    git(tmp_path / "origin", "commit", "-m", "all")
    git(tmp_path, "-c", "core.autocrlf=true", "clone", "origin", "clone")
    for name in names:
        assert (tmp_path / "clone" / name).read_bytes() == (ROOT / name).read_bytes()


def test_whatever_the_packages_bring_along_is_pinned_too():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if line[:1].isalnum()}
    missing = set()
    for name in pinned - {"torch"}:  # torch names its CUDA libraries, with their versions, itself
        try:
            needed = map(Requirement, metadata.requires(name) or ())
        except metadata.PackageNotFoundError:  # pinned for another Python or system
            continue
        missing |= {
            canonicalize_name(one.name)
            for one in needed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        }
    assert not missing - pinned
