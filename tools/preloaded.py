"""Run the commands of stages as forks of a process that has imported the large libraries once.

torch, transformers and open_clip take a stage about five seconds of processor time to import. Only
libraries are shared: a stage imports this project's modules itself, as the files are when it runs.
"""

import importlib
import multiprocessing
import os
import re
import runpy
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from dvc.stage import run as dvc_run
from dvc.stage.exceptions import StageCmdFailedError

_COMMAND = re.compile(r"(?:python|\$\{CIR_LAUNCH:-python\}) -m (stages\.[\w.]+)((?: [\w.-]+)*)")
_OWN = ("cir", "stages")
# What most stages import, by the modules that bring the rest along.
_LIBRARIES = (
    "torch",
    "torchvision",
    "transformers.models.auto.modeling_auto",
    "transformers.trainer",
    "open_clip",
    "accelerate",
    "datasets",
    "pyarrow.parquet",
    "matplotlib.pyplot",
    "scipy.stats",
)
_kept: list[Any] = []  # modules of ours that repaired a library, which their end would undo


def can_fork(command: str | None) -> bool:
    """Return whether the command of a stage runs a module of `stages` with plain words."""
    return "CIR_LAUNCH" not in os.environ and _COMMAND.fullmatch(command or "") is not None


def preload() -> None:
    """Import the libraries, and let DVC fork for the commands that `can_fork` accepts."""
    importlib.import_module("cir")  # it repairs torchvision, and says how threads wait
    for name in _LIBRARIES:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in _OWN]:
        _kept.append(sys.modules.pop(name))
    started = dvc_run._run

    def run(executable: str, command: str, **options: Any) -> None:
        if can_fork(command) and Path(options["cwd"]).samefile(Path.cwd()):
            _fork(command, options["env"])
        else:
            started(executable, command, **options)

    dvc_run._run = run


def _fork(command: str, environment: dict[str, str]) -> None:
    """Run the command in a fork; raises StageCmdFailedError as DVC does."""
    module, words = _COMMAND.fullmatch(command).groups()
    arguments = [module, *shlex.split(words)]
    stage = multiprocessing.get_context("fork").Process(target=_run, args=(arguments, environment))
    stage.start()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage decides when to stop
    stage.join()
    signal.signal(signal.SIGINT, heard)
    if stage.exitcode:
        raise StageCmdFailedError(command, stage.exitcode)


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    """Become the stage: its environment, its arguments, and its module as the main one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
