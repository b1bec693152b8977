"""Run the pipeline as `dvc repro` does, with independent stages side by side.

    python -m tools.repro [--jobs N] [STAGE ...]

It reads DVC's graph once. Each stage that is not up to date is then reproduced by a DVC of its own
as soon as the stages before it have ended. These DVCs share the locks of the repository: the one on
it, which DVC gives up while a stage runs, and those on the paths that stages read and write. The
results, and dvc.lock, are those of running one stage after the other on the same threads.
"""

import argparse
import multiprocessing
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        needs: the stages right before each stage, by address, in the order of `dvc repro`.
        stale: the stages that are not up to date, and all stages after them.
        commands: the command of each stage.
        locks: the names in each lock file as it is, then those of the plan.
    """

    needs: dict[str, set[str]]
    stale: list[str]
    commands: dict[str, str | None]
    locks: dict[Path, list[str]]

    def after(self, stage: str) -> set[str]:
        """Return the stages that need this one, at any depth."""
        found = {stage}
        for name, before in self.needs.items():  # a stage stands after those it needs
            if before & found:
                found.add(name)
        return found - {stage}

    def alone(self, stage: str) -> bool:
        """Return whether every other stage of the plan comes before or after this one."""
        after = self.after(stage)
        before = {name for name in self.needs if stage in self.after(name)}
        return len(before) + len(after) + 1 == len(self.needs)


def read_plan(targets: Sequence[str]) -> Plan:
    """Ask DVC for its graph, and compare every stage with its lock.

    Raises DvcException.
    """
    from dvc.dvcfile import PROJECT_FILE
    from dvc.repo import Repo, lock_repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
    from dvc.utils.serialize import load_yaml

    plan = Plan({}, [], {}, {})
    with Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        stages = collect_stages(repo, targets or [PROJECT_FILE])
        graph = get_active_graph(repo.index.graph)
        for stage in plan_repro(graph, stages):
            name = stage.addressing
            plan.commands[name] = stage.cmd
            plan.needs[name] = {before.addressing for before in graph.successors(stage)}
            if plan.needs[name].intersection(plan.stale) or stage.changed():
                plan.stale.append(name)
            lock = Path(stage.path).with_suffix(".lock")
            if lock not in plan.locks:
                plan.locks[lock] = list(load_yaml(lock)["stages"]) if lock.exists() else []
            if stage.name not in plan.locks[lock]:
                plan.locks[lock].append(stage.name)
    return plan


def sort_locks(plan: Plan) -> None:
    """Put the entries of the lock files in the order that one stage after the other leaves."""
    from dvc.repo import Repo, lock_repo
    from dvc.utils.serialize import load_yaml, modify_yaml

    with Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        for lock, names in plan.locks.items():
            there = list(load_yaml(lock).get("stages", {})) if lock.exists() else []
            wanted = [name for name in names if name in there]
            if there != wanted + [name for name in there if name not in names]:
                with modify_yaml(lock) as content:
                    for name in reversed(wanted):
                        content["stages"].move_to_end(name, last=False)


class Run:
    """Runs the stale stages of a plan, each in a process group of its own.

    Args:
        plan: what to run.
        jobs: how many stages run at a time.
        threads: with how many threads each computes; None leaves the environment as it is.
        cores: with how many a stage computes beside which no other can run.
    """

    def __init__(self, plan: Plan, jobs: int, threads: int | None, cores: int):
        self._plan, self._jobs, self._threads, self._cores = plan, jobs, threads, cores
        # The stage that most others wait for comes first.
        order = {name: number for number, name in enumerate(plan.needs)}
        self._waiting = sorted(plan.stale, key=lambda n: (-len(plan.after(n)), order[n]))
        self._processes: dict[str, Any] = {}
        self._selector = selectors.DefaultSelector()
        self._began: dict[str, float] = {}
        self._ended: set[str] = set()
        self._failed: list[str] = []
        self._signal = 0

    def __call__(self) -> int:
        """Run everything; return the exit status. Signals go to all that runs."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self._start_ready()
        while self._processes:
            for key, _ in self._selector.select():
                key.data.read()
                if key.data.closed:
                    self._end(key.data.name, key.fileobj)
            self._start_ready()
        if self._signal:
            print("interrupted; finished stages stay, the same command goes on from there")
            return 128 + self._signal
        if self._failed:
            left = f"; not run: {', '.join(self._waiting)}" if self._waiting else ""
            print(f"error: failed: {', '.join(self._failed)}{left}", file=sys.stderr)
            return 1
        return 0

    def _stop(self, number: int, frame: Any) -> None:
        self._signal = number
        for process in self._processes.values():
            os.killpg(process.pid, number)

    def _start_ready(self) -> None:
        missing = set(self._plan.stale) - self._ended
        for name in list(self._waiting):
            if self._failed or self._signal or len(self._processes) == self._jobs:
                return
            if not self._plan.needs[name] & missing:
                self._waiting.remove(name)
                self._start(name)

    def _start(self, name: str) -> None:
        reader, writer = os.pipe()
        threads = self._cores if self._threads and self._plan.alone(name) else self._threads
        arguments = (name, writer, threads)
        process = multiprocessing.get_context("fork").Process(target=_reproduce, args=arguments)
        process.start()
        with suppress(OSError):  # the new process does the same; whoever comes first
            os.setpgid(process.pid, process.pid)
        os.close(writer)
        self._processes[name], self._began[name] = process, time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, _Lines(name, reader))

    def _end(self, name: str, reader: int) -> None:
        """Note how a stage ended. Its output is closed, so nothing that it started still runs."""
        self._selector.unregister(reader)
        os.close(reader)
        process = self._processes.pop(name)
        process.join()
        if process.exitcode:
            self._failed.append(name)
            return
        self._ended.add(name)
        seconds = time.monotonic() - self._began[name]
        done = f"{len(self._ended)} of {len(self._plan.stale)} stages"
        print(f"{label(name)} | done in {seconds:.0f} s, {done}", flush=True)


