"""A stage ends with the DVC that started it.

Linux hands the stage of a killed DVC to another parent and lets it run, beside that of the next
run. Between the two there may be a shell and a launcher of several processes, which do not end
with DVC either; so a stage looks for DVC among its ancestors and watches them.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

_MARK = b"DVC_STAGE="  # in the environment that DVC gives to whatever it starts
_PAUSE = 0.5  # seconds between two looks
_first_parent = os.getppid()  # DVC, its shell or a launcher; read early, for it may die soon


def end_with_dvc() -> None:
    """Have this process terminated when the DVC that started it dies, or has died by now.

    It ends as well with a shell or a launcher between the two.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    if os.getppid() != _first_parent:
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
