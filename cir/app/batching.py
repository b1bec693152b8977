"""Join the requests of several clients into one call of the model."""

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

_PATIENCE = 0.05  # seconds that an item waits before its batcher gets the next turn


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Answered]):
    """An item that waits for its turn, and the future that gets its result."""

    item: Asked
    future: "asyncio.Future[Answered]"
    since: float


class Batcher(Generic[Asked, Answered]):
    """Runs a step on all items that wait, in one call.

    No item waits for others: a single item is computed at once, and the items that come while the
    worker is busy form the next batch. If a batch fails, each item is computed again by itself,
    so that only the item that caused the error gets it.

    Args:
        step: turns a list of items into as many results, in the worker's thread.
        worker: the thread, which several batchers may share.
        most: the largest number of items in one call.
        observe: gets the number of items after every call, in the worker's thread.
    """

    def __init__(
        self,
        step: Callable[[list[Asked]], Sequence[Answered]],
        worker: "Worker",
        most: int = 32,
        observe: Callable[[int], None] = lambda count: None,
    ):
        assert most > 0, most
        self._step = step
        self._worker = worker
        self._most = most
        self._observe = observe
        self.waiting: deque[_Waiting] = deque()  # only the worker's thread uses it

    async def ask(self, item: Asked) -> Answered:
        """Return the result of one item; an item that is cancelled in time is not computed."""
        future = asyncio.get_running_loop().create_future()
        self._worker.put(self, _Waiting(item, future, time.perf_counter()))
        return await future

    @property
    def oldest(self) -> float:
        """Return the time when the oldest waiting item came."""
        return self.waiting[0].since

    def turn(self) -> None:
        """Compute the items that wait longest, in one call."""
        batch = [self.waiting.popleft() for _ in range(min(self._most, len(self.waiting)))]
        batch = [waiting for waiting in batch if not waiting.future.cancelled()]
        if batch:
            self._answer(batch)

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            results = self._step([waiting.item for waiting in batch])
            assert len(results) == len(batch), f"{len(results)} results of {len(batch)} items"
            self._observe(len(batch))
        except Exception as error:
            if len(batch) == 1:
                _deliver(batch, [error])
                return
            for waiting in batch:
                self._answer([waiting])
            return
        _deliver(batch, results)


class Worker:
    """A thread that runs several batchers in turn.

    The batcher with the most items is next, because a large batch costs less for each item. An
    item that has waited longer than `_PATIENCE` goes first.

    The steps of one model share a worker. In two threads they would compete for the processor and
    for Python's lock, and their batches would be smaller.
    """

    def __init__(self, name: str):
        self._coming: queue.SimpleQueue[tuple[Batcher, _Waiting] | None] = queue.SimpleQueue()
        self._door = Lock()
        self._closed = False
        self._thread = Thread(target=self._work, name=f"batch-{name}", daemon=True)
        self._thread.start()

    def put(self, batcher: Batcher, waiting: _Waiting) -> None:
        """Queue an item for its batcher; raise Unavailable after `close`."""
        with self._door:  # nothing may be queued after the end
            if self._closed:
                raise Unavailable("the service is shutting down; try again when it has started")
            self._coming.put((batcher, waiting))

    def close(self) -> None:
        """Compute all items that wait, and end the thread."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._coming.put(None)
        self._thread.join()

    def _work(self) -> None:
        batchers: set[Batcher] = set()  # those with items that wait
        ended = False
        while batchers or not ended:
            ended |= self._collect(batchers, patient=not batchers)
            if batchers:
                chosen = _next(batchers)
                chosen.turn()
                if not chosen.waiting:
                    batchers.remove(chosen)

    def _collect(self, batchers: set[Batcher], patient: bool) -> bool:
        """Move new items to their batchers; if `patient`, wait for one. Return True at the end."""
        while True:
            try:
                coming = self._coming.get(block=patient)
            except queue.Empty:
                return False
            if coming is None:
                return True
            batcher, waiting = coming
            batcher.waiting.append(waiting)
            batchers.add(batcher)
            patient = False


def _next(batchers: Collection[Batcher]) -> Batcher:
    """Choose the batcher that has the next turn."""
    longest = min(batchers, key=lambda batcher: batcher.oldest)
    if time.perf_counter() - longest.oldest > _PATIENCE:
        return longest
    return max(batchers, key=lambda batcher: (len(batcher.waiting), -batcher.oldest))


def _deliver(batch: Sequence[_Waiting], results: Sequence[object]) -> None:
    """Set the results or exceptions of futures, with one call for each event loop."""
    of_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future, object]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        of_loop.setdefault(waiting.future.get_loop(), []).append((waiting.future, result))
    for loop, pairs in of_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:  # the loop is closed, so that nobody waits for the result
            continue


def _settle(pairs: list[tuple[asyncio.Future, object]]) -> None:
    for future, result in pairs:
        if future.done():  # it was cancelled meanwhile
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
