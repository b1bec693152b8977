"""Find the images of a folder at any depth, and count by reason what else lies there."""

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.tables import printable
from cir.images.decoding import FORMATS

# Why something is left out, as it stands after a number: "3 hidden".
HIDDEN, SYSTEM = "hidden", "of a system, such as thumbnails and bins"
FORMAT, NO_IMAGE = "of a format that is not read", "without the suffix of an image"
FOLDER_LINK, OUTSIDE = "links to folders", "links that lead out of the folder"
NOTHING, UNREAD = "links to nothing", "that cannot be read"
BELOW, NO_FILE = "folders", "neither a file nor a folder"

# Names of folders and files that NAS, Windows, macOS and Linux put among images, in small letters.
_OF_SYSTEMS = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "@transcode"),
    *("$recycle.bin", "recycler", "recycled", "system volume information", "thumbs.db"),
    *("ehthumbs.db", "desktop.ini", "lost+found", "network trash folder", "temporary items"),
    *("@sharebin", "~snapshot", "trashbox", "files_trashbin", "files_versions"),
    *("backups.backupdb", "ipod photo cache"),
}
_THUMBNAILS_OF_SYNOLOGY = ("SYNOPHOTO_", "SYNOFILE_", "SYNOVIDEO_")
# Of formats that Pillow does not know.
_UNKNOWN = {
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".svg", ".exr", ".raw", ".dng", ".cr2", ".cr3"),
    *(".nef", ".arw", ".raf", ".orf", ".rw2", ".pfm"),
}

# Which links are followed to places outside the folder: none, those to files, or all.
Beyond = Literal["none", "files", "all"]


@dataclass
class Found:
    """What was found in a folder; paths are relative to it, with "/" between their parts.

    Attributes:
        images: the images, sorted as a tree is.
        left_out: everything else, by reason. A folder that was left out is one entry.
        errors: why those under UNREAD cannot be read, by path.
    """

    images: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, path: str) -> None:
        """Note a path that is left out."""
        self.left_out.setdefault(reason, []).append(path)

    def named(self, *reasons: str) -> list[str]:
        """Return what was left out for these reasons."""
        return [path for reason in reasons for path in self.left_out.get(reason, ())]

    def sentence(self, without: Iterable[str] = ()) -> str | None:
        """Count what was left out, by reason, or return None if there is nothing.

        Args:
            without: reasons of which other sentences tell.
        """
        return told({reason: own for reason, own in self.left_out.items() if reason not in without})


def told(left_out: dict[str, list[str]]) -> str | None:
    """Write one sentence with the number of paths for each reason, and the first paths."""
    counts = [
        f"{len(paths):,} {reason} ({listed([printable(path) for path in sorted(paths)])})"
        for reason, paths in sorted(left_out.items(), key=lambda item: (-len(item[1]), item[0]))
        if paths
    ]
    return f"left out: {'; '.join(counts)}" if counts else None


def walk(
    root: Path | str,
    beyond: Beyond = "files",
    deep: bool = True,
    known: Sequence[str] = (),
) -> Found:
    """Find the images in a folder.

    Images are recognised by their suffix, in any letter case. A link to a file is a file. A link
    to a folder inside is left out, because its images are found in their own place.

    Args:
        root: the folder.
        beyond: which links are followed that lead out of the folder.
        deep: look into inner folders.
        known: paths of files that are no images and need not be told of, such as a table.

    Raises:
        UserError: the folder cannot be read.
    """
    found, real = Found(), os.path.realpath(root)
    waiting, entered = [""], {real}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(Path(root, folder)) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise UserError(f"{root} cannot be read: {error.strerror}") from None
            found.leave_out(UNREAD, folder)
            found.errors[folder] = str(error.strerror)
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                is_folder, reason = _look(entry, real, beyond, deep, entered)
            except OSError as error:
                found.leave_out(UNREAD, path)
                found.errors[path] = str(error.strerror)
                continue
            if reason is not None:
                if path not in known:
                    found.leave_out(reason, path)
            elif is_folder:
                waiting.append(path)
            else:
                found.images.append(path)
    found.images.sort(key=lambda path: path.split("/"))
    return found


def left_out(name: str) -> str | None:
    """Return why a file or folder of this name is left out, or None if it is looked at."""
    if name.startswith(".") or name == "__MACOSX":
        return HIDDEN
    # A folder "Thumbs" in small letters may be a class of images.
    of_system = name.lower() in _OF_SYSTEMS or name == "Thumbs"
    return SYSTEM if of_system or name.startswith(_THUMBNAILS_OF_SYNOLOGY) else None


def is_image_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image."""
    return Path(name).suffix.lower() in _suffixes()


@cache
def _suffixes() -> frozenset[str]:
    """Return the suffixes of the formats that cir.images.decoding decodes."""
    formats = {*FORMATS, "MPO"}  # an MPO begins with a whole JPEG
    known = Image.registered_extensions().items()
    # A PFM has floating-point pixels, which are refused.
    return frozenset(suffix for suffix, form in known if form in formats and suffix != ".pfm")


def leads_outside(path: str | Path, real_root: str) -> bool:
    """Tell whether a path leads out of the folder `real_root`, when all links are followed."""
    real = os.path.realpath(path)
    return real != real_root and not real.startswith(real_root.rstrip("/") + "/")


def _look(
    entry: os.DirEntry, real_root: str, beyond: Beyond, deep: bool, entered: set[str]
) -> tuple[bool, str | None]:
    """Return whether an entry is a folder, and why it is left out or None."""
    reason = left_out(entry.name)
    is_folder = _is_folder(entry)
    if reason is None and is_folder:
        reason = None if deep else BELOW
        if reason is None and entry.is_symlink():
            reason = _of_folder_link(entry, real_root, beyond, entered)
    elif reason is None:
        reason = _of_file(entry, real_root, beyond)
    return is_folder, reason


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # links in a ring lead to nothing
            return False
        raise


def _of_folder_link(
    entry: os.DirEntry, real_root: str, beyond: Beyond, entered: set[str]
) -> str | None:
    """Return why a link to a folder is left out, or None if it is to be followed."""
    if not leads_outside(entry.path, real_root):
        return FOLDER_LINK
    if beyond != "all":
        return OUTSIDE
    real = os.path.realpath(entry.path)
    if real in entered or not leads_outside(real_root, real):  # links may make a ring
        return FOLDER_LINK
    entered.add(real)
    return None


def _of_file(entry: os.DirEntry, real_root: str, beyond: Beyond) -> str | None:
    """Return why a file is left out, or None if it is an image."""
    if not is_image_name(entry.name):
        suffix = Path(entry.name).suffix.lower()
        return FORMAT if suffix in {*Image.registered_extensions(), *_UNKNOWN} else NO_IMAGE
    if entry.is_symlink():
        if beyond == "none" and leads_outside(entry.path, real_root):
            return OUTSIDE
        if not Path(entry.path).exists():
            return NOTHING
    return None if entry.is_file() else NO_FILE
