"""Check and decode images that clients send."""

from contextlib import nullcontext
from threading import Lock

from PIL import Image

from cir.app.web.faults import TooLarge, Unreadable, WrongType
from cir.core.errors import UserError
from cir.images import decoding as images

LARGE = 10_000_000  # pixels; larger images are decoded one at a time
_one_large = Lock()
UPLOAD = "you sent"  # as in "the image you sent cannot be decoded"


def header(encoded: bytes, name: str = UPLOAD) -> images.Header:
    """Read the header of an encoded image.

    Raises:
        WrongType: the data are empty or have none of the formats `cir.images.decoding.FORMATS`.
        TooLarge: the image has so many pixels that Pillow does not open it.
        Unreadable: the data begin like an image but are broken.
    """
    if not encoded:
        raise WrongType(f"the image {name} is empty (0 bytes)")
    try:
        return images.header(encoded, name)
    except images.UnknownFormatError:
        raise WrongType(
            f"the format of the image {name} is not supported: expected one of "
            f"{', '.join(images.FORMATS)}"
        ) from None
    except images.TooManyPixelsError as error:
        raise TooLarge(f"the {error}") from None
    except UserError as error:
        raise Unreadable(f"the {error}") from None


def decode(
    encoded: bytes, max_pixels: int, name: str = UPLOAD, least_side: int | None = None
) -> Image.Image:
    """Decode an image from a client to RGB with `cir.images.decoding.decode` and its `least_side`.

    Images of more than LARGE pixels are decoded one at a time, since a pixel may need 16 bytes on
    the way to RGB.

    Raises:
        WrongType: see `header`.
        TooLarge: the image has more than `max_pixels` pixels.
        Unreadable: the data are broken.
    """
    found = header(encoded, name)
    if found.width * found.height > max_pixels:
        raise TooLarge(
            f"the image {name} is too large: {found.width:,} x {found.height:,} pixels, but this "
            f"server takes at most {max_pixels:,} pixels"
        )
    large = found.width * found.height > LARGE
    try:
        with _one_large if large else nullcontext():
            return images.decode(encoded, name, max_pixels, least_side)
    except UserError as error:
        raise Unreadable(f"the {error}") from None
