"""Keep the vectors of a user's images, and find the images that are nearest to a query.

Contract: `open_store(place, info) -> Store`. `edge` (a folder) and `server` (a Qdrant server) are
alternatives that both implement `base.Store`; `records` defines what goes in and out. A store
never contains vectors of two models or images of two sources.
"""

import os
from pathlib import Path

from cir.app.stores.base import Store
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo, content_id
from cir.core.errors import UserError

__all__ = ["ANY", "Filter", "IndexedImage", "Store", "StoreInfo", "content_id", "open_store"]


def open_store(place: str, info: StoreInfo | None) -> Store:
    """Open a store.

    Args:
        place: a folder, or the http:// or https:// address of a Qdrant server, which may end with
            #COLLECTION. $QDRANT_API_KEY is the key of the server, if it needs one.
        info: the purpose of the store, which is created if it does not exist; None opens only a
            store that exists.

    Raises:
        UserError: the store contains vectors of another model or images of another source, is in
            use by another process, is broken, is not a store, or cannot be reached.
    """
    if not place.startswith(("http://", "https://")):
        if "://" in place:
            raise UserError(
                f"a store must be a folder or begin with http:// or https://; got {place}"
            )
        from cir.app.stores.edge import EdgeStore

        return EdgeStore.open(Path(place), info)
    from cir.app.stores.server import COLLECTION, ServerStore, connect  # this import takes a second

    url, _, collection = place.partition("#")
    client = connect(url, os.environ.get("QDRANT_API_KEY"))
    return ServerStore.open(client, collection or COLLECTION, info, place)
