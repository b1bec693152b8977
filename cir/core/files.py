"""Write files and folders atomically, lock them, and name their content by a fingerprint.

Output is written to a hidden folder beside its destination, on the same disk, and renamed when it
is complete. A killed process leaves the hidden folder behind, and the next writer of the same
destination removes it.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from cir.core.errors import UserError

_PATIENCE = 5.0  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)
# The system lets a process lock a file twice, so the process records its own locks.
_locked_here: set[Path] = set()
_in_use_here: set[Path] = set()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` on success.

    After any exception, Ctrl-C included, the unfinished folder is removed and `path` is unchanged.
    Raises UserError if the disk is full.
    """
    path = Path(path)
    with _workshop(path) as workshop:
        unfinished = workshop / path.name
        unfinished.mkdir()
        yield unfinished
        if path.exists():
            path.rename(workshop / ".previous")
        unfinished.rename(path)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield the path of a new file that replaces `path` on success.

    After any exception the unfinished file is removed and `path` is unchanged. Raises UserError if
    the disk is full.
    """
    path = Path(path)
    with _workshop(path) as workshop:
        unfinished = workshop / path.name
        yield unfinished
        assert unfinished.is_file(), f"nothing was written for {path}"
        unfinished.replace(path)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON, with keys in their order; raises ValueError for NaN or infinity."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    with whole_file(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises UserError if it is missing, a folder or not JSON.

    A byte order mark is allowed, and UTF-16.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())  # this finds out which UTF it is
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a JSON file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a JSON file: {error}") from None


def looked_in(path: Path) -> str:
    """Return the end of a sentence about a missing path: where a relative one was looked for."""
    if path.is_absolute():
        return ""
    return (
        f"; it was looked for in {Path.cwd()}, and an experiment in a queue runs in a copy "
        "elsewhere: give the absolute path"
    )


def fingerprint(*parts: Any) -> str:
    """Return 16 hexadecimal digits that are equal for equal parts, on every machine.

    A Path stands for the content of a file, or for the names and contents of all files in a folder
    except Python's caches; its place does not count. Other parts must be expressible in JSON; the
    order of a dictionary's keys does not count.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            summary = _content(part)
        else:
            text = json.dumps(part, sort_keys=True, allow_nan=False, ensure_ascii=False)
            summary = b"json" + hashlib.sha256(text.encode()).digest()
        digest.update(summary)
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_full_disk(error: BaseException) -> bool:
    """Tell whether the system refused a write because the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def exclusive(*paths: str | Path) -> Iterator[None]:
    """Lock `paths` for writing; raises UserError if any process has locked one of them.

    The lock of a path is a hidden file beside it. The system releases it when the process ends,
    even if it is killed.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_exclusive(Path(path)))
        yield


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = (path.parent / f".{path.name}.lock").resolve()
    busy = UserError(f"another process is writing {path}; wait for it or stop it, then run again")
    if lock in _locked_here:
        raise busy
    try:
        handle = _open_locked(lock)
    except BlockingIOError:
        raise busy from None
    with handle:
        _locked_here.add(lock)
        try:
            yield
        finally:
            _locked_here.remove(lock)
            lock.unlink(missing_ok=True)  # while it is still locked


def _open_locked(path: Path) -> IO[str]:
    """Open and lock the file; try again if its last holder removed it in the meantime."""
    while True:
        handle = path.open("a")
        try:
            _lock(handle)
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            handle.close()
            raise
        handle.close()


def _lock(handle: IO[str]) -> None:
    """Lock an open file; wait some seconds for a holder that is about to end.

    POSIX record locks, unlike flock, are not inherited by forked data loaders, which can outlive a
    killed trainer for a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # the type depends on the system
            if time.monotonic() >= deadline:
                raise BlockingIOError from None
            time.sleep(0.1)


@contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path`, removed at the end; remove those of killed writers."""
    workshop = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        with _new_workshop(path) as workshop:
            yield workshop
    except Exception as error:
        if _means_full_disk(error, path.parent):
            raise UserError(_full_disk_sentence(path)) from error
        raise
    finally:
        _remove(workshop, path)


@contextmanager
def _new_workshop(path: Path) -> Iterator[Path]:
    """Make a hidden folder with a locked file, by which other processes see that it is in use.

    A process id in its name would not be enough, because ids are reused and zombies keep theirs.
    The folder gets its final name after it is locked, so it never looks abandoned.
    """
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent))
    workshop = new.with_suffix(".partial")
    with (new / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _in_use_here.add(workshop.resolve())
        try:
            yield new.rename(workshop)
        finally:
            _in_use_here.remove(workshop.resolve())


def _clear_leftovers(path: Path) -> None:
    """Remove the hidden folders of writers of `path` that have ended."""
    for found in path.parent.iterdir():
        ours = found.name.startswith(f".{path.name}.") and found.suffix == ".partial"
        if ours and found.resolve() not in _in_use_here and _abandoned(found):
            _remove(found, path)


def _abandoned(workshop: Path) -> bool:
    try:
        with (workshop / ".lock").open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except FileNotFoundError:  # its writer is removing it
        return False
    return True


def _remove(workshop: Path | None, path: Path) -> None:
    if workshop is None or not workshop.exists():
        return
    previous = workshop / ".previous"
    if previous.exists() and not path.exists():  # interrupted between the two renames
        previous.rename(path)
    shutil.rmtree(workshop)


def _means_full_disk(error: Exception, folder: Path) -> bool:
    """Tell whether a write failed because the disk is full.

    safetensors and torch raise errors of their own, with or without the system's message, so the
    free space is checked too.
    """
    if isinstance(error, UserError):
        return False
    if is_full_disk(error):
        return True
    if "No space left on device" in str(error):
        return True
    return isinstance(error, (OSError, RuntimeError)) and _free_bytes(folder) < 4096


def _full_disk_sentence(path: Path) -> str:
    free = _free_bytes(path.parent) / 2**20
    return (
        f"the disk is full: {path} could not be written, {free:,.1f} MiB were left "
        "before its unfinished part was removed; make room and run again"
    )


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _content(path: Path) -> bytes:
    """Hash a file, or the sorted relative names and the contents of a folder's files."""
    if path.is_file():
        return b"file" + bytes.fromhex(file_digest(path))
    if not path.is_dir():
        raise UserError(f"{path} does not exist")
    digest = hashlib.sha256()
    found = (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    for name in sorted(p.relative_to(path).as_posix() for p in found):
        digest.update(hashlib.sha256(name.encode()).digest())
        digest.update(bytes.fromhex(file_digest(path / name)))
    return b"folder" + digest.digest()
