"""Open the place that holds the images of a search: a user's folder, or shards of the pipeline."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

from cir.core.errors import UserError
from cir.datasets.folder import FolderSource, Listed, Problem
from cir.images.shards import ImageShards

__all__ = [
    "FolderSource",
    "ImageSource",
    "Listed",
    "Problem",
    "ShardSource",
    "find_source",
    "open_source",
]


class ImageSource(Protocol):
    """Lists and reads images by their paths. Several threads may use one source."""

    name: str
    """The kind and the place, such as "folder:/home/ann/photos", as `open_source` takes it."""

    problems: tuple[Problem, ...]
    """The problems of the last listing."""

    left_out: str | None
    """A sentence that counts, by reason, what else the last listing left out."""

    def listed(self) -> Iterator[Listed]:
        """Yield all images, sorted by path. Raises UserError if the place does not exist."""

    def read(self, path: str) -> bytes:
        """Return the file of an image from `listed`.

        Raises UserError if the file is missing, cannot be read, or is outside the source.
        """


class ShardSource:
    """The images of a prepared split, as an `ImageSource`: paths are ids, tags are objects.

    Args:
        folder: contains images-00000.parquet and further shards.
    """

    problems: tuple[Problem, ...] = ()
    left_out: str | None = None

    def __init__(self, folder: Path | str):
        place = os.path.realpath(folder)
        self.name = f"shards:{place}"
        self._shards = ImageShards(Path(place))
        self._lock = Lock()  # the shards' cache allows one reader at a time

    def listed(self) -> Iterator[Listed]:
        dates = {}
        for shard in self._shards.shards():
            dates |= dict.fromkeys(shard.ids, shard.path.stat().st_mtime)
        for name in sorted(self._shards.ids):
            with self._lock:
                size, shown = len(self._shards.encoded(name)), self._shards.objects(name)
            yield Listed(name, size, dates[name], tuple(sorted(set(shown))))

    def read(self, path: str) -> bytes:
        if path not in self._shards:
            raise UserError(f"the shards contain no image {path!r}")
        with self._lock:
            return self._shards.encoded(path)


_KINDS = {
    "folder": FolderSource,
    "links": partial(FolderSource, follow_links=True),
    "shards": ShardSource,
}


def open_source(name: str) -> ImageSource:
    """Open a source by its `name`, such as "folder:/home/ann/photos".

    Raises UserError if the place does not exist.
    """
    kind, _, place = name.partition(":")
    if kind not in _KINDS or not place:
        expected = " or ".join(f"{kind}:PLACE" for kind in _KINDS)
        raise UserError(f"expected images in {expected}, got {name}")
    return _KINDS[kind](place)


def find_source(
    folder: Path, tags_csv: Path | None = None, follow_links: bool = False
) -> ImageSource:
    """Open a folder: of shards if it contains images-00000.parquet, of image files otherwise.

    With `follow_links`, links of image files that lead out of the folder are followed. Raises
    UserError if it is not a folder, or if tags are given for shards.
    """
    if not any(folder.glob("images-*.parquet")):
        return FolderSource(folder, tags_csv, follow_links)
    if tags_csv is not None:
        raise UserError(f"{folder} contains shards, which have their own tags: leave --tags out")
    return ShardSource(folder)
