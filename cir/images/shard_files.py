"""The files that hold a split: their columns, how they are written, how one is opened.

    images-00000.parquet ...   id, image {bytes, path}, objects (the names shown, if known)
    triplets.parquet           the fields of `cir.core.records.Triplet`
    info.json                  where the split comes from, and its counts

The Parquet schema carries the metadata of Hugging Face `datasets`, whose `load_dataset("parquet")`
therefore shows `image` as an Image column. Image bytes are stored as they came, uncompressed by
Parquet, in row groups of about a megabyte: a row group is what one read brings into memory.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Triplet

ROW_GROUP_BYTES = 1 << 20

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
    """Write a split to `folder`, whole or not at all, replacing what was there.

    `rows` yields (id, encoded image, names of the objects shown) and is consumed as a stream:
    memory holds one row group. Ids are unique, and every image that a triplet names is among
    them. `info` goes to info.json, with the counts of images and triplets added.
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
        path = folder / f"images-{number:05d}.parquet"
        # Images are compressed already; statistics would copy whole images into the footer.
        with pq.ParquetWriter(
            path, IMAGES, compression="none", use_dictionary=False, write_statistics=False
        ) as writer:
            for group in groups:
                for name, _, _ in group:
                    assert name not in ids, f"image id {name} comes twice"
                    ids.add(name)
                writer.write_table(_table(group), row_group_size=len(group))
    return ids


def _grouped(rows: Iterable[Row], rows_per_shard: int) -> Iterator[Iterator[list[Row]]]:
    """Shards of row groups, both lazily: each shard is to be consumed before the next."""
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
    """Read columns of a Parquet file; a broken file or a missing column raises UserError."""
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
    """The encoded images of a table of one row group, as one array of binary values."""
    return pc.struct_field(table["image"].combine_chunks(), "bytes")
