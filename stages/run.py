"""Run a stage as a process: its exit status, its signals, and the DVC that started it.

A stage's last line is `run(main)`. Linux hands the stage of a killed DVC to another parent and lets
it run beside the stage of the next `dvc repro`. A shell or a launcher of several processes may
stand
between DVC and the stage, and neither ends with DVC; so a stage looks for DVC among its ancestors
and watches all of them.
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

_MARK = b"DVC_STAGE="  # in the environment that DVC gives to whatever it starts
_PAUSE = 0.5  # seconds between two looks


def run(main: Callable[[], None]) -> None:
    """Run a stage as a process: a UserError ends it with one sentence on standard error.

    Ctrl-C and a request to terminate unwind the stack, so that unfinished files are removed, and
    end with the usual statuses 130 and 143.
    """
    signal.signal(signal.SIGTERM, _terminate(os.getpid()))
    end_with_dvc()
    sys.stdout.reconfigure(line_buffering=True)  # in a log too, a line appears when it is said
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except _Terminated:
        _leave("stopped by a request to terminate; nothing half-written was left", 143)
    except KeyboardInterrupt:
        _leave("interrupted; nothing half-written was left", 130)


class _Terminated(KeyboardInterrupt):
    """SIGTERM; libraries that clean up after Ctrl-C clean up after this."""


def _terminate(owner: int) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a forked worker has inherited the handler, not the stage's work
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
    """Have this process terminated when the DVC that started it dies, or has died by now.

    It ends as well with a shell or a launcher between the two.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    if os.getppid() != FIRST_PARENT:
        os.kill(os.getpid(), signal.SIGTERM)
    elif watched := _up_to_dvc():
        threading.Thread(target=_terminate_after, args=(watched,), daemon=True).start()


def _up_to_dvc() -> dict[int, bytes]:
    """The ancestors up to the first one without the mark, which is DVC, and when they began."""
    ancestors = {}
    process, marked = os.getppid(), True
    try:
        while marked:
            parent, ancestors[process] = _status(process)
            marked = _MARK in Path(f"/proc/{process}/environ").read_bytes()
            process = parent
    except OSError:  # a process that is not ours to look at
        pass
    return ancestors


def _terminate_after(ancestors: dict[int, bytes]) -> None:
    """Wait until one of them has ended: it is gone, or another has its number, or is a zombie."""
    try:
        while all(_status(process)[1] == began for process, began in ancestors.items()):
            time.sleep(_PAUSE)
    except (ProcessLookupError, FileNotFoundError):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _status(process: int) -> tuple[int, bytes]:
    """(parent, when the process began, in the kernel's ticks; b"" for a zombie)."""
    stat = Path(f"/proc/{process}/stat").read_bytes()
    state, parent, *others = stat.rpartition(b")")[2].split()  # a name may hold anything
    return int(parent), b"" if state == b"Z" else others[17]
