"""Run the model in its own process, so that it does not share Python's lock with the server."""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from cir.app.search_model import SearchModel, TaggedText
from cir.app.web.faults import Unavailable
from cir.core.records import Edit

_THREADS = torch.get_num_threads()  # before a first model takes them all but one away


class ModelProcess(SearchModel):
    """Answers the calls of a SearchModel, one after the other, in a fork of this process.

    The fork shares the memory of the weights. Create it before other threads start and before
    torch computes with more than one thread, and close it at the end.

    Args:
        model: answers in the fork, except for what needs no computing.
        prepare: is called in the fork, before the first answer.
    """

    def __init__(self, model: SearchModel, prepare: Callable[[], None] = lambda: None):
        self._model = model
        self._fingerprint = model.fingerprint()
        forking = multiprocessing.get_context("fork")
        self._here, there = forking.Pipe()
        self._process = forking.Process(
            target=_answer, args=(self._here, there, model, prepare), name="model", daemon=True
        )
        self._process.start()
        there.close()
        # At its exit, Python waits for processes that were not closed; this ends the fork before.
        Finalize(self, self._here.close, exitpriority=10)
        self._lock = Lock()

    @property
    def dim(self) -> int:
        return self._model.dim

    @property
    def has_tagger(self) -> bool:
        return self._model.has_tagger

    @property
    def batch_size(self) -> int:
        return self._model.batch_size

    @property
    def least_side(self) -> int:
        return self._model.least_side

    def fingerprint(self) -> str:
        """Return the fingerprint of the model; raise Unavailable if the process has ended."""
        if not self._process.is_alive():
            raise _ended()
        return self._fingerprint

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return self._model.preprocess(image)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        return self._ask("encode_pixels", pixels)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._ask("encode_texts", list(texts))

    def unread(self, text: str) -> str:
        return self._model.unread(text)

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        return self._ask("tag", list(texts))

    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        return self._ask("compose", images, list(edits), list(image_weights))

    def close(self) -> None:
        """End the process of the model."""
        with self._lock:
            self._here.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            with self._lock:
                self._here.send((name, arguments))
                result = self._here.recv()
        except (EOFError, OSError):
            raise _ended() from None
        if isinstance(result, Exception):
            raise result
        return result


@contextmanager
def in_own_process(load: Callable[[], SearchModel]) -> Iterator[SearchModel]:
    """Load a model, and run it in its own process if that is possible and saves time.

    One core remains for the web server. A model on a GPU stays in this process, because CUDA does
    not survive a fork and the GPU computes beside Python. On macOS every model stays here, because
    its libraries do not survive a fork.
    """
    if torch.cuda.is_available() or not sys.platform.startswith("linux"):
        yield load()
        return
    threads = max(1, min(_THREADS, len(os.sched_getaffinity(0)) - 1))
    torch.set_num_threads(1)  # a fork would not have the other threads
    model = ModelProcess(load(), partial(torch.set_num_threads, threads))
    try:
        yield model
    finally:
        model.close()


def _ended() -> Unavailable:
    return Unavailable("the model's process has ended: restart the service")


def _answer(
    parent: Connection, connection: Connection, model: SearchModel, prepare: Callable[[], None]
) -> None:
    """Answer until the other end is closed, which also happens when its process is killed."""
    parent.close()
    # Signals may go to the whole process group; only the server reacts, and closes this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    prepare()
    while True:
        try:
            name, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            result = getattr(model, name)(*arguments)
        except Exception as error:
            result = error
        try:
            connection.send_bytes(_pickled(result))
        except BrokenPipeError:
            return


def _pickled(result: Any) -> bytes:
    """Pickle a result or an error; a RuntimeError replaces what pickle cannot restore."""
    try:
        data = pickle.dumps(result)
        if isinstance(result, Exception):
            pickle.loads(data)
        return data
    except Exception as error:  # pickle fails with errors of many kinds
        if isinstance(result, Exception):
            return pickle.dumps(RuntimeError(repr(result)))
        return pickle.dumps(RuntimeError(f"the model's answer cannot be sent: {error!r}"))
