"""Serve the search app: cir serve."""

import argparse
import os
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cir.commands.index import DEFAULT_STORE, MODELS, require_tags
from cir.commands.models import add_models_option, model_folder
from cir.core.errors import UserError
from cir.core.progress import say

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from cir.app.search_model import SearchModel
    from cir.app.settings import Settings
    from cir.app.stores import Store, StoreInfo
    from cir.app.web.readiness import LoadedFiles
    from cir.datasets.sources import ImageSource

TOKEN_VARIABLE = "CIR_TOKEN"
# What is served where nothing was indexed: the test images that the pipeline drew.
GALLERY = Path("data", "retrieval", "test")


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    serving = commands.add_parser("serve", help="search on a page in the browser, or over HTTP")
    about = (
        "a folder, or a Qdrant server, that cir index has filled; default: "
        f"{DEFAULT_STORE}, and the drawn gallery where there is none"
    )
    serving.add_argument("--store", metavar="PATH|URL", help=about)
    about = "bring the store up to date with this folder first, in place of the store's own"
    serving.add_argument("--index", type=Path, metavar="FOLDER", help=about)
    about = "a CSV file with the columns file,tag, for --index; without it tags stay as they are"
    serving.add_argument("--tags", type=Path, metavar="CSV", help=about)
    add_models_option(serving, **MODELS)
    about = "the address to listen on; the default, %(default)s, is for this machine alone"
    serving.add_argument("--host", default="127.0.0.1", help=about)
    serving.add_argument("--port", type=_port, default=8000, help="default: %(default)s")
    about = (
        f"what clients have to know; ${TOKEN_VARIABLE} does the same and is not seen by other "
        "users of this machine"
    )
    serving.add_argument("--token", help=about)
    about = "a host name under which the service may be reached (several: repeat it)"
    serving.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=about)
    about = "largest image that can be uploaded, in megabytes; default: %(default)g"
    serving.add_argument("--max-upload", type=_megabytes, default=20.0, metavar="MB", help=about)
    serving.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> str:
    """Serve until SIGINT or SIGTERM; returns a sentence then."""
    token = _token(options.token)
    if options.tags is not None:
        if options.index is None:
            raise UserError("--tags are those of a folder to index: give it with --index")
        require_tags(options.tags)
    encoder, tagger = (model_folder(options, name, required=True) for name in MODELS)
    from cir.app.web import server  # seconds, with what follows

    with server.listen(options.host, options.port) as listening:
        local = server.is_loopback(listening)
        if not local and token is None:
            say(
                f"warning: everybody who can reach {options.host} can search and see all images: "
                f"set a token with ${TOKEN_VARIABLE}, or listen on 127.0.0.1"
            )
        from cir.app import search_model
        from cir.app.application import Settings
        from cir.app.model_process import in_own_process
        from cir.app.web.readiness import LoadedFiles

        settings = Settings(
            max_upload_bytes=round(options.max_upload * 1e6),
            token=token,
            hosts=_hosts(options, local),
        )
        loaded = LoadedFiles([encoder, tagger])  # before the model, to be sure
        load = partial(search_model.load, encoder, tagger)
        with in_own_process(load) as model, _opened(options, model) as (store, source):
            _answer(listening, settings, model, store, source, loaded, _held(options.store))
    return "stopped"


def _answer(
    listening: "socket.socket",
    settings: "Settings",
    model: "SearchModel",
    store: "Store",
    source: "ImageSource",
    loaded: "LoadedFiles",
    held: "Callable[[], StoreInfo] | None",
) -> None:
    """Tell where it is, and answer requests until it is stopped."""
    from cir.app.application import create_app
    from cir.app.service import SearchService
    from cir.app.web import server
    from cir.app.web.readiness import Readiness

    service = SearchService(model, store, source, settings)
    app = create_app(service, settings, Readiness(model, store, loaded, held))
    address = server.address_of(listening)
    say(f"{store.count():,} images; open {address} (stop with Ctrl-C)")
    if settings.token is not None:
        say(f"the first time, open {address}?token=... with the token")
    try:
        server.serve(app, listening)
    finally:
        service.close()


