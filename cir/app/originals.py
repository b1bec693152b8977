"""Read the indexed images by id, and make their thumbnails."""

from collections import OrderedDict
from threading import Lock

import numpy as np

from cir.app.stores.base import Store
from cir.app.stores.records import IndexedImage, content_id, is_id
from cir.app.web import uploads
from cir.app.web.faults import NotFound, of_the_store
from cir.core.errors import UserError
from cir.datasets.sources import ImageSource
from cir.images import decoding as images

SIZES = (64, 128, 256, 512, 1024)
_QUALITY = 85


class Originals:
    """Reads the indexed images by id.

    A request never gives a path: the store gives the paths of an image, the source reads the
    file, and the content must be the one that was indexed.
    """

    def __init__(self, store: Store, source: ImageSource):
        self._store = store
        self.source = source

    def record(self, image_id: str) -> IndexedImage:
        """Return the record of an image; raise NotFound if the store does not contain the id."""
        if not is_id(image_id):
            raise NotFound(f"there is no image {image_id[:60]!a}: an id must be a UUID")
        with of_the_store():
            found = self._store.get([image_id]).get(image_id)
        if found is None:
            raise NotFound(f"there is no image {image_id} in the index")
        return found

    def vector(self, image_id: str) -> np.ndarray:
        """Return the vector [D] of an image from the store."""
        self.record(image_id)
        with of_the_store():
            return self._store.vectors([image_id])[image_id]

    def read(self, image_id: str) -> tuple[IndexedImage, bytes]:
        """Return an image's record and bytes, from its first path that still has the content."""
        record = self.record(image_id)
        for path in record.paths:
            try:
                encoded = self.source.read(path)
            except (UserError, OSError, KeyError):
                continue
            if content_id(encoded) == image_id:
                return record, encoded
        raise NotFound(
            f"the image {image_id} was moved, changed or removed since it was indexed: "
            "index again to update the store"
        )


class Thumbnails:
    """Makes thumbnails and keeps them in memory until others need the place.

    A thumbnail contains only the pixels of a file, not its metadata.

    Args:
        originals: reads the images.
        max_pixels: images with more pixels have no thumbnail.
        max_bytes: the memory for thumbnails; the ones that were unused longest leave first.
    """

    def __init__(self, originals: Originals, max_pixels: int, max_bytes: int):
        self._originals = originals
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._made: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, image_id: str, size: int) -> bytes:
        """Return a JPEG whose longer side has at most `size` pixels, rounded up to one of SIZES.

        Raises NotFound, or the errors of `cir.app.web.uploads.decode`.
        """
        side = next((side for side in SIZES if side >= size), SIZES[-1])
        key = image_id, side
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        record, encoded = self._originals.read(image_id)
        decoded = uploads.decode(encoded, self._max_pixels, record.paths[0], least_side=2 * side)
        picture = images.fit(decoded, side)
        picture.info.clear()  # Pillow would copy the comment of a JPEG
        made = images.encode(picture, _QUALITY)
        with self._lock:
            self._bytes += len(made) - len(self._made.pop(key, b""))
            self._made[key] = made
            while self._bytes > self._max_bytes:
                _, oldest = self._made.popitem(last=False)
                self._bytes -= len(oldest)
        return made
