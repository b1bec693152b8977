"""Files that appear whole or not at all, and names for what is in them.

Whatever is written goes first into a hidden folder beside its destination, on the same disk, and
is renamed into place when it is complete. A process that is killed in the middle leaves that
hidden folder behind; the next writer of the same destination removes it.
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
# The system's locks do not stop a process from locking twice, so it has to remember.
_locked_here: set[Path] = set()
_in_use_here: set[Path] = set()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path`, in place of what was there, on success.

    On any exception (Ctrl-C too) the unfinished folder is removed and `path` is left as it was.
    A full disk raises UserError.
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
    """Yield the place for a file, of the same name, that replaces `path` on success.

    On any exception the unfinished file is removed and `path` is left as it was. A full disk
    raises UserError.
    """
    path = Path(path)
    with _workshop(path) as workshop:
        unfinished = workshop / path.name
        yield unfinished
        assert unfinished.is_file(), f"nothing was written for {path}"
        unfinished.replace(path)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON, whole, keys in their order; NaN or infinity raises ValueError."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    with whole_file(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing file, a folder or what is no JSON raises UserError naming it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a JSON file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a JSON file: {error}") from None


def fingerprint(*parts: Any) -> str:
    """Name the parts by 16 hexadecimal digits: equal parts, equal name, on every machine.

    A Path stands for the content of that file, or for the names and contents of all files in that
    folder (Python's caches aside); where it lies does not count. Anything else must be expressible
    in JSON, and the order of a dictionary's keys does not count.
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


def checkpoint_folder(name: str, *parts: Any) -> Path:
    """Make and return the folder where the step `name` keeps what it needs to resume.

    Its name carries the fingerprint of `parts` (params, inputs and the files of the code that
    runs, as
    for `fingerprint`), so that a step never resumes from what another recipe or other code left.
    It lies in $CIR_CHECKPOINTS, by default .checkpoints in the current folder:
    outside the outputs of DVC, which are deleted before a step starts again. Runs in several
    folders may share it: hold it with `exclusive`. Whoever finishes removes it.
    """
    base = Path(os.environ.get("CIR_CHECKPOINTS") or ".checkpoints").resolve()
    folder = base / f"{name}-{fingerprint(*parts)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def exclusive(*paths: str | Path) -> Iterator[None]:
    """Hold the right to write `paths`; a second holder, in any process, gets a UserError.

    The lock of a path is a hidden file beside it. The system lets go of it when the process ends,
    however it ends.
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
    """Open and lock the file of that name; not one that its last holder has removed meanwhile."""
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
    """Lock an open file, with patience for a holder that is just being ended.

    POSIX record locks, unlike flock, are not handed on to forked data loaders, which may outlive
    a killed trainer for a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them depends on the system
            if time.monotonic() >= deadline:
                raise BlockingIOError from None
            time.sleep(0.1)


@contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path`; remove it at the end, and what earlier kills left."""
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
    """Make a hidden folder that others can tell to be in use, by a lock on a file in it.

    (A process id in its name would not do: ids are used again, and zombies keep theirs.) It gets
    its final name when it is locked, so that nobody takes it for abandoned before.
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
    """Remove the hidden folders of writers of `path` that no longer live."""
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
    except FileNotFoundError:  # its writer removes it just now
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
    """Whether a failed write is explained by a full disk.

    Libraries written in other languages (safetensors, torch) wrap the system's error in their
    own, with or without its text, so the room that is left is asked for too.
    """
    if isinstance(error, UserError):
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
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
    """SHA-256 of a file, or of the sorted relative names and contents of a folder's files."""
    if path.is_file():
        return b"file" + _file_digest(path)
    if not path.is_dir():
        raise UserError(f"{path} does not exist")
    digest = hashlib.sha256()
    found = (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    for name in sorted(p.relative_to(path).as_posix() for p in found):
        digest.update(hashlib.sha256(name.encode()).digest())
        digest.update(_file_digest(path / name))
    return b"folder" + digest.digest()


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
