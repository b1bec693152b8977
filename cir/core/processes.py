"""A function in a process of its own, and how much memory a process has taken."""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import TypeVar

from cir.core.errors import UserError

T = TypeVar("T")
_STATUS = Path("/proc/self/status")
_PATIENCE = 10.0  # seconds that a process has to end after its answer


def in_own_process(function: Callable[..., T], *arguments: object) -> T:
    """What the function returns for the arguments, in a fresh interpreter that ends with it.

    All of them are pickled. Raises UserError with the sentence of a UserError there, and one that
    tells of any other exception, whose traceback goes to standard error, or of a process that was
    ended from outside. The process ends with this one, however that ends.
    """
    context = multiprocessing.get_context("spawn")  # a fork would bring this process's memory along
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        right, answer = receiver.recv()
        process.join(_PATIENCE)
    except EOFError:
        process.join()
        raise UserError(f"its process {_how_ended(process.exitcode)}") from None
    finally:
        receiver.close()
        process.terminate()  # where it has not ended, this process is being stopped
        process.join()
    if not right:
        raise UserError(answer)
    return answer


def peak_memory() -> int:
    """The most memory that this process has had in use at once, in bytes.

    The usual ru_maxrss is not it on Linux: a new process takes over the peak of the one that
    started it.
    """
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _run(sender: connection.Connection, function: Callable, arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for the answer decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = True, function(*arguments)
    except UserError as error:
        answer = False, str(error)
    except Exception as error:
        traceback.print_exc()
        answer = False, " ".join(f"{type(error).__name__}: {error}".split())[:300]
    sender.send(answer)


def _end_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _how_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, as a system does that runs out of memory"
    if status < 0:
        return f"was ended by the signal {signal.Signals(-status).name}"
    return f"ended with the status {status} and without an answer"
