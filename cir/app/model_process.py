"""The model in a process of its own, so that it and the web server do not share Python's lock."""

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


class ModelProcess:
    """A SearchModel whose calls are answered, one after the other, by a fork of this process.

    The fork shares the memory of the weights. Make it before other threads are started and
    before torch has computed with more than one; it has to be closed.

    Args:
        model: answers in the fork, and here what takes no computing.
        prepare: called in the fork, before all else.
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
        # Python waits at its exit for processes that were not closed: let this one end before.
        Finalize(self, self._here.close, exitpriority=10)
        self._lock = Lock()

    @property
    def dim(self) -> int:
        """D, the length of the vectors."""
        return self._model.dim

    def fingerprint(self) -> str:
        """See SearchModel; Unavailable when the process has ended."""
        if not self._process.is_alive():
            raise _ended()
        return self._fingerprint

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """See SearchModel; it is done here."""
        return self._model.preprocess(image)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """See SearchModel."""
        return self._ask("encode_pixels", pixels)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See SearchModel."""
        return self._ask("encode_texts", list(texts))

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """See SearchModel."""
        return self._ask("tag", list(texts))

    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        """See SearchModel."""
        return self._ask("compose", images, list(edits), list(image_weights))

    def close(self) -> None:
        """End the process."""
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
    """The model that `load` gives, in a process of its own where that can be done and helps.

    One core is left to the web server. A model on a GPU stays here: CUDA does not outlive a fork,
    and the GPU does its work beside Python. So does any model on macOS, whose libraries do not
    outlive one either.
    """
    if torch.cuda.is_available() or not sys.platform.startswith("linux"):
        yield load()
        return
    threads = max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0)) - 1))
    torch.set_num_threads(1)  # torch's own threads would be missing in the fork
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
    """Answer until the other end is closed, be it because its process was killed."""
    parent.close()
    # Both may be sent to all processes of a group, and are for the server, which then closes.
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
            result = _to_send(error)
        try:
            _send(connection, result)
        except BrokenPipeError:
            return


def _send(connection: Connection, result: Any) -> None:
    """Send a result, or tell that it cannot be sent."""
    try:
        connection.send(result)
    except OSError:
        raise
    except Exception as error:  # pickle meets what does not go with any of them, before it sends
        connection.send(RuntimeError(f"the model's answer cannot be sent: {error!r}"))


def _to_send(error: Exception) -> Exception:
    """The error itself, if it arrives as it is; many with arguments of their own do not."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))
