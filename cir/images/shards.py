"""The files of a split: written once, read by id or as a stream.

    images-00000.parquet ...   id, image {bytes, path}, objects (the names shown, if known)
    triplets.parquet           the fields of `cir.core.records.Triplet`
    info.json                  the source of the split, and its counts

The Parquet schema carries the metadata of Hugging Face `datasets`, so `load_dataset("parquet")`
shows `image` as an Image column. Image bytes are stored unchanged, and Parquet does not compress
them. A read loads one row group, about a megabyte.
"""

import json
import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.images import decoding

ROW_GROUP_BYTES = 1 << 20
CACHE_BYTES = 1 << 30

_TEXT = {"dtype": "string", "_type": "Value"}
_FEATURES = {
    "id": _TEXT,
    "image": {"_type": "Image"},
    "objects": {"feature": _TEXT, "_type": "List"},
}
IMAGES = pa.schema(
    {
        "id": pa.string(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "objects": pa.list_(pa.string()),
    },
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
TRIPLETS = pa.schema(
    {
        "id": pa.string(),
        "reference": pa.string(),
        "text": pa.string(),
        "target": pa.string(),
        "add": pa.list_(pa.string()),
        "remove": pa.list_(pa.string()),
        "near_misses": pa.list_(pa.string()),
        "novel": pa.bool_(),
    }
)

Row = tuple[str, bytes, Sequence[str]]


def write(
    folder: Path,
    rows: Iterable[Row],
    triplets: Sequence[Triplet],
    info: dict,
    rows_per_shard: int = 5000,
) -> None:
    """Write a split to `folder`, whole or not at all; an old split there is replaced.

    Args:
        rows: (id, encoded image, names of the objects shown) of every image, with unique ids. They
            are read as a stream: memory holds one row group.
        triplets: they may name only images of `rows`.
        info: content of info.json; the counts of images and triplets are added.
        rows_per_shard: images per file.
    """
    assert rows_per_shard > 0
    with files.whole_folder(folder) as tmp:
        ids = _write_images(tmp, rows, rows_per_shard)
        for triplet in triplets:
            named = {triplet.reference, triplet.target, *triplet.near_misses}
            assert named <= ids, f"triplet {triplet.id} names images that were not written"
        columns = {
            name: [_plain(getattr(triplet, name)) for triplet in triplets]
            for name in TRIPLETS.names
        }
        pq.write_table(pa.table(columns, schema=TRIPLETS), tmp / "triplets.parquet")
        counts = {"images": len(ids), "triplets": len(triplets)}
        files.write_json(tmp / "info.json", {**info, **counts})


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _write_images(folder: Path, rows: Iterable[Row], rows_per_shard: int) -> set[str]:
    ids: set[str] = set()
    for number, groups in enumerate(_grouped(rows, rows_per_shard)):
        _write_file(folder / file_name(number), groups, ids)
    return ids


def file_name(number: int) -> str:
    """Return the name of a file of images by its number in the split."""
    return f"images-{number:05d}.parquet"


def write_file(path: Path, rows: Iterable[Row]) -> int:
    """Write one file of images with unique ids, whole or not at all; return their number.

    Memory holds one row group.
    """
    ids: set[str] = set()
    with files.whole_file(path) as unfinished:
        _write_file(unfinished, next(_grouped(rows, sys.maxsize)), ids)
    return len(ids)


def _write_file(path: Path, groups: Iterable[list[Row]], ids: set[str]) -> None:
    """Write groups of rows, and add their ids to those of the other files."""
    # The images are compressed already, and statistics would copy whole images to the footer.
    with pq.ParquetWriter(
        path, IMAGES, compression="none", use_dictionary=False, write_statistics=False
    ) as writer:
        for group in groups:
            for name, _, _ in group:
                assert name not in ids, f"image id {name} comes twice"
                ids.add(name)
            writer.write_table(_table(group), row_group_size=len(group))


def _grouped(rows: Iterable[Row], rows_per_shard: int) -> Iterator[Iterator[list[Row]]]:
    """Yield shards of row groups, both lazily; the caller must exhaust a shard before the next."""
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        yield iter([])  # a split without images is still a readable split

    def shard() -> Iterator[list[Row]]:
        nonlocal first
        group, size = [], 0
        for taken in range(1, rows_per_shard + 1):
            group.append(first)
            size += len(first[1])
            first = next(waiting, None)
            if first is None or taken == rows_per_shard or size >= ROW_GROUP_BYTES:
                yield group
                group, size = [], 0
            if first is None:
                return

    while first is not None:
        yield shard()


def _table(group: list[Row]) -> pa.Table:
    columns = {
        "id": [name for name, _, _ in group],
        "image": [{"bytes": encoded, "path": name} for name, encoded, _ in group],
        "objects": [list(objects) for _, _, objects in group],
    }
    return pa.table(columns, schema=IMAGES)


def read_table(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of a Parquet file; raises UserError for a broken file or a missing column."""
    try:
        table = pq.ParquetFile(path).read(columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as Parquet: {reason}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}")
    return table


def bytes_of(table: pa.Table) -> pa.Array:
    """Return the encoded images of one row group's table as one binary array."""
    return pc.struct_field(table["image"].combine_chunks(), "bytes")


@dataclass(frozen=True)
class Shard:
    """One file of images: `ids` in order, and the images as a stream."""

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
            yield name, decoding.decode(encoded, name)


class ImageShards:
    """The images of a split: `ids` in order, any image by its id, or shard by shard.

    A cache keeps up to `cache_bytes` of row groups, least recently used out first. A small split
    is soon served from memory; in a large one every image costs the read of a row group. Instances
    can be pickled and survive a fork, so the worker processes of a DataLoader can share one.

    Raises UserError if the folder has no shards, or a file is not a Parquet file of images.
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
        """Return the files in order, for passes over all images; they bypass the cache."""
        return self._shards

    def image(self, name: str) -> Image.Image:
        """Return the RGB image of an id; raises KeyError for an unknown id."""
        return decoding.decode(self.encoded(name), name)

    def encoded(self, name: str) -> bytes:
        """Return the stored bytes of an image: JPEG, PNG or another format."""
        row = self._index[name]
        starts, places = self._groups
        group = bisect_right(starts, row) - 1
        return self._row_group(group, *places[group])[row - starts[group]].as_py()

    def objects(self, name: str) -> tuple[str, ...]:
        """Return the names of the objects that the image shows; empty if they are unknown."""
        return tuple(self._objects[self._index[name]].as_py())

    @cached_property
    def _objects(self) -> pa.Array:
        tables = [read_table(shard.path, ["objects"]) for shard in self._shards]
        return pa.concat_tables(tables)["objects"].combine_chunks()

    @cached_property
    def _groups(self) -> tuple[list[int], list[tuple[Path, int]]]:
        """Return the first row of each row group in the whole split, and its file and number."""
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

    Raises UserError if the file is missing or names images that the shards do not hold.
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
    """Read the info.json of a split."""
    return files.read_json(Path(folder) / "info.json")


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _read_ids(path: Path) -> tuple[str, ...]:
    return tuple(read_table(path, ["id"])["id"].to_pylist())
