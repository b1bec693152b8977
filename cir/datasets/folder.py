"""List and read the image files of a folder, at any depth."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cir.core.english import listed as first_few
from cir.core.errors import UserError
from cir.core.file_names import FileNames
from cir.core.progress import say
from cir.core.tables import printable, read_table

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
LARGEST = 256 << 20  # bytes of a file; nobody looks at a larger picture
_COLUMNS = ["file", "tag"]
_LINK_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR)  # of a file, of a folder


@dataclass(frozen=True)
class Listed:
    """An image file that has been listed but not opened.

    Attributes:
        path: relative to the source, with "/" between the parts. Bytes that are not UTF-8 are
            surrogates, as in os.fsdecode.
        bytes: the size of the file.
        date: the time of its last change, in seconds since 1970.
        tags: the user's words for the image, sorted. None if the source has no tags; the image
            then keeps its earlier tags.
    """

    path: str
    bytes: int
    date: float
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Problem:
    """A file or folder that could not be listed, and the reason in one sentence.

    `may_return` says that its images exist but could not be read this time.
    """

    path: str
    sentence: str
    may_return: bool


class FolderSource:
    """The images of a folder, as an `ImageSource` (see cir.datasets.sources).

    Images are recognised by their suffix, in any letter case. Hidden files and folders are left
    out. A link to a file in the folder is listed like a file. A link to a folder inside is left
    out, because its images are listed in their own place; so rings of links do no harm. A link
    that leads outside is refused and becomes a `Problem`.

    Args:
        root: the folder.
        tags_csv: a CSV file with the columns file (a `Listed.path`) and tag. A file with several
            tags has several rows. Without `tags_csv`, the images keep their tags.
    """

    def __init__(self, root: Path | str, tags_csv: Path | str | None = None):
        self._root = os.path.realpath(root)
        if not Path(self._root).is_dir():
            raise UserError(f"{printable(os.fspath(root))} is not a folder of images")
        self.name = f"folder:{self._root}"
        self.problems: tuple[Problem, ...] = ()
        self._tags_csv = tags_csv

    def listed(self) -> Iterator[Listed]:
        tagged = self._tags_csv is not None
        problems: list[Problem] = []
        found = sorted(self._walk("", problems))
        self.problems = tuple(problems)
        tags = self._tags([path for path, _, _ in found]) if tagged else {}
        for path, size, date in found:
            yield Listed(path, size, date, tags.get(path, ()) if tagged else None)

    def _tags(self, paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Read the tags of the files with these paths, and say which tags belong to no file."""
        names, tags = FileNames(paths), {}
        unknown = []
        for name, own in read_tags(Path(self._tags_csv)).items():
            found = names.find(name)
            if len(found) == 1:
                tags[found[0]] = tuple(sorted({*tags.get(found[0], ()), *own}))
            else:
                unknown.append(printable(name))
        if unknown:
            say(
                f"{self._tags_csv} has tags of {len(unknown)} files that are not images of the "
                f"folder: {first_few(sorted(unknown))}"
            )
        return tags

    def read(self, path: str) -> bytes:
        if not _is_listed_form(path):
            raise UserError(f"{printable(path)} is not an image of the folder")
        try:
            return self._read(path)
        except OSError as error:
            raise UserError(f"{printable(path)} cannot be read: {error.strerror}") from None

    def _read(self, path: str) -> bytes:
        try:
            opened = self._open(path)
        except OSError as error:
            if error.errno not in _LINK_IN_THE_WAY:
                raise
            inside = self._inside(path)
            if inside is None:
                sentence = f"{printable(path)} leads out of the folder and is refused"
                raise UserError(sentence) from None
            opened = self._open(inside)
        with os.fdopen(opened, "rb", buffering=0) as image:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{printable(path)} is not a file")
            if status.st_size > LARGEST:
                raise UserError(f"{printable(path)} is larger than {LARGEST >> 20} MiB")
            return _whole(image, status.st_size, path)

    def _open(self, path: str) -> int:
        """Open a file without following any link, so that no path can lead outside the root."""
        *folders, file = path.split("/")
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(folder, flags, dir_fd=here)
                os.close(here)
                here = below
            # Opening a pipe without a writer would block.
            return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)

    def _inside(self, path: str) -> str | None:
        """Resolve all links of a path; return None if the path leads outside the folder."""
        real = os.path.realpath(Path(self._root, path)) + "/"
        prefix = self._root.rstrip("/") + "/"
        return real[len(prefix) :].rstrip("/") if real.startswith(prefix) else None

    def _walk(self, folder: str, problems: list[Problem]) -> Iterator[tuple[str, int, float]]:
        """Yield path, size and date of each image in a folder or below, in any order."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(Path(self._root, folder)) as scan:
                    entries = [entry for entry in scan if not entry.name.startswith(".")]
            except OSError as error:
                if not folder:
                    raise UserError(f"{self._root} cannot be read: {error.strerror}") from None
                problems.append(_unread(folder, error))
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    elif entry.is_symlink() and entry.is_dir():
                        self._refuse_outside(path, problems)
                    elif is_image_name(entry.name) and self._takes(entry, path, problems):
                        status = entry.stat()
                        yield path, status.st_size, status.st_mtime
                except OSError as error:
                    problems.append(_unread(path, error))

    def _takes(self, entry: os.DirEntry, path: str, problems: list[Problem]) -> bool:
        """Return whether the entry is a file inside; a bad link is added to `problems`."""
        if not entry.is_symlink():
            return entry.is_file()
        if self._refuse_outside(path, problems):
            return False
        if not Path(entry.path).exists():
            problems.append(Problem(path, f"{printable(path)} is a link to nothing", False))
        return entry.is_file()

    def _refuse_outside(self, path: str, problems: list[Problem]) -> bool:
        outside = self._inside(path) is None
        if outside:
            sentence = f"{printable(path)} is a link that leads out of the folder and is refused"
            problems.append(Problem(path, sentence, False))
        return outside


def is_image_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image."""
    return Path(name).suffix.lower() in SUFFIXES


def read_tags(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the tags of each file, sorted, from a CSV file with the columns file and tag.

    File names need not be UTF-8. Raises UserError for a file that is not such a table, and for
    rows without a file or a tag.
    """
    found: dict[str, set[str]] = {}
    for row in read_table(path, _COLUMNS, strip=False, errors="surrogateescape"):
        name, tag = row["file"], row["tag"].strip()
        if not name or not tag:
            raise UserError(
                f"{path}, row {row.number}: expected a file and a tag, got "
                f"{printable(','.join(row.values.values()))!r}"
            )
        found.setdefault(name, set()).add(tag)
    return {name: tuple(sorted(tags)) for name, tags in found.items()}


def _whole(image: BinaryIO, size: int, path: str) -> bytes:
    """Read all bytes of a file; one call of read may return fewer."""
    parts = []
    while size and (part := image.read(size)):
        parts.append(part)
        size -= len(part)
    if size:
        raise UserError(f"{printable(path)} became {size:,} bytes shorter while it was read")
    return b"".join(parts)


def _is_listed_form(path: str) -> bool:
    """Return whether `listed` can yield a path: nothing hidden, no "..", the suffix of an image."""
    hidden = any(not part or part.startswith(".") for part in path.split("/"))
    return not hidden and "\0" not in path and is_image_name(path)


def _unread(path: str, error: OSError) -> Problem:
    return Problem(path, f"{printable(path)} cannot be read: {error.strerror}", True)
