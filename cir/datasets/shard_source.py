"""The images of a split that the pipeline prepared, each under its id."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from cir.core.errors import UserError
from cir.datasets.source import Listed, Problem
from cir.images.shards import ImageShards


class ShardSource:
    """See cir.datasets.source.ImageSource: paths are ids, tags the objects that are shown.

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
