"""Run a function in its own process, and measure a process's peak memory."""

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
_PATIENCE = 10.0  # seconds that a process has to end after it sent its answer


def in_own_process(function: Callable[..., T], *arguments: object) -> T:
    """Call the function in a fresh interpreter, and return its result.

    Function, arguments and result are pickled. The new process ends with this one, even if this one
    is killed.

    Raises:
        UserError: the function raised UserError (with the same message) or another exception
            (whose traceback goes to standard error), or the process was ended from outside.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy this process's memory
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
        process.terminate()  # it still runs only if this process is being stopped
        process.join()
    if not right:
        raise UserError(answer)
    return answer


def peak_memory() -> int:
    """Return the peak memory of this process in bytes.

    On Linux the usual ru_maxrss is wrong: a new process inherits the peak of its parent.
    """
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _run(sender: connection.Connection, function: Callable, arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the waiting process decides when to stop
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
