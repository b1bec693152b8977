"""Small pictures of the indexed images: always newly made JPEG, kept in memory."""

from collections import OrderedDict
from io import BytesIO
from threading import Lock

from PIL import Image, ImageOps

from cir.app.originals import Originals
from cir.app.web import uploads
from cir.images import decoding as images

SIZES = (64, 128, 256, 512, 1024)
_QUALITY = 85


class Thumbnails:
    """Thumbnails by id and size; the longest unused leave first.

    Nothing of a file but its pixels goes out: what else may hide in it is left behind.

    Args:
        originals: where the images are.
        max_pixels: larger images have no thumbnail.
        max_bytes: of thumbnails in memory.
    """

    def __init__(self, originals: Originals, max_pixels: int, max_bytes: int):
        self._originals = originals
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._made: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, image_id: str, size: int) -> bytes:
        """The JPEG of an image, its longer side at most the next of SIZES that is not below `size`.

        Raises NotFound, or the errors of `cir.app.web.uploads.decode`.
        """
        side = next((side for side in SIZES if side >= size), SIZES[-1])
        key = image_id, side
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        record, encoded = self._originals.read(image_id)
        picture = images.fit(reduced(encoded, side, self._max_pixels, record.paths[0]), side)
        picture.info.clear()  # Pillow would write a JPEG's comment out again
        made = images.encode(picture, _QUALITY)
        with self._lock:
            self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, int], made: bytes) -> None:
        self._bytes += len(made) - len(self._made.pop(key, b""))
        self._made[key] = made
        while self._bytes > self._max_bytes:
            _, oldest = self._made.popitem(last=False)
            self._bytes -= len(oldest)


def reduced(encoded: bytes, side: int, max_pixels: int, name: str) -> Image.Image:
    """An image as RGB, of a photograph no more than what a thumbnail of `side` pixels needs.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, in a fraction of the
    time; all else is decoded whole.
    """
    found = uploads.header(encoded, name)
    few = found.width * found.height <= max_pixels
    if not few or found.format != "JPEG" or min(found.width, found.height) < 4 * side:
        return uploads.decode(encoded, max_pixels, name)
    with Image.open(BytesIO(encoded), "r", ["JPEG"]) as photograph:
        photograph.draft("RGB", (2 * side, 2 * side))
        try:
            return ImageOps.exif_transpose(photograph).convert("RGB")
        except Exception:  # as broken for the whole decoder, which says how
            return uploads.decode(encoded, max_pixels, name)
