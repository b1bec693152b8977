"""Where the images of a search are: `folder` for a user's files, `shards` for the pipeline's.

They are alternatives behind `base.ImageSource`.
"""

from pathlib import Path

from cir.core.errors import UserError
from cir.datasets.folder import FolderSource
from cir.datasets.shard_source import ShardSource
from cir.datasets.source import ImageSource, Listed, Problem

__all__ = [
    "FolderSource",
    "ImageSource",
    "Listed",
    "Problem",
    "ShardSource",
    "find_source",
    "open_source",
]

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
