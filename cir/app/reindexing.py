"""Bring the store up to date while the service runs: on request, or when the folder changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread

from cir.app.calibration import calibrate
from cir.app.indexing import IndexReport, changes, index
from cir.app.originals import Originals
from cir.app.search_model import SearchModel
from cir.app.stores.base import Store
from cir.core.errors import UserError
from cir.core.progress import say
from cir.datasets.sources import ImageSource, open_source


@dataclass(frozen=True)
class State:
    """The run under way, or else the last one.

    Attributes:
        running: whether a run is under way.
        looked_at, of: how many files it has looked at, and how many there are.
        report: the result of the last run, None if there was none or if it failed.
        error: why the last run failed, "" if it did not.
    """

    running: bool = False
    looked_at: int = 0
    of: int = 0
    report: IndexReport | None = None
    error: str = ""


class _Stopped(Exception):  # noqa: N818  (no error: the service ends)
    """The service ends, and the run with it."""


class Reindexing:
    """Indexes the folder of a store again, one run at a time, in a thread of its own.

    Args:
        model: encodes what is new.
        store: is brought up to date.
        originals: gets the source anew after each run.
        done: is called after each run.
    """

    def __init__(
        self, model: SearchModel, store: Store, originals: Originals, done: Callable[[], None]
    ):
        self._model = model
        self._store = store
        self._originals = originals
        self._done = done
        self._lock = Lock()
        self._stopping = Event()
        self._threads: list[Thread] = []
        self.state = State()

    def start(self) -> State:
        """Begin a run, unless one is under way, and return the state."""
        with self._lock:
            if not self.state.running and not self._stopping.is_set():
                self.state = State(running=True)
                self._begin(self._run)
            return self.state

    def follow(self) -> None:
        """Begin a run now and whenever the folder has changed."""
        self._begin(self._follow)

    def close(self) -> None:
        """End the run under way; what it has written stays."""
        with self._lock:
            self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _begin(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(Thread(target=work, name="index", daemon=True))
        self._threads[-1].start()

    def _follow(self) -> None:
        for _ in changes(self._source, self._stopping):
            self._wait()  # a run under way may have listed the files before
            self.start()
            self._wait()

    def _wait(self) -> None:
        while self.state.running and not self._stopping.wait(0.1):
            continue

    def _run(self) -> None:
        try:
            source = self._source()
            # Building the graph would stop the service for minutes; the next cir index does it.
            report = index(source, self._model, self._store, watch=self._watch, optimise=False)
            calibrate(self._model, self._store)
        except _Stopped:
            return
        except UserError as error:
            self.state = State(error=str(error))
            say(f"indexing failed: {error}")
            return
        except Exception:
            self.state = State(error="indexing failed; the log of the service has the reason")
            raise
        self._originals.source = source
        self._done()
        self.state = replace(self.state, running=False, report=report)

    def _source(self) -> ImageSource:
        return open_source(self._store.info.source)

    def _watch(self, looked_at: int, of: int) -> None:
        if self._stopping.is_set():
            raise _Stopped
        self.state = State(True, looked_at, of)
