"""Keep the vectors of a user's images, and find the images that are nearest to a query.

Contract: `open_store(place, info) -> Store` and `read_info(place) -> StoreInfo | None`. `edge` (a
folder) and `server` (a Qdrant server) are alternatives that both implement `base.Store`; `records`
defines what goes in and out. A store never contains vectors of two models or images of two sources.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cir.app.stores.base import Store
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo, content_id
from cir.core.errors import UserError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = [
    "ANY",
    "Filter",
    "IndexedImage",
    "Store",
    "StoreInfo",
    "content_id",
    "open_store",
    "read_info",
]


def open_store(place: str, info: StoreInfo | None, moved: bool = False) -> Store:
    """Open a store.

    Args:
        place: a folder, or the http:// or https:// address of a Qdrant server, which may end with
            #COLLECTION. $QDRANT_API_KEY is the key of the server, if it needs one.
        info: the purpose of the store, which is created if it does not exist; None opens only a
            store that exists. If the folder of the model is another one, the store notes it.

    Raises:
        UserError: the store contains vectors of another model or images of another source, is in
            use by another process, is broken, is not a store, or cannot be reached.
    """
    if _is_folder(place):
        from cir.app.stores.edge import EdgeStore

        return EdgeStore.open(Path(place), info, moved)
    from cir.app.stores.server import ServerStore

    return ServerStore.open(*_collection(place), info, place, moved)


def read_info(place: str) -> StoreInfo | None:
    """Return the purpose of the store at a place, or None if there is no store.

    Raises UserError if the place holds something else, is broken, or cannot be reached.
    """
    if _is_folder(place):
        from cir.app.stores import edge

        return edge.read_info(Path(place))
    from cir.app.stores import server

    client, collection = _collection(place)
    try:
        return server.read_info(client, collection, place)
    finally:
        client.close()


def _is_folder(place: str) -> bool:
    if place.startswith(("http://", "https://")):
        return False
    if "://" in place:
        raise UserError(f"a store must be a folder or begin with http:// or https://; got {place}")
    return True


def _collection(place: str) -> "tuple[QdrantClient, str]":
    from cir.app.stores.server import COLLECTION, connect  # this import takes a second

    url, _, collection = place.partition("#")
    return connect(url, os.environ.get("QDRANT_API_KEY")), collection or COLLECTION
