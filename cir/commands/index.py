"""Make the images of a folder searchable: cir index."""

import argparse
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cir.commands.options import (
    add_models_option,
    count,
    model_folder,
    models_folder,
    require_tags,
)
from cir.core.errors import UserError
from cir.core.progress import say
from cir.retrieval.models import catalogue

if TYPE_CHECKING:
    from cir.app.indexing import IndexReport
    from cir.datasets.sources import ImageSource

# Of the pipeline's models, the one fine-tuned for text search knows both edits and sentences.
MODEL = "text_search"


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    indexing = commands.add_parser("index", help="make the images of a folder searchable")
    about = (
        "images at any depth (JPG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000), or shards of the "
        "pipeline's data"
    )
    indexing.add_argument("folder", type=Path, metavar="FOLDER", help=about)
    about = (
        "a folder, or a Qdrant server (http://localhost:6333, with #COLLECTION if there are "
        "several; https:// without a port is port 443); default: .search in the current folder, or "
        ".search-NAME if that holds another folder's images"
    )
    indexing.add_argument("--store", metavar="PATH|URL", help=about)
    add_models_option(indexing, "that of the store, or else ", model=MODEL)
    about = (
        "a CSV file with the columns file,tag, which replaces all earlier tags; without it, the "
        "tags stay as they are"
    )
    indexing.add_argument("--tags", type=Path, metavar="CSV", help=about)
    about = "how many images the model encodes at once; default: what is fastest for its size"
    indexing.add_argument("--batch-size", type=count, metavar="N", help=about)
    about = "empty the store if the folder has no images (without this, that is an error)"
    indexing.add_argument("--allow-empty", action="store_true", help=about)
    about = (
        "the folder that was indexed lies at FOLDER now: the store notes its new place, and images "
        "that it has are not encoded again (without this, another folder is an error)"
    )
    indexing.add_argument("--moved", action="store_true", help=about)
    about = "also follow links that lead out of the folder, as those into a cache of DVC do"
    indexing.add_argument("--follow-links", action="store_true", help=about)
    about = (
        "go on after the first time, and index again whenever the files change, until Ctrl-C; "
        "while the store is served, take cir serve --watch"
    )
    indexing.add_argument("--watch", action="store_true", help=about)
    indexing.set_defaults(run=_index)


def _index(options: argparse.Namespace) -> str:
    """Bring the store up to date with the folder, and say what was done."""
    require_tags(options.tags)
    from cir.app.libraries import store_for
    from cir.datasets.sources import find_source

    source = find_source(options.folder, options.tags, options.follow_links)
    place = options.store or store_for(source.name, options.moved)
    folder = model_of_store(options, place)
    from cir.app import search_model  # these imports take seconds
    from cir.app.calibration import DRAWINGS_ONLY, knows_drawings_only, measured_recall
    from cir.app.indexing import indexed_store

    model = search_model.load(folder)
    how = options.batch_size, options.allow_empty, folder, options.moved

    def index() -> str:
        with indexed_store(place, source, model, *how) as (store, report):
            total, recall = store.count(), measured_recall(store)
            if knows_drawings_only(model, store):
                say(f"note: {DRAWINGS_ONLY}")
        found = f"{place}: {_said(report)}; {total:,} images can be searched"
        return f"{found}; {recall}" if recall else found

    return _watched(options, index) if options.watch else index()


def _watched(options: argparse.Namespace, index: Callable[[], str]) -> str:
    """Index now and whenever the files change, and say each time what was done."""
    from cir.app.indexing import changes
    from cir.datasets.sources import find_source

    def source() -> "ImageSource":
        return find_source(options.folder, None, options.follow_links)

    done = 0
    try:
        for _ in changes(source, Event()):
            try:
                say(index())
            except UserError as error:
                if not done:
                    raise
                say(f"not indexed: {error}")
            done += 1
            if done == 1:
                say(f"watching {options.folder} (stop with Ctrl-C)")
    except KeyboardInterrupt:
        pass
    return f"stopped watching after {done} runs"


def model_of_store(options: argparse.Namespace, place: str) -> Path:
    """Return the folder of --model, or else of the model that made the store, or else of MODEL.

    Raises UserError if the folder is not there.
    """
    from cir.app.stores import read_info

    info = None if options.model else read_info(place)
    if info is None or not info.model:
        return model_folder(options, "model", required=True)
    made_with = Path(info.model)
    here = models_folder(options) / made_with.name
    for folder in (here, made_with) if options.models else (made_with, here):
        if folder.is_dir():
            return folder
    mend = "index the images again into another store (--store)"
    if made_with.name in catalogue.PRESETS:
        mend = f"get it again with cir models get {made_with.name}"
    raise UserError(
        f"the store {place} was made with the model in {made_with}, which is gone: {mend}, or name "
        "its new folder with --model"
    )


def _said(report: "IndexReport") -> str:
    text = (
        f"{report.indexed:,} indexed, {report.unchanged:,} unchanged, {report.moved:,} moved, "
        f"{report.removed:,} removed"
    )
    return f"{text}, {len(report.unreadable):,} unreadable" if report.unreadable else text
