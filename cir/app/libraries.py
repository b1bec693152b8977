"""Name the libraries of a working folder: one store for each folder of images."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cir.app.stores import StoreInfo, read_info
from cir.app.stores.base import place_of
from cir.core.errors import UserError
from cir.core.progress import say

# The names are hidden: a store inside the folder of images is then not indexed with them.
STORE = ".search"
# The drawn test images have a store of their own.
GALLERY_STORE = ".search-gallery"


@dataclass(frozen=True)
class Library:
    """A store to serve, with the model that made it.

    Attributes:
        name: what the page calls it; a part of its address, unless it is the first one.
        place: the store, as open_store takes it.
        model: the folder of the model.
        folder: images to index first; None serves the store as it is.
        tags: a CSV file with the tags of the images in `folder`.
        gallery: images to index if `folder` is None and `place` is an empty folder, or holds this
            gallery already.
    """

    name: str
    place: str
    model: Path
    folder: Path | None = None
    tags: Path | None = None
    gallery: Path | None = None


def stores_here() -> dict[str, StoreInfo]:
    """Return the stores of the current folder with their purposes, the default one first.

    A folder with the name of a store that is none is left out, and said.
    """
    beside = sorted(path.name for path in Path().glob(f"{STORE}-*") if path.is_dir())
    found = {}
    for place in (STORE, *beside):
        try:
            info = read_info(place)
        except UserError as error:
            say(f"note: {error}")
            continue
        if info is not None:
            found[place] = info
    return found


def store_for(source: str, moved: bool = False) -> str:
    """Return the store of the current folder for a source of images, by its name.

    That is the store which holds the source; or else the default one, or a new one named after the
    folder if the default one holds other images. With `moved`, the source lies in a new place, and
    the only store is taken.

    Raises UserError if the images moved and there are several stores.
    """
    stores = stores_here()
    for place, info in stores.items():
        if place_of(info.source) == place_of(source):
            return place
    others = [place for place in stores if place != GALLERY_STORE]
    if moved and len(others) > 1:
        raise UserError(
            f"there are several stores here ({', '.join(others)}): say by --store which of them "
            "holds the images that moved"
        )
    if moved and others:
        return others[0]
    if _vacant(STORE) or (STORE in stores and not _folder_of(stores[STORE].source).exists()):
        return STORE  # a folder that is gone may be this one: opening the store then says so
    place = f"{STORE}-{unused(short_name(source), lambda name: _vacant(f'{STORE}-{name}'))}"
    held = f"the images of {stores[STORE].source}" if STORE in stores else "something else"
    say(f"note: {STORE} holds {held}, so these images have a store of their own: {place}")
    return place


def names_of(places: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Return a name for each store: what follows ".search-", or else the name of its images."""
    names: list[str] = []
    for place, source in zip(places, sources, strict=True):
        own = Path(place).name.removeprefix(f"{STORE}-")
        own = short_name(source) if own == STORE else _plain(own)
        names.append(unused(own, lambda name: name not in names))
    return names


def short_name(source: str) -> str:
    """Return the name of a source's folder, in characters that an address may hold."""
    return _plain(_folder_of(source).name)


def unused(name: str, free: Callable[[str], bool]) -> str:
    """Return the name, or the name with the first number for which `free` is true."""
    number, found = 1, name
    while not free(found):
        number += 1
        found = f"{name}-{number}"
    return found


def _folder_of(source: str) -> Path:
    return Path(source.partition(":")[2])


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "images"


def _vacant(place: str) -> bool:
    folder = Path(place)
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