@contextmanager
def _opened(
    options: argparse.Namespace, model: "SearchModel"
) -> "Iterator[tuple[Store, ImageSource]]":
    """Store and source, the store brought up to date where that is asked for."""
    from cir.app.stores import StoreInfo, open_store
    from cir.datasets.sources import find_source, open_source

    place = options.store or DEFAULT_STORE
    folder = options.index or _default_folder(options, model.fingerprint())
    if folder is None:
        store = open_store(place, None)
    else:
        source = find_source(folder, options.tags)
        store = open_store(place, StoreInfo(model.fingerprint(), model.dim, source.name))
    with store:
        if folder is not None:
            _index(source, model, store)
        elif store.info.fingerprint != model.fingerprint():
            raise _other_model(place, store.info.fingerprint, model_folder(options, "encoder"))
        else:
            source = open_source(store.info.source)
        yield store, source


def _default_folder(options: argparse.Namespace, fingerprint: str) -> Path | None:
    """The drawn gallery, where no other images were asked for or indexed before.

    Its store is a copy of what the pipeline made: one of an older model is made again.
    """
    from cir.app.stores import open_store
    from cir.datasets.sources import find_source

    store = Path(DEFAULT_STORE)
    if options.store is not None:
        return None
    if not store.is_dir() or not any(store.iterdir()):
        if not GALLERY.is_dir():
            raise UserError(
                "there is nothing to serve: index a folder of images with "
                "cir index FOLDER, or make the drawn gallery with make repro"
            )
        return GALLERY
    with open_store(DEFAULT_STORE, None) as opened:
        info = opened.info
    if not GALLERY.is_dir() or info.source != find_source(GALLERY).name:
        return None
    if info.fingerprint != fingerprint:
        say(f"{store} holds the drawn gallery as an older model saw it: indexing it again")
        _remove(store, fingerprint)
    return GALLERY


def _remove(store: Path, fingerprint: str) -> None:
    """Remove a store of another model, all at once for others who look at it.

    Another process may have done so by now, and may have begun to make it again.
    """
    from cir.app.stores import open_store
    from cir.core import files

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


def _index(source: "ImageSource", model: "SearchModel", store: "Store") -> None:
    from cir.app.indexing import index

    report = index(source, model, store)
    for sentence in report.unreadable:
        say(f"not indexed: {sentence}")
    if report.indexed or report.moved or report.removed:
        say(f"{report.indexed:,} indexed, {report.moved:,} moved, {report.removed:,} removed")


def _other_model(place: str, held: str, encoder: Path) -> UserError:
    return UserError(
        f"the store {place} holds vectors of the model {held}, not of the one in {encoder}: serve "
        "the encoder that made it (--encoder), or index again into another store"
    )


def _held(place: str | None) -> "Callable[[], StoreInfo] | None":
    """How to ask a server what its store is for; None for a folder, which only we can open."""
    if place is None or not place.startswith(("http://", "https://")):
        return None
    from cir.app.stores import open_store

    def held() -> "StoreInfo":
        with open_store(place, None) as store:
            return store.info

    return held


def _hosts(options: argparse.Namespace, local: bool) -> tuple[str, ...]:
    """The host names to answer to: all, if it is not for this machine alone and none is given.

    Those of loopback are always among them: a container's own check of its health asks there.
    """
    from cir.app.settings import LOOPBACK

    if not local and not options.allow_host:
        return ()
    return (*LOOPBACK, *(name.lower() for name in options.allow_host))


def _token(given: str | None) -> str | None:
    token = os.environ.get(TOKEN_VARIABLE) if given is None else given
    if token is None or (given is None and not token):
        return None
    if len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            "a token needs at least 8 characters, letters, digits and signs of ASCII without spaces"
        )
    return token


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to 65535, got "{text}"')
    return int(text)


def _megabytes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f'expected megabytes, up to 1000, got "{text}"')
    return number
