"""Images and triplets of a split: written once, read by id or as a stream.

`split_files` tells what lies on the disk.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.core.sentences import listed
from cir.images import decoding as images
from cir.images.shard_files import TRIPLETS, bytes_of, read_table, write

__all__ = ["ImageShards", "Shard", "read_info", "read_triplets", "write"]

CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Shard:
    """One file of images: `ids` in order, and the images as a stream of flat memory."""

    path: Path
    ids: tuple[str, ...]

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """Yield (id, encoded image) in order, one row group in memory at a time."""
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["id", "image.bytes"], use_threads=False)
                encoded = bytes_of(table)
                for name, data in zip(table["id"], encoded, strict=True):
                    yield name.as_py(), data.as_py()

    def images(self) -> Iterator[tuple[str, Image.Image]]:
        """Yield (id, RGB image) in order; UserError for one that cannot be decoded."""
        for name, encoded in self.encoded():
            yield name, images.decode(encoded, name)


class ImageShards:
    """The images of a split: `ids` in order, any image by its id, or shard after shard.

    Row groups that were read stay in memory, the longest unused leaving first, up to
    `cache_bytes`: a small set is soon read from memory alone, a large one costs one row group
    (about a megabyte) an image. Instances can be pickled and survive a fork, so that the worker
    processes of a DataLoader may share one.

    Raises UserError if the folder holds no shards or one of them is no Parquet file of images.
    """

    def __init__(self, folder: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.folder = Path(folder)
        self.cache_bytes = cache_bytes
        paths = sorted(self.folder.glob("images-*.parquet"))
        if not paths:
            raise UserError(f"no images in {folder}: expected images-00000.parquet and so on")
        self._shards = tuple(Shard(path, _read_ids(path)) for path in paths)
        self.ids = tuple(name for shard in self._shards for name in shard.ids)
        self._index = {name: row for row, name in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            raise UserError(f"{folder} holds {len(self.ids) - len(self._index)} image ids twice")
        self._forget()

    def _forget(self) -> None:
        self._files: dict[Path, pq.ParquetFile] = {}
        self._cache: OrderedDict[int, pa.Array] = OrderedDict()
        self._cached = 0

    def __getstate__(self) -> dict:
        dropped = {"_files", "_cache", "_cached", "_groups", "_objects"}
        return {name: value for name, value in self.__dict__.items() if name not in dropped}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def shards(self) -> tuple[Shard, ...]:
        """The files in order, for passes over the whole set; they bypass the cache."""
        return self._shards

    def image(self, name: str) -> Image.Image:
        """The RGB image of an id; KeyError if there is none of that id."""
        return images.decode(self.encoded(name), name)

    def encoded(self, name: str) -> bytes:
        """The image of an id as it is stored: JPEG, PNG or another format's bytes."""
        row = self._index[name]
        starts, places = self._groups
        group = bisect_right(starts, row) - 1
        return self._row_group(group, *places[group])[row - starts[group]].as_py()

    def objects(self, name: str) -> tuple[str, ...]:
        """The names of the objects that the image shows; empty where they are not known."""
        return tuple(self._objects[self._index[name]].as_py())

    @cached_property
    def _objects(self) -> pa.Array:
        tables = [read_table(shard.path, ["objects"]) for shard in self._shards]
        return pa.concat_tables(tables)["objects"].combine_chunks()

    @cached_property
    def _groups(self) -> tuple[list[int], list[tuple[Path, int]]]:
        """For each row group: its first row in the whole set, and its place."""
        starts, places, row = [], [], 0
        for shard in self._shards:
            metadata = pq.read_metadata(shard.path)
            for group in range(metadata.num_row_groups):
                starts.append(row)
                places.append((shard.path, group))
                row += metadata.row_group(group).num_rows
        return starts, places

    def _row_group(self, key: int, path: Path, group: int) -> pa.Array:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if path not in self._files:
            self._files[path] = pq.ParquetFile(path)
        table = self._files[path].read_row_group(group, ["image.bytes"], use_threads=False)
        encoded = bytes_of(table)
        self._cache[key] = encoded
        self._cached += encoded.nbytes
        while self._cached > self.cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= dropped.nbytes
        return encoded


def read_triplets(folder: Path) -> list[Triplet]:
    """Read the triplets of a split, in order.

    Raises UserError if they are missing or name images that the split's shards do not hold.
    """
    path = Path(folder) / "triplets.parquet"
    if not path.is_file():
        raise UserError(f"no triplets in {folder}: expected {path.name}")
    rows = read_table(path, TRIPLETS.names).to_pylist()
    triplets = [Triplet(**{name: _frozen(value) for name, value in row.items()}) for row in rows]
    known = ImageShards(folder)
    named = {
        name
        for triplet in triplets
        for name in (triplet.reference, triplet.target, *triplet.near_misses)
    }
    missing = sorted(name for name in named if name not in known)
    if missing:
        raise UserError(
            f"{path} names {len(missing)} images that are not in the shards beside it: "
            + listed(missing)
        )
    return triplets


def read_info(folder: Path) -> dict:
    """Read what info.json says of a split."""
    return files.read_json(Path(folder) / "info.json")


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _read_ids(path: Path) -> tuple[str, ...]:
    return tuple(read_table(path, ["id"])["id"].to_pylist())
