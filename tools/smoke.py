"""Run the pipeline in a new clone, smaller than it is.

python -m tools.smoke            everything, at its smallest size
python -m tools.smoke --short    the main job, trained for a few minutes

Both run the committed code. The first runs it again to see that nothing is left to do, and checks
the metrics files. The second sees that the models learn: it holds their metrics against the floors
of tools/short_run.yaml.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cir.core.errors import UserError
from tools.compose_params import compose
from tools.pipeline import ROOT, dvc_files

CHOICES = (
    "data=smoke",
    "tagger=smoke",
    "encoder=smoke",
    "composers=smoke",
    "benchmark=smoke",
    "class_data=smoke",
    "class_embedder=smoke",
    "text_data=smoke",
    "text_search=smoke",
)  # the smallest file of each group
# A fifth to a half of the steps, a third of the training data, three of the tagger's layers.
SHORT = (
    "data.train_queries=4000",
    "data.test_queries=280",
    "data.novel_queries=56",
    "tagger.layers=3",
    "train_tagger.steps=200",
    "train_tagger.evaluations=2",
    "pretrain_encoder.steps=300",
    "pretrain_encoder.evaluate_every=150",
    "finetune_encoder.steps=120",
    "finetune_encoder.evaluate_every=60",
)
SHORT_LIMITS = ROOT / "tools/short_run.yaml"
_RUNNING = re.compile(r"(?:(\S+) \| )?Running stage '(.+)':")
_DONE = re.compile(r"(\S+) \| done in ")


@dataclass(frozen=True)
class Reproduction:
    """The times and the output of a run.

    Attributes:
        stages: the seconds of each stage that ran, in order.
        seconds: the seconds of the whole run.
        busy: its processor time in seconds, which other work on the machine does not change.
        output: all that it printed.
    """

    stages: dict[str, float]
    seconds: float
    busy: float
    output: str


def clone(folder: Path, root: Path = ROOT, uncommitted: bool = False) -> Path:
    """Clone the project into `folder` and return the folder.

    `uncommitted` adds the changes of the working tree. The author of new commits is "smoke". The
    clone's lock files are removed: no entry fits the smallest size, and DVC would write all of them
    again after every stage.
    """
    _git(root, "clone", "--quiet", str(root), str(folder))
    _git(folder, "config", "user.name", "smoke")
    _git(folder, "config", "user.email", "smoke@example.org")
    if uncommitted:
        tracked, there = _files(folder), _files(root, "--others")
        for name in tracked - there:
            (folder / name).unlink()
        for name in there:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
        commit(folder, "the working tree")
    for path in dvc_files(folder):
        path.with_suffix(".lock").unlink(missing_ok=True)
    return folder


def commit(project: Path, message: str) -> None:
    """Commit every file that git does not ignore."""
    _git(project, "add", "--all")
    _git(project, "commit", "--quiet", "--allow-empty", "--message", message)


def choose(project: Path, overrides: Sequence[str] = ()) -> None:
    """Write the project's params.yaml: the smallest size, changed by `overrides`."""
    compose(project / "params.yaml", [*CHOICES, *overrides], project)


def environment() -> dict[str, str]:
    """Return this process's environment, with our Python first on PATH.

    Variables that point to other code or to another repository are left out.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("GIT_")
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**variables, "PATH": path}


def repro(project: Path, *arguments: str) -> Reproduction:
    """Run `python -m tools.repro` in the project, or `dvc repro` if there are options for it.

    Raises UserError with the last lines of its output if it fails.
    """
    options = any(argument.startswith("-") for argument in arguments)
    command = [sys.executable, "-m", *(["dvc", "repro"] if options else ["tools.repro"])]
    began, busy = time.monotonic(), _busy()
    lines = []
    running: dict[str | None, str] = {}  # the stage that runs, by what stands before its lines
    starts, ends = {}, {}
    with subprocess.Popen(
        [*command, *arguments],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            lines.append(line)
            started, done = _RUNNING.match(line), _DONE.match(line)
            ending = running.pop((started or done).group(1), None) if started or done else None
            if ending is not None:
                ends[ending] = time.monotonic()
            if started:
                running[started.group(1)] = started.group(2)
                starts[started.group(2)] = time.monotonic()
    ended = time.monotonic()
    output = "".join(lines)
    if process.returncode != 0:
        tail = "".join(lines[-15:])
        raise UserError(f"reproducing ended with status {process.returncode}:\n{tail}")
    stages = {name: ends.get(name, ended) - start for name, start in starts.items()}
    return Reproduction(stages, ended - began, _busy() - busy, output)


def check_metrics(project: Path) -> str:
    """Check the project's metrics files with its own code, and return the sentence it prints.

    Raises UserError with the problems.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tools.check_metrics"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if ran.returncode != 0:
        raise UserError(ran.stderr.strip().removeprefix("error: "))
    return ran.stdout.strip()


def smoke(folder: Path) -> None:
    """Clone, run and check the pipeline in `folder`, and print the times.

    Raises UserError if a run fails, a second run is not idle, or a metrics file is wrong.
    """
    project = clone(folder)
    choose(project)
    tell(repro(project))
    again = repro(project)
    if again.stages:
        raise UserError(f"a second run ran {', '.join(again.stages)}; nothing had changed")
    print(f"{'everything again':40} {again.seconds:5.1f} s, nothing to do")
    print(check_metrics(project))


def short(folder: Path) -> None:
    """Clone the project into `folder`, train its main job for a while, and print its metrics.

    Raises UserError if a run fails or a metric is below its floor.
    """
    project = clone(folder)
    compose(project / "params.yaml", SHORT, project)
    tell(repro(project, "score", "export_submission"))
    command = [sys.executable, "-m", "cir", "gate", "--limits", str(SHORT_LIMITS)]
    if subprocess.run(command, cwd=project, env=environment()).returncode != 0:
        raise UserError("the models have learned too little; see the table of metrics")


def tell(reproduction: Reproduction) -> None:
    """Print the times of a run."""
    for name, seconds in reproduction.stages.items():
        print(f"{name:40} {seconds:5.1f} s")
    seconds, busy = reproduction.seconds, reproduction.busy
    print(f"{'everything':40} {seconds:5.1f} s, {busy:.1f} s of one processor")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.smoke")
    parser.add_argument("--short", action="store_true", help="the main job, trained for a while")
    run = short if parser.parse_args().short else smoke
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(Path(folder) / "project")
        except UserError as error:
            sys.exit(f"error: {error}")


def _busy() -> float:
    """Return the processor seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _files(root: Path, *arguments: str) -> set[str]:
    listed = _git(root, "ls-files", "-z", "--cached", *arguments, "--exclude-standard")
    return {name for name in listed.split("\0") if name and (root / name).is_file()}


def _git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment(), capture_output=True, text=True
    )
    if ran.returncode != 0:
        raise UserError(f"git {arguments[0]} failed in {folder}: {ran.stderr.strip()}")
    return ran.stdout


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main()
