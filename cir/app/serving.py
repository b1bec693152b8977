"""Serve the app: load the model, bring the store up to date, and answer until a signal comes."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cir.app import model_process, search_model
from cir.app.application import create_app
from cir.app.calibration import DRAWINGS_ONLY, calibrate, knows_drawings_only
from cir.app.indexing import indexed_store
from cir.app.search_model import SearchModel
from cir.app.service import SearchService
from cir.app.settings import Settings
from cir.app.stores import Store, StoreInfo, open_store, read_info
from cir.app.web import server
from cir.app.web.readiness import LoadedFiles, Readiness
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import say
from cir.datasets.sources import ImageSource, find_source, open_source


def serve(
    listening: socket.socket,
    settings: Settings,
    model_folder: Path,
    tagger: Path | None,
    place: str,
    folder: Path | None = None,
    tags: Path | None = None,
    gallery: Path | None = None,
) -> None:
    """Serve the images of a store over HTTP until SIGINT or SIGTERM.

    Args:
        listening: the socket, bound to its address.
        settings: the limits, the token and the host names of the service.
        model_folder: the folder of the model.
        tagger: the folder of the tagger; None serves without one.
        place: the store, as open_store takes it.
        folder: images to index first; None serves the store as it is.
        tags: a CSV file with the tags of the images in `folder`.
        gallery: images to index if `folder` is None and `place` is an empty folder, or holds this
            gallery already.

    Raises:
        UserError: there is nothing to serve, or model, store or images cannot be used.
    """
    folders = [model_folder] if tagger is None else [model_folder, tagger]
    loaded = LoadedFiles(folders)  # read first, to notice files that change meanwhile
    with model_process.in_own_process(partial(search_model.load, *folders)) as model:
        if folder is None and gallery is not None:
            folder = _gallery_to_index(gallery, Path(place), model.fingerprint())
        with _opened(place, model, model_folder, folder, tags) as (store, source):
            if knows_drawings_only(model, store):
                say(f"note: {DRAWINGS_ONLY}")
            service = SearchService(model, store, source, settings)
            app = create_app(service, settings, Readiness(model, store, loaded, _held(place)))
            address = server.address_of(listening) + settings.base_path.removeprefix("/")
            address += "/" if settings.base_path else ""
            say(f"{store.count():,} images; open {address} (stop with Ctrl-C)")
            if settings.token is not None:
                say(f"the first time, open {address}?token=... with the token")
            try:
                server.serve(app, listening)
            finally:
                service.close()


@contextmanager
def _opened(
    place: str, model: SearchModel, model_folder: Path, folder: Path | None, tags: Path | None
) -> Iterator[tuple[Store, ImageSource]]:
    """Open the store and the source of its images; index `folder` first, if there is one."""
    if folder is not None:
        info = read_info(place)
        follow = info is not None and info.source == f"links:{os.path.realpath(folder)}"
        source = find_source(folder, tags, follow)
        with indexed_store(place, source, model, folder=model_folder) as (store, report):
            if report.indexed or report.moved or report.removed:
                said = f"{report.moved:,} moved, {report.removed:,} removed"
                say(f"{report.indexed:,} indexed, {said}")
            yield store, source
        return
    with open_store(place, None) as store:
        if store.info.fingerprint != model.fingerprint():
            raise UserError(
                f"the store {place} holds vectors of the model {store.info.fingerprint}, not of "
                f"the one in {model_folder}: serve the model that made it (--model), or index "
                "again into another store"
            )
        source = _source_of(store, place)
        calibrate(model, store)
        yield store, source


def _source_of(store: Store, place: str) -> ImageSource:
    try:
        return open_source(store.info.source)
    except UserError as error:
        raise UserError(
            f"the images of the store {place} are gone: {error}; if they lie elsewhere now, say "
            f"where with cir index FOLDER --moved --store {place}"
        ) from None


def _gallery_to_index(gallery: Path, store: Path, fingerprint: str) -> Path | None:
    """Return the gallery if the store is empty or holds the gallery, and None otherwise.

    Removes a store in which another model has indexed the gallery, so that it is made again.
    """
    if not store.is_dir() or not any(store.iterdir()):
        if not gallery.is_dir():
            raise UserError(
                "there is nothing to serve: index a folder of images with "
                "cir index FOLDER, or make the drawn gallery with make repro"
            )
        return gallery
    with open_store(str(store), None) as opened:
        info = opened.info
    if not gallery.is_dir() or info.source != find_source(gallery).name:
        return None
    if info.fingerprint != fingerprint:
        say(f"{store} holds the drawn gallery as an older model saw it: indexing it again")
        _remove(store, fingerprint)
    return gallery


def _remove(store: Path, fingerprint: str) -> None:
    """Remove a store unless it is empty or holds vectors of the model with this fingerprint.

    Another process may have removed the store meanwhile, and may have begun to make it again. The
    folder is renamed first, so that no process sees half a store.
    """
    place = store.resolve() if store.is_symlink() else store
    with files.exclusive(place):
        if not place.is_dir() or not any(place.iterdir()):
            return
        with open_store(str(place), None) as opened:
            if opened.info.fingerprint == fingerprint:
                return
        away = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".old", dir=place.parent))
        place.rename(away / place.name)
    shutil.rmtree(away)


def _held(place: str) -> Callable[[], StoreInfo] | None:
    """Return a function that asks a Qdrant server again which model and source its store has.

    Returns None for a folder: no other process can open it while it is served.
    """
    if not place.startswith(("http://", "https://")):
        return None

    def held() -> StoreInfo:
        with open_store(place, None) as store:
            return store.info

    return held
