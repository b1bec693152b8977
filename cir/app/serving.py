"""Serve the app: load the model, bring the store up to date, and answer until a signal comes."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.types import ASGIApp

from cir.app import model_process, search_model
from cir.app.application import create_app
from cir.app.calibration import DRAWINGS_ONLY, calibrate, knows_drawings_only
from cir.app.indexing import Watch, indexed_store
from cir.app.libraries import Library
from cir.app.search_model import SearchModel
from cir.app.service import SearchService
from cir.app.settings import Settings
from cir.app.stores import Store, StoreInfo, open_store, read_info
from cir.app.web import server
from cir.app.web.addresses import LIBRARIES, BasePath, Libraries, links_to
from cir.app.web.readiness import LoadedFiles, Readiness
from cir.app.web.waiting import WaitingRoom
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import say
from cir.datasets.sources import ImageSource, find_source, open_source

T = TypeVar("T")


def serve(
    listening: socket.socket,
    settings: Settings,
    libraries: Sequence[Library],
    tagger: Path | None,
    waiting: WaitingRoom,
    follow: bool = False,
) -> None:
    """Serve libraries over HTTP until SIGINT or SIGTERM, the first one at the main address.

    Args:
        listening: the socket, bound to its address.
        settings: the limits, the token and the host names of the service.
        libraries: what is served. Of several, those that fail are left out and said.
        tagger: the folder of the tagger; None serves without one.
        waiting: answers until the service is ready.
        follow: index the folders again whenever they change.

    Raises:
        UserError: there is nothing to serve, or model, store or images cannot be used.
    """
    with ExitStack() as stack:
        models = _models(stack, libraries, tagger, waiting)

        def open_one(library: Library) -> _Opened:
            return _open(stack, library, *models[library.model], waiting)

        opened = _each(libraries, open_one)
        app = _app(stack, opened, settings, follow)
        address = server.address_of(listening) + settings.base_path.removeprefix("/")
        address += "/" if settings.base_path else ""
        counts = [f"{one.store.count():,} images" for one in opened]
        if len(opened) > 1:
            counts = [f"{one.library.name}: {n}" for one, n in zip(opened, counts, strict=True)]
        waiting.close()  # first, so that whoever reads the next line is not told to wait
        say(f"{', '.join(counts)}; open {address} (stop with Ctrl-C)")
        if settings.token is not None:
            say(f"the first time, open {address}?token=... with the token")
        server.serve(app, listening)


@dataclass(frozen=True)
class _Opened:
    """A library that is ready to be served."""

    library: Library
    model: SearchModel
    loaded: LoadedFiles
    store: Store
    source: ImageSource


def _models(
    stack: ExitStack, libraries: Sequence[Library], tagger: Path | None, waiting: WaitingRoom
) -> dict[Path, tuple[SearchModel, LoadedFiles]]:
    """Load each model once. All are loaded, and forked, before the stores start threads."""
    models = {}
    for folder in dict.fromkeys(library.model for library in libraries):
        waiting.tell(f"loading the model {folder.name}")
        folders = [folder] if tagger is None else [folder, tagger]
        loaded = LoadedFiles(folders)  # read first, to notice files that change meanwhile
        load = model_process.in_own_process(partial(search_model.load, *folders))
        models[folder] = stack.enter_context(load), loaded
    return models


def _each(libraries: Sequence[Library], use: Callable[[Library], T]) -> list[T]:
    """Return what `use` makes of each library; say which failed, or raise if all did."""
    made, failed = [], []
    for library in libraries:
        try:
            made.append(use(library))
        except UserError as error:
            failed.append(error)
    if not made:
        raise failed[0]
    for error in failed:
        say(f"note: not served: {error}")
    return made


def _open(
    stack: ExitStack,
    library: Library,
    model: SearchModel,
    loaded: LoadedFiles,
    waiting: WaitingRoom,
) -> _Opened:
    """Open a library; index its folder first, if there is one."""

    def watch(looked_at: int, total: int) -> None:
        waiting.tell(f"indexing {library.name}: {looked_at:,} of {total:,} files")

    waiting.tell(f"opening the store {library.place}")
    folder, place = library.folder, library.place
    if folder is None and library.gallery is not None:
        folder = _gallery_to_index(library.gallery, Path(place), model.fingerprint())
    how = place, model, library.model, folder, library.tags, watch
    store, source = stack.enter_context(_store_and_source(*how))
    if knows_drawings_only(model, store):
        say(f"note: {DRAWINGS_ONLY}")
    return _Opened(library, model, loaded, store, source)


def _app(stack: ExitStack, opened: Sequence[_Opened], settings: Settings, follow: bool) -> ASGIApp:
    """Build the app of the first library, with the others below `libraries/NAME/`."""
    apps: dict[str, ASGIApp] = {}
    names = [one.library.name for one in opened]
    for one in opened:
        below = f"{settings.base_path}/{LIBRARIES}/{one.library.name}" if apps else None
        own = settings if below is None else replace(settings, base_path=below)
        service = SearchService(one.model, one.store, one.source, own)
        stack.callback(service.close)
        if follow:
            service.reindexing.follow()
        readiness = Readiness(one.model, one.store, one.loaded, _held(one.library.place))
        links = links_to(names, one.library.name) if len(names) > 1 else ()
        apps[one.library.name] = create_app(service, own, readiness, links)
    first, *others = apps
    if not others:
        return apps[first]
    app = Libraries(apps[first], {name: apps[name] for name in others})
    return BasePath(app, settings.base_path) if settings.base_path else app


@contextmanager
def _store_and_source(
    place: str,
    model: SearchModel,
    model_folder: Path,
    folder: Path | None,
    tags: Path | None,
    watch: Watch = lambda looked_at, total: None,
) -> Iterator[tuple[Store, ImageSource]]:
    """Open the store and the source of its images; index `folder` first, if there is one."""
    if folder is not None:
        info = read_info(place)
        follow = info is not None and info.source == f"links:{os.path.realpath(folder)}"
        source = find_source(folder, tags, follow)
        how = {"folder": model_folder, "watch": watch}
        with indexed_store(place, source, model, **how) as (store, report):
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