class _Lines:
    """Prints the lines that come from a pipe behind the name of their stage."""

    def __init__(self, name: str, reader: int):
        self.name, self.closed = name, False
        self._reader, self._rest = reader, b""

    def read(self) -> None:
        data = os.read(self._reader, 65536)
        self.closed = not data
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if self.closed:
            lines.append(self._rest)
        for line in lines:
            if line.strip():
                text = line.decode("utf-8", "replace")
                print(f"{label(self.name)} | {text}", flush=True)


def label(address: str) -> str:
    """Return a stage's address as it stands before its lines: classes:score, or score."""
    return address.removeprefix("stages/").replace("/dvc.yaml:", ":")


def _reproduce(name: str, writer: int, threads: int | None) -> None:
    """Let DVC reproduce one stage in this process, which ends if its parent does."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    for stream in (1, 2):
        os.dup2(writer, stream)
    os.close(writer)
    sys.stdout.reconfigure(line_buffering=True)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(_wait_for_lock=True) as repo:
            repo.scm_context.quiet = True  # it would tell at every stage what to give to git
            repo.reproduce([name], single_item=True)
    except DvcException as error:
        causes = [str(error), *([str(error.__cause__)] if error.__cause__ else [])]
        sys.exit(f"ERROR: {': '.join(causes)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _free_cores() -> int:
    return len(os.sched_getaffinity(0))


def _default_jobs() -> int:
    """Return a job for each core; one where the jobs would share a GPU, or launch processes."""
    shared = any(Path("/dev").glob("nvidia[0-9]*")) or "CIR_LAUNCH" in os.environ
    return 1 if shared else _free_cores()


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the stages that the arguments name and all before them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.repro", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="STAGE")
    parser.add_argument("--jobs", type=int, help="stages at a time; a core each without it")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":  # a process with these libraries does not survive a fork there
        return subprocess.call([sys.executable, "-m", "dvc", "repro", *options.targets])
    from dvc.exceptions import DvcException

    from tools import preloaded

    try:
        plan = read_plan(options.targets)
    except DvcException as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if not plan.stale:
        print("Data and pipelines are up to date.")
        return 0
    jobs, cores = options.jobs or _default_jobs(), _free_cores()
    threads = None if "OMP_NUM_THREADS" in os.environ else max(1, cores // jobs)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before the libraries read it
    print(f"{len(plan.stale)} of {len(plan.needs)} stages, {jobs} at a time", flush=True)
    if any(preloaded.can_fork(plan.commands[name]) for name in plan.stale):
        preloaded.preload()
    status = Run(plan, jobs, threads, cores)()
    sort_locks(plan)
    return status


if __name__ == "__main__":
    sys.exit(main())
