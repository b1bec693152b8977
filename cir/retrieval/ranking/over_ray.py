"""Run a function over many items on the nodes of a Ray cluster, with one model held everywhere.

`CIR_EMBED=ray` asks for it. The cluster is that of RAY_ADDRESS, or a local one that ends with this
process. Actors hold the model; each works on one item at a time. An actor that ends, or whose node
does, is replaced, and its item is done again. Ray is imported only when it is asked for.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from cir.core import files
from cir.core.errors import UserError, reason_of

Item = TypeVar("Item")
Result = TypeVar("Result")
VARIABLE = "CIR_EMBED"
_INSTALL = "pip install --no-deps -r requirements-scale.txt"
# Two versions of these may give vectors that differ.
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pyarrow", "timm", "open_clip_torch")
_NO_PROCESSOR = 50.0  # seconds that a full cluster has to free a processor
_NO_START = 600.0  # seconds that an actor has to import torch and take the model
_LOOK = 1.0  # seconds between two looks at what the cluster has free
_TRIES = 3


def asked() -> bool:
    """Tell whether the environment asks for Ray; raises UserError for another value."""
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "ray"):
        raise UserError(f'{VARIABLE} takes "ray" or nothing, got "{value}"')
    return value == "ray"


@dataclass(frozen=True)
class Work(Generic[Item, Result]):
    """What the actors do.

    Attributes:
        function: takes the model and an item; both, and the result, are pickled.
        named: names an item in a sentence.
        model: the model that every actor holds. It has a method `fingerprint`.
        on_gpu: an actor takes a GPU, and its share of the node's processors.
        threads: otherwise it takes so many processors, and torch computes with as many threads.
        shared: a folder that all nodes must see, or None if the function writes nothing.
    """

    function: Callable[[Any, Item], Result]
    named: Callable[[Item], str]
    model: Any
    on_gpu: bool = False
    threads: int = 1
    shared: Path | None = None


def results(
    work: Work[Item, Result], items: Iterable[Item], note: Callable[[str], None]
) -> Iterator[tuple[int, Result | UserError]]:
    """Yield the number and the result of every item, in the order in which they are finished.

    A UserError that the function raises is a result. `note` is told how many actors on how many
    nodes are at work. Items are read when there is room for them.

    Raises:
        UserError: Ray is not installed; the cluster cannot be reached, has no processor free, or
            has a node with other code, another model or without the shared folder; or an item has
            ended its process three times.
    """
    with ExitStack() as stack:
        ray = stack.enter_context(_cluster())
        marker = stack.enter_context(_marker(work.shared))
        crew = _Crew(ray, work, marker, note)
        stack.callback(crew.dismiss)
        yield from crew.results(enumerate(items))


class _Actor:
    """Holds the model on a node; Ray makes it there."""

    def __init__(self, model: Any, threads: int):
        torch.set_num_threads(threads)
        self._model = model

    def refusal(
        self, code: dict[str, str], fingerprint: str, marker: Path | None
    ) -> tuple[str, str]:
        """Return the node's address, and why it cannot take part, or nothing."""
        address = _address()
        here = _code()
        other = next((name for name in code if here[name] != code[name]), None)
        if other is not None:
            return address, (
                f"the node {address} has other code than the machine that started the run: {other} "
                f"is {here[other]} there and {code[other]} here; install the same on both"
            )
        own = self._model.fingerprint()
        if own != fingerprint:
            return address, (
                f"the node {address} has another model: its fingerprint is {own} there and "
                f"{fingerprint} here"
            )
        if marker is not None and not marker.is_file():
            return address, (
                f"the node {address} does not see the folder {marker.parent}: the images and "
                "$CIR_CHECKPOINTS have to lie on storage that all nodes share, at the same path"
            )
        return address, ""

    def run(self, function: Callable, item: Any) -> Any:
        """Return the function's result, or the UserError that it raised."""
        try:
            return function(self._model, item)
        except UserError as error:
            return error


@dataclass
class _Job:
    number: int
    item: Any
    tries: int = 0


