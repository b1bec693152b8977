"""Serve the search app: cir serve."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cir.app.settings import Settings, base_path, check_token, host_name, host_names
from cir.commands.index import MODEL, model_of_store
from cir.commands.options import add_models_option, model_folder, require_tags
from cir.core.errors import UserError
from cir.core.progress import say

if TYPE_CHECKING:
    from cir.app.libraries import Library

TOKEN_VARIABLE = "CIR_TOKEN"
# The test images that the pipeline drew are served if nothing was indexed.
GALLERY = Path("data", "retrieval", "test")


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    serving = commands.add_parser("serve", help="search on a page in the browser, or over HTTP")
    about = (
        "a folder, or a Qdrant server, that cir index has filled (repeat it for several); default: "
        "all stores of the current folder, and the drawn gallery if there are none"
    )
    serving.add_argument("--store", action="append", metavar="PATH|URL", help=about)
    about = "index this folder first; without it, the store is served as it is"
    serving.add_argument("--index", type=Path, metavar="FOLDER", help=about)
    about = "index the folders again whenever their files change"
    serving.add_argument("--watch", action="store_true", help=about)
    about = "a CSV file with the columns file,tag, for --index; without it, the tags stay"
    serving.add_argument("--tags", type=Path, metavar="CSV", help=about)
    add_models_option(serving, "that of the store, or else ", model=MODEL, tagger="tagger")
    about = "the address to listen on; the default, %(default)s, is for this machine alone"
    serving.add_argument("--host", default="127.0.0.1", help=about)
    serving.add_argument("--port", type=_port, default=8000, help="default: %(default)s")
    about = (
        f"the secret that clients must send; ${TOKEN_VARIABLE} sets it too, and hides it from "
        "other users of this machine"
    )
    serving.add_argument("--token", help=about)
    about = (
        "a host name under which clients reach the service, such as that of a reverse proxy; "
        "NAME:PORT allows that port alone (repeat it for several)"
    )
    allowed = {"action": "append", "default": [], "metavar": "NAME"}
    serving.add_argument("--allow-host", type=_checked(host_name), **allowed, help=about)
    about = "the path below which a reverse proxy shows the service, such as /photos"
    serving.add_argument(
        "--base-path", type=_checked(base_path), default="", metavar="PATH", help=about
    )
    about = "largest image that can be uploaded, in megabytes; default: %(default)g"
    serving.add_argument("--max-upload", type=_megabytes, default=20.0, metavar="MB", help=about)
    serving.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> str:
    """Serve until SIGINT or SIGTERM, then return a sentence."""
    token = options.token
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None:
        check_token(token)
    if options.tags is not None and options.index is None:
        raise UserError("--tags needs --index, the folder that holds the tagged images")
    require_tags(options.tags)
    libraries, tagger = _libraries(options), _tagger(options)
    from cir.app.web import server, waiting

    with server.listen(options.host, options.port) as listening:
        local = server.is_loopback(listening)
        if not local and token is None:
            say(
                f"warning: everybody who can reach {options.host} can search and see all images: "
                f"set a token with ${TOKEN_VARIABLE}, or listen on 127.0.0.1"
            )
        upload, hosts = round(options.max_upload * 1e6), host_names(options.allow_host, local)
        settings = Settings(
            max_upload_bytes=upload,
            token=token,
            hosts=hosts,
            origins=tuple(options.allow_host),
            base_path=options.base_path,
        )
        with waiting.WaitingRoom(listening, settings) as room:
            say(f"starting; {server.address_of(listening)} tells when it is ready")
            from cir.app.serving import serve  # this import takes seconds

            serve(listening, settings, libraries, tagger, room, options.watch)
    return "stopped"


def _libraries(options: argparse.Namespace) -> "list[Library]":
    """Return what is to be served. A store whose model is gone is left out and said.

    Raises UserError if nothing can be served, or if the model of a named store is gone.
    """
    from cir.app.libraries import Library, names_of

    stores = _stores(options)
    names = names_of(list(stores), list(stores.values()))
    libraries, gone = [], []
    for name, (place, source) in zip(names, stores.items(), strict=True):
        try:
            model = model_of_store(options, place)
        except UserError as error:
            gone.append(error)
            continue
        first = place == next(iter(stores))
        drawn = GALLERY if not options.store and source == _gallery() else None
        indexed = (options.index, options.tags) if first else (None, None)
        libraries.append(Library(name, place, model, *indexed, drawn))
    if gone and (options.store or not libraries):
        raise gone[0]
    for error in gone:
        say(f"note: {error}")
    return libraries


def _stores(options: argparse.Namespace) -> dict[str, str]:
    """Return the named stores, or all that are here, with their sources; the gallery is last."""
    from cir.app.libraries import GALLERY_STORE, store_for, stores_here
    from cir.app.stores import read_info
    from cir.datasets.sources import find_source

    indexed = find_source(options.index).name if options.index is not None else ""
    if options.store:
        found = {place: read_info(place) for place in options.store}
        return {place: info.source if info else indexed for place, info in found.items()}
    here = {place: info.source for place, info in stores_here().items()}
    first = [store_for(indexed)] if indexed else [] if here else [GALLERY_STORE]
    ordered = (*first, *sorted(here, key=lambda place: here[place] == _gallery()))
    return {place: here.get(place, indexed or _gallery()) for place in ordered}


def _gallery() -> str:
    """Return the name of the drawn gallery as a source of images, "gallery" before it is drawn."""
    from cir.datasets.sources import find_source

    return find_source(GALLERY).name if GALLERY.is_dir() else "gallery"


def _tagger(options: argparse.Namespace) -> Path | None:
    """Return the folder of the tagger; say so and return None if none was trained."""
    folder = model_folder(options, "tagger", required=options.tagger is not None)
    if folder.is_dir():
        return folder
    say(
        f"note: there is no tagger in {folder}, which changes in sentences need: train it with "
        "dvc repro train_tagger (about 10 minutes)"
    )
    return None


def _checked(read: Callable[[str], str]) -> Callable[[str], str]:
    """Make a type for argparse of a function that raises ValueError with a sentence."""

    def checked(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


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
