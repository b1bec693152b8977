"""Open the place that holds the images of a search: a user's folder, or shards of the pipeline."""

import os
from collections.abc import Iterator
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
    """Images by their paths; `cir.datasets.sources` has the real ones. Threads may share one."""

    name: str
    """The kind and the place, such as "folder:/home/ann/photos"; `open_source` takes it."""

    problems: tuple[Problem, ...]
    """What the last listing met."""

    def listed(self) -> Iterator[Listed]:
        """All images, sorted by path. Raises UserError if the place is not there."""

    def read(self, path: str) -> bytes:
        """The file of an image that `listed` gives.

        Raises UserError for one that is not there, that cannot be read, or that lies outside.
        """


class ShardSource:
    """See cir.datasets.sources.ImageSource: paths are ids, tags the objects that are shown.

    Args:
        folder: with images-00000.parquet and so on.
    """

    problems: tuple[Problem, ...] = ()

    def __init__(self, folder: Path | str):
        place = os.path.realpath(folder)
        self.name = f"shards:{place}"
        self._shards = ImageShards(Path(place))
        self._lock = Lock()  # the shards' cache is for one reader at a time

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
            raise UserError(f"the shards hold no image {path!r}")
        with self._lock:
            return self._shards.encoded(path)


_KINDS = {"folder": FolderSource, "shards": ShardSource}


def open_source(name: str) -> ImageSource:
    """The source of a name that a source gave itself, such as "folder:/home/ann/photos".

    Raises UserError if it is not there any more.
    """
    kind, _, place = name.partition(":")
    if kind not in _KINDS or not place:
        raise UserError(f"images are in folder:PLACE or in shards:PLACE, not in {name}")
    return _KINDS[kind](place)


def find_source(folder: Path, tags_csv: Path | None = None) -> ImageSource:
    """The source of a folder: of shards, where it holds images-00000.parquet, or of files.

    Raises UserError if it is no folder, or if tags are given for shards, which have their own.
    """
    if not any(folder.glob("images-*.parquet")):
        return FolderSource(folder, tags_csv)
    if tags_csv is not None:
        raise UserError(f"{folder} holds shards, which have tags of their own: leave --tags out")
    return ShardSource(folder)
