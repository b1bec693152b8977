"""Run a stage as a process: exit status, signals, and the end of the DVC that started it.

A stage's last line is `run(main)`. If DVC is killed, Linux gives its stage another parent, and the
stage would run beside that of the next `dvc repro`. A shell or a launcher may stand between DVC and
the stage, and it does not end with DVC. So a stage finds DVC among its ancestors and watches all
processes up to it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cir.core import imports
from cir.core.errors import UserError
from stages import FIRST_PARENT

_MARK = b"DVC_STAGE="  # DVC sets this variable for the processes that it starts
_PAUSE = 0.5  # seconds between two looks


def run(main: Callable[[], None]) -> None:
    """Run a stage, and exit with one sentence on standard error if it raises UserError.

    Ctrl-C and SIGTERM unwind the stack, so that unfinished files are removed. The exit status is
    then 130 or 143.
    """
    signal.signal(signal.SIGTERM, _terminate(os.getpid()))
    end_with_dvc()
    sys.stdout.reconfigure(line_buffering=True)  # a log gets each line at once, too
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except _Terminated:
        _leave("stopped by a request to terminate; nothing half-written was left", 143)
    except KeyboardInterrupt:
        _leave("interrupted; nothing half-written was left", 130)


class _Terminated(KeyboardInterrupt):
    """SIGTERM came; libraries clean up after it as after Ctrl-C."""


def _terminate(owner: int) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a forked worker inherits the handler, but has nothing to tidy
            os._exit(143)
        signal.signal(number, signal.SIG_IGN)  # a second request must not interrupt the tidying
        raise _Terminated

    return handle


def _leave(sentence: str, status: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(status)


def code_of(script: str) -> list[Path]:
    """List a stage's script and every module that it imports at any depth.

    Checkpoints carry the fingerprint of these files, so that a stage never resumes with other code.
    """
    path = Path(script).resolve()
    root = next(folder.parent for folder in path.parents if folder.name == "stages")
    modules = imports.needed_modules([path], root, ("cir", "stages"))
    return [path, *(imports.find_module(name, root) for name in modules)]


def end_with_dvc() -> None:
    """Terminate this process when DVC dies, or at once if DVC has died already.

    The process also ends with any shell or launcher between DVC and itself.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    if os.getppid() != FIRST_PARENT:
        os.kill(os.getpid(), signal.SIGTERM)
    elif watched := _up_to_dvc():
        threading.Thread(target=_terminate_after, args=(watched,), daemon=True).start()


def _up_to_dvc() -> dict[int, bytes]:
    """Return the start times of all ancestors up to DVC, the first one without the mark."""
    ancestors = {}
    process, marked = os.getppid(), True
    try:
        while marked:
            parent, ancestors[process] = _status(process)
            marked = _MARK in Path(f"/proc/{process}/environ").read_bytes()
            process = parent
    except OSError:  # this user may not read the process
        pass
    return ancestors


def _terminate_after(ancestors: dict[int, bytes]) -> None:
    """Wait until one ancestor has ended, then terminate this process.

    An ancestor has ended if it is gone or a zombie, or if a new process has its number.
    """
    try:
        while all(_status(process)[1] == began for process, began in ancestors.items()):
            time.sleep(_PAUSE)
    except (ProcessLookupError, FileNotFoundError):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _status(process: int) -> tuple[int, bytes]:
    """Return (parent, start time in ticks of the kernel); the time of a zombie is b""."""
    stat = Path(f"/proc/{process}/stat").read_bytes()
    state, parent, *others = stat.rpartition(b")")[2].split()  # a name may hold ")"
    return int(parent), b"" if state == b"Z" else others[17]