class _Crew:
    """The actors of one run, and what each is doing."""

    def __init__(self, ray: Any, work: Work, marker: Path | None, note: Callable[[str], None]):
        self._ray, self._work, self._note = ray, work, note
        processors = _processors_of_a_gpu(ray.nodes()) if work.on_gpu else work.threads
        self._need = {"CPU": processors, "GPU": int(work.on_gpu)}
        self._kind = ray.remote(_Actor).options(
            num_cpus=processors, num_gpus=self._need["GPU"], max_restarts=0
        )
        self._model = ray.put(work.model)
        self._same = _code(), work.model.fingerprint(), marker
        self._starting: dict = {}  # the answer that is awaited -> actor
        self._working: dict = {}  # the answer that is awaited -> (actor, job)
        self._idle: list = []
        self._places: dict = {}  # actor -> the address of its node
        self._room, self._failed_starts, self._since = 0, 0, time.monotonic()

    def results(self, jobs: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result of every job."""
        waiting: deque[_Job] = deque()
        while True:
            self._look_for_room()
            while len(waiting) < len(self._idle) + max(1, self._room):
                job = next(jobs, None)
                if job is None:
                    break
                waiting.append(_Job(*job))
            while waiting and self._idle:
                self._give(self._idle.pop(), waiting.popleft())
            if not waiting and not self._working:
                return
            self._start_actors(len(waiting))
            awaited = [*self._working, *self._starting]
            done, _ = self._ray.wait(awaited, num_returns=1, timeout=_LOOK)
            for answer in done:
                if answer in self._starting:
                    self._started(answer)
                else:
                    yield from self._finished(answer, waiting)
            self._require_a_start()

    def _give(self, actor: Any, job: _Job) -> None:
        job.tries += 1
        self._working[actor.run.remote(self._work.function, job.item)] = actor, job

    def _look_for_room(self) -> None:
        if not self._starting:
            free = self._ray.available_resources()
            self._room = int(min(free.get(name, 0) // n for name, n in self._need.items() if n))

    def _start_actors(self, waiting: int) -> None:
        """Start as many actors as there is room for, or one that waits for room.

        The one that waits starts on a node that joins late, and a cluster that grows by itself
        grows for it.
        """
        if self._starting:
            return
        for _ in range(min(waiting, max(1, self._room))):
            actor = self._kind.remote(self._model, self._need["CPU"])
            self._starting[actor.refusal.remote(*self._same)] = actor

    def _started(self, answer: Any) -> None:
        actor = self._starting.pop(answer)
        try:
            address, refusal = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts == _TRIES:
                raise UserError(f"no process can start on a node: {_ends_of(error)}") from error
            return
        if refusal:
            raise UserError(refusal)
        self._failed_starts = 0
        self._idle.append(actor)
        self._places[actor] = address
        self._tell()

    def _finished(self, answer: Any, waiting: deque[_Job]) -> Iterator[tuple[int, Any]]:
        actor, job = self._working.pop(answer)
        try:
            result = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:  # a fault of the code
            raise error.as_instanceof_cause() from None
        except self._ray.exceptions.RayError as error:
            del self._places[actor]
            self._ray.kill(actor)
            if job.tries == _TRIES:
                raise UserError(
                    f"the process that worked on {self._work.named(job.item)} has ended {_TRIES} "
                    f"times, as one does that runs out of memory: {_ends_of(error)}"
                ) from error
            waiting.appendleft(job)
            self._tell()
        else:
            self._idle.append(actor)
            yield job.number, result

    def _tell(self) -> None:
        actors, nodes = len(self._places), len({*self._places.values()})
        self._note(f"{actors} actor{_s(actors)} on {nodes} node{_s(nodes)}")

    def _require_a_start(self) -> None:
        """Raise UserError if nothing works, and nothing has started for too long."""
        now = time.monotonic()
        if self._places or not self._starting:
            self._since = now
        elif now - self._since > (_NO_START if self._room else _NO_PROCESSOR):
            whole, free = self._ray.cluster_resources(), self._ray.available_resources()
            needs = " and ".join(
                f"{need} {name}{_s(need)} ({whole.get(name, 0):.0f} there, "
                f"{free.get(name, 0):.0f} free)"
                for name, need in self._need.items()
                if need
            )
            raise UserError(
                f"the cluster has started nothing in {now - self._since:.0f} seconds: an actor "
                f"needs {needs}; end other work there or add a node, and run again"
            )

    def dismiss(self) -> None:
        """End all actors."""
        for actor in [*self._starting.values(), *self._places]:
            self._ray.kill(actor)


def _processors_of_a_gpu(nodes: Iterable[dict]) -> int:
    """Divide the processors of each node by its GPUs, and return the least."""
    found = [node["Resources"] for node in nodes if node["Alive"]]
    shares = [int(own.get("CPU", 0) // own["GPU"]) for own in found if own.get("GPU")]
    return max(1, min(shares, default=1))


@contextmanager
def _cluster() -> Iterator[Any]:
    """Connect to the cluster of RAY_ADDRESS, or start a local one; disconnect at the end.

    Without a token nobody gets in: $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token has
    it. A local cluster makes its own.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            f"{VARIABLE}=ray needs the package ray, which is not installed: run {_INSTALL} in the "
            "project's folder"
        )
    address = os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    own = {"include_dashboard": False} if address == "local" else {}
    own_handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:  # of the network, of gRPC, of Ray
        where = "a local cluster" if address == "local" else f"the cluster {address}"
        raise UserError(f"{where} of Ray cannot be used: {reason_of(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, own_handler)  # Ray's would end without tidying
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _marker(folder: Path | None) -> Iterator[Path | None]:
    """Write a file by which a node shows that it sees the folder, and remove it at the end."""
    if folder is None:
        yield None
        return
    marker = folder.resolve() / f".seen-{secrets.token_hex(8)}"
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _code() -> dict[str, str]:
    """Return the fingerprint of this project's code, and the versions that vectors depend on."""
    root = Path(__file__).parents[2]
    modules = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    own = files.fingerprint(*(part for name in modules for part in (name, root / name)))
    return {"cir": own} | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _address() -> str:
    """Return the address of the node on which this process runs."""
    import ray

    return ray.util.get_node_ip_address()


def _ends_of(error: Exception) -> str:
    """Return the first and the last line of a long message: what happened, and its cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return reason_of(Exception(" ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))))


def _s(count: int) -> str:
    return "" if count == 1 else "s"
