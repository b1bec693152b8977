"""Match the names of files in a user's table to the files that they stand for."""

import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path


def is_file(path: Path) -> bool:
    """Tell whether there is a file; a table may hold anything where the name of a file belongs."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a sentence may be too long for a name, or hold a byte of zero
        return False


class FileNames:
    """Finds the files that the names in a table stand for.

    A name that equals a file's is that file's. Other names are compared without spaces around them,
    without "." between slashes, with "/" for "\\" (unless a file has "\\" in its name), and in
    Unicode's composed form (NFC).

    Args:
        known: the names of the files, with "/" between folders.
        ends: let the end of a path stand for it: "b/c.jpg" or "c.jpg" for "a/b/c.jpg".
        folder: the name of a folder that may stand before the names, if it holds the files and lies
            beside the table.
    """

    def __init__(self, known: Collection[str], ends: bool = False, folder: str = ""):
        self._before = folder and f"{folder}/"
        self._slashes = not any("\\" in name for name in known)
        self._exact: dict[str, list[str]] = {}
        self._alike: dict[str, list[str]] = {}
        for name in known:
            for end in _ends(name) if ends else (name,):
                self._exact.setdefault(end, []).append(name)
                self._alike.setdefault(self._plain(end), []).append(name)

    def find(self, written: str) -> list[str]:
        """Return the files that a written name stands for: none, one, or several."""
        plain = self._plain(written)
        found = self._exact.get(written) or self._alike.get(plain)
        return found or self._alike.get(plain.removeprefix(self._before), [])

    def _plain(self, name: str) -> str:
        name = unicodedata.normalize("NFC", name.replace("\\", "/") if self._slashes else name)
        first, *others = name.strip().split("/")
        kept = [part for part in others if part not in ("", ".")]
        return "/".join(kept if first == "." else [first, *kept])


def _ends(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
