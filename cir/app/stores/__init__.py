"""Where the vectors of a user's images are kept and searched: in a folder, or in a server.

`edge` and `server` are alternatives behind `base.Store`; `records` are the values that go in and
out, `payload` the form in which both keep them.
"""

import os
from pathlib import Path

from cir.app.stores.base import Store
from cir.app.stores.records import (
    ANY,
    Filter,
    Hit,
    IndexedImage,
    StoreInfo,
    content_id,
    original_text,
    safe_text,
)
from cir.core.errors import UserError

__all__ = [
    "ANY",
    "Filter",
    "Hit",
    "IndexedImage",
    "Store",
    "StoreInfo",
    "content_id",
    "open_store",
    "original_text",
    "safe_text",
]


def open_store(place: str, info: StoreInfo | None) -> Store:
    """Open a store, by the address of a Qdrant server or by the name of a folder.

    An address begins with http:// or https:// and may end with #COLLECTION; a server that wants a
    key gets $QDRANT_API_KEY. With `info` the store is made if it is not there; without, it has to
    be there.

    Raises:
        UserError: the store holds vectors of another model or images of another source, it is in
            use by another process, broken, no store at all, or cannot be reached.
    """
    if not place.startswith(("http://", "https://")):
        if "://" in place:
            raise UserError(f"a store is a folder or begins with http:// or https://, not {place}")
        from cir.app.stores.edge import EdgeStore

        return EdgeStore.open(Path(place), info)
    from cir.app.stores.server import (  # it takes a second to import
        COLLECTION,
        ServerStore,
        connect,
    )

    url, _, collection = place.partition("#")
    client = connect(url, os.environ.get("QDRANT_API_KEY"))
    return ServerStore.open(client, collection or COLLECTION, info, place)
