"""Requests of several clients joined into one call of the model."""

import asyncio
import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Generic, TypeVar

from cir.app.web.faults import Unavailable

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
# (items in the call, seconds that it took)
Observer = Callable[[int, float], None]

_PATIENCE = 0.05  # seconds


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Answered]):
    """An item that waits, and the future of the one who waits for it."""

    item: Asked
    future: "asyncio.Future[Answered]"
    since: float


class Batcher(Generic[Asked, Answered]):
    """A step that answers several who ask in one call.

    Nobody waits for company: an item that comes alone goes alone, and those that come while the
    worker is busy go together. An exception of a batch is nobody's yet: its items are then asked
    for one by one, so that it reaches those only whose own it is.

    Args:
        step: from a list of items to as many results; it runs in the worker's thread.
        worker: whose turn it takes with others.
        most: items in one call.
        observe: told of every call, from the worker's thread.
    """

    def __init__(
        self,
        step: Callable[[list[Asked]], Sequence[Answered]],
        worker: "Worker",
        most: int = 32,
        observe: Observer | None = None,
    ):
        assert most > 0, most
        self._step = step
        self._worker = worker
        self._most = most
        self._observe = observe or (lambda count, seconds: None)
        self._waiting: deque[_Waiting] = deque()  # the worker's alone

    async def ask(self, item: Asked) -> Answered:
        """The result for one item; cancelled before its turn, it is never computed."""
        future = asyncio.get_running_loop().create_future()
        self._worker.put(self, _Waiting(item, future, time.perf_counter()))
        return await future

    def add(self, waiting: _Waiting) -> None:
        """One more that waits for its turn."""
        self._waiting.append(waiting)

    def __len__(self) -> int:
        """How many are waiting."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """When the one who waits longest has come."""
        return self._waiting[0].since

    def turn(self) -> None:
        """Answer those who wait longest, in one call."""
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        batch = [waiting for waiting in batch if not waiting.future.cancelled()]
        if batch:
            self._answer(batch)

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            results = self._call(batch)
        except Exception as error:
            if len(batch) == 1:
                _deliver(batch, [error])
                return
            for waiting in batch:
                self._answer([waiting])
            return
        _deliver(batch, results)

    def _call(self, batch: list[_Waiting]) -> Sequence[Answered]:
        started = time.perf_counter()
        results = self._step([waiting.item for waiting in batch])
        assert len(results) == len(batch), f"{len(results)} results of {len(batch)} items"
        self._observe(len(batch), time.perf_counter() - started)
        return results


class Worker:
    """A thread that gives several batchers their turns.

    The one for whom most are waiting is next, as a call costs less an item the more it has,
    unless somebody has waited for longer than `_PATIENCE` elsewhere.

    The steps of one model share a worker: side by side, each with threads of its own, they would
    take the processor and Python's lock from each other, and join fewer requests in a call.
    """

    def __init__(self, name: str):
        self._coming: queue.SimpleQueue[tuple[Batcher, _Waiting] | None] = queue.SimpleQueue()
        self._door = Lock()
        self._closed = False
        self._thread = Thread(target=self._work, name=f"batch-{name}", daemon=True)
        self._thread.start()

    def put(self, batcher: Batcher, waiting: _Waiting) -> None:
        """Let an item wait for the turn of its batcher; Unavailable after `close`."""
        with self._door:  # nothing may come after the end
            if self._closed:
                raise Unavailable("the service is shutting down; ask again when it has started")
            self._coming.put((batcher, waiting))

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._coming.put(None)
        self._thread.join()

    def _work(self) -> None:
        batchers: set[Batcher] = set()  # with somebody who waits
        ended = False
        while batchers or not ended:
            ended |= self._collect(batchers, patient=not batchers)
            if batchers:
                chosen = _next(batchers)
                chosen.turn()
                if not len(chosen):
                    batchers.remove(chosen)

    def _collect(self, batchers: set[Batcher], patient: bool) -> bool:
        """Give all who have come to their batchers, `patient` until one comes; True at the end."""
        while True:
            try:
                coming = self._coming.get(block=patient)
            except queue.Empty:
                return False
            if coming is None:
                return True
            batcher, waiting = coming
            batcher.add(waiting)
            batchers.add(batcher)
            patient = False


def _next(batchers: Collection[Batcher]) -> Batcher:
    """Whose turn it is, of those for whom somebody waits."""
    longest = min(batchers, key=lambda batcher: batcher.oldest)
    if time.perf_counter() - longest.oldest > _PATIENCE:
        return longest
    return max(batchers, key=lambda batcher: (len(batcher), -batcher.oldest))


def _deliver(batch: Sequence[_Waiting], results: Sequence[object]) -> None:
    """Hand out results, or exceptions, in the loops of those who wait: one call for each loop."""
    of_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future, object]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        of_loop.setdefault(waiting.future.get_loop(), []).append((waiting.future, result))
    for loop, pairs in of_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            continue


def _settle(pairs: list[tuple[asyncio.Future, object]]) -> None:
    for future, result in pairs:
        if future.done():  # cancelled meanwhile
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
