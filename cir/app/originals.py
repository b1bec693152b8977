"""Images of the index by their id: what the store knows of them, and the files themselves."""

import numpy as np

from cir.app.stores.base import Store
from cir.app.stores.records import IndexedImage, content_id, is_id
from cir.app.web.faults import NotFound, of_the_store
from cir.core.errors import UserError
from cir.datasets.sources import ImageSource


class Originals:
    """The indexed images, for those who know an id and nothing else.

    No path is ever taken from a request: the store says where an image is, the source reads it,
    and its content has to be the one that was indexed.
    """

    def __init__(self, store: Store, source: ImageSource):
        self._store = store
        self._source = source

    def record(self, image_id: str) -> IndexedImage:
        """What the store knows of an image; NotFound for an id that it does not hold."""
        if not is_id(image_id):
            raise NotFound(f"there is no image {image_id[:60]!a}: ids are UUIDs")
        with of_the_store():
            found = self._store.get([image_id]).get(image_id)
        if found is None:
            raise NotFound(f"there is no image {image_id} in the index")
        return found

    def vector(self, image_id: str) -> np.ndarray:
        """The vector [D] of an image, as the store holds it."""
        self.record(image_id)
        with of_the_store():
            return self._store.vectors([image_id])[image_id]

    def read(self, image_id: str) -> tuple[IndexedImage, bytes]:
        """An image's record and its bytes, from the first of its places that still holds them."""
        record = self.record(image_id)
        for path in record.paths:
            try:
                encoded = self._source.read(path)
            except (UserError, OSError, KeyError):
                continue
            if content_id(encoded) == image_id:
                return record, encoded
        raise NotFound(
            f"the image {image_id} was moved, changed or removed since it was indexed: index "
            "again to bring the store up to date"
        )
