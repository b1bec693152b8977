"""Make the images of a folder searchable: cir index."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cir.commands.models import add_models_option, model_folder
from cir.core.errors import UserError
from cir.core.progress import say

if TYPE_CHECKING:
    from cir.app.indexing import IndexReport

# Hidden, so that a store in the folder of the images is none of them.
DEFAULT_STORE = ".search"

# Of the pipeline's encoders, the one fine-tuned for text search knows both edits and sentences.
MODELS = {"encoder": "text_search", "tagger": "tagger"}


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    indexing = commands.add_parser("index", help="make the images of a folder searchable")
    about = "images at any depth (JPG, PNG, BMP, WebP, GIF), or shards of the pipeline's data"
    indexing.add_argument("folder", type=Path, metavar="FOLDER", help=about)
    add_store_option(indexing)
    add_models_option(indexing, **MODELS)
    about = (
        "a CSV file with the columns file,tag: what to call the images, in place of all tags "
        "before; without it tags stay as they are"
    )
    indexing.add_argument("--tags", type=Path, metavar="CSV", help=about)
    about = "images encoded at once; default: %(default)s"
    indexing.add_argument("--batch-size", type=_count, default=64, metavar="N", help=about)
    about = "empty the store if the folder has no images (otherwise that is an error)"
    indexing.add_argument("--allow-empty", action="store_true", help=about)
    indexing.set_defaults(run=_index)


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """Add --store: a folder, or the address of a Qdrant server."""
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        metavar="PATH|URL",
        help="a folder, or a Qdrant server (http://localhost:6333, with #COLLECTION if there are "
        "several); default: %(default)s",
    )


def require_tags(table: Path) -> None:
    """Raise UserError unless the file that --tags names is there."""
    if not table.is_file():
        raise UserError(f"there is no file of tags {table}")


def index_folder(
    folder: Path,
    store: str,
    encoder: Path,
    tagger: Path,
    tags: Path | None = None,
    batch_size: int = 64,
    allow_empty: bool = False,
) -> str:
    """Bring the store up to date with a folder (see cir.app.indexing.index); name what is
    unreadable.

    Returns:
        A sentence on what was done.

    Raises:
        UserError: no such folder, models or store, a store for something else, an empty folder.
    """
    from cir.app import search_model  # it takes seconds to import
    from cir.app.indexing import index
    from cir.app.stores import StoreInfo, open_store
    from cir.datasets.sources import find_source

    source = find_source(folder, tags)
    model = search_model.load(encoder, tagger)
    info = StoreInfo(model.fingerprint(), model.dim, source.name)
    with open_store(store, info) as opened:
        report = index(source, model, opened, batch_size, allow_empty=allow_empty)
        total = opened.count()
    for sentence in report.unreadable:
        say(f"not indexed: {sentence}")
    return f"{store}: {_said(report)}; {total:,} images can be searched"


def _said(report: "IndexReport") -> str:
    text = (
        f"{report.indexed:,} indexed, {report.unchanged:,} unchanged, {report.moved:,} moved, "
        f"{report.removed:,} removed"
    )
    return f"{text}, {len(report.unreadable):,} unreadable" if report.unreadable else text


def _index(options: argparse.Namespace) -> str:
    if options.tags is not None:
        require_tags(options.tags)
    return index_folder(
        options.folder,
        options.store,
        model_folder(options, "encoder"),
        model_folder(options, "tagger"),
        options.tags,
        options.batch_size,
        options.allow_empty,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 upwards, got "{text}"')
    return int(text)
