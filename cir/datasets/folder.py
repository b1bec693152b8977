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
from cir.images import walk
from cir.images.walk import NOTHING, OUTSIDE, UNREAD

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

    What counts as an image, and what is left out, see cir.images.walk. A link to a file in the
    folder is listed like a file. A link that leads outside is refused and becomes a `Problem`,
    unless such links are to be followed.

    Args:
        root: the folder.
        follow_links: list and read the files that links out of the folder lead to, too.
        tags_csv: a CSV file with the columns file (a `Listed.path`) and tag. A file with several
            tags has several rows. Without `tags_csv`, the images keep their tags.
    """

    def __init__(
        self,
        root: Path | str,
        tags_csv: Path | str | None = None,
        follow_links: bool = False,
    ):
        self._root = os.path.realpath(root)
        if not Path(self._root).is_dir():
            raise UserError(f"{printable(os.fspath(root))} is not a folder of images")
        self.name = f"{'links' if follow_links else 'folder'}:{self._root}"
        self.problems: tuple[Problem, ...] = ()
        self.left_out: str | None = None
        self._tags_csv = tags_csv
        self._follow_links = follow_links

    def listed(self) -> Iterator[Listed]:
        tagged = self._tags_csv is not None
        found = walk.walk(self._root, "all" if self._follow_links else "none")
        self.problems, self.left_out = _problems(found), found.sentence((OUTSIDE, NOTHING, UNREAD))
        tags = self._tags(found.images) if tagged else {}
        for path, size, date in self._listed(sorted(found.images)):
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
            opened = self._open_anywhere(path) if self._follow_links else self._open(path)
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

    def _open_anywhere(self, path: str) -> int:
        # Opening a pipe without a writer would block.
        return os.open(Path(self._root, path), os.O_RDONLY | os.O_NONBLOCK)

    def _inside(self, path: str) -> str | None:
        """Resolve all links of a path; return None if the path leads outside the folder."""
        real = os.path.realpath(Path(self._root, path)) + "/"
        prefix = self._root.rstrip("/") + "/"
        return real[len(prefix) :].rstrip("/") if real.startswith(prefix) else None

    def _listed(self, paths: Sequence[str]) -> Iterator[tuple[str, int, float]]:
        """Yield path, size and date of each file; a file that is gone is a problem."""
        for path in paths:
            try:
                status = Path(self._root, path).stat()
            except OSError as error:
                self.problems += (_unread(path, str(error.strerror)),)
            else:
                yield path, status.st_size, status.st_mtime


def _problems(found: walk.Found) -> tuple[Problem, ...]:
    """Make a problem of every link that is not followed, and of all that cannot be read."""
    refused, nothing = (
        "is a link that leads out of the folder and is refused (--follow-links follows such links)",
        "is a link to nothing",
    )
    problems = [
        *(Problem(path, f"{printable(path)} {refused}", False) for path in found.named(OUTSIDE)),
        *(Problem(path, f"{printable(path)} {nothing}", False) for path in found.named(NOTHING)),
        *(_unread(path, why) for path, why in found.errors.items()),
    ]
    return tuple(problems)


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
    hidden = any(not part or walk.left_out(part) for part in path.split("/"))
    return not hidden and "\0" not in path and walk.is_image_name(path)


def _unread(path: str, why: str) -> Problem:
    return Problem(path, f"{printable(path)} cannot be read: {why}", True)
