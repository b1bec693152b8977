"""Images that come from outside: known by their content, and held to a limit before decoding."""

from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from threading import Lock

from PIL import Image, UnidentifiedImageError

from cir.app.web.faults import TooLarge, Unreadable, WrongType
from cir.core.errors import UserError
from cir.images import decoding as images

LARGE = 10_000_000  # pixels
_one_large = Lock()
UPLOAD = "you sent"  # as in "the image you sent cannot be decoded"


@dataclass(frozen=True)
class Header:
    """What an image says of itself before it is decoded.

    `content_type` is that of its format, whatever the name of the file or the client may say.
    """

    format: str
    content_type: str
    width: int
    height: int


def header(encoded: bytes, name: str = UPLOAD) -> Header:
    """The header of an encoded image, by its content alone.

    Raises:
        WrongType: it is none of `cir.images.decoding.FORMATS`: SVG, HTML, a video, nothing.
        TooLarge: it has so many pixels that Pillow does not open it.
        Unreadable: it begins as an image and is broken.
    """
    if not encoded:
        raise WrongType(f"the image {name} is empty (0 bytes)")
    try:
        opened = Image.open(BytesIO(encoded), "r", images.FORMATS)
    except UnidentifiedImageError:
        raise WrongType(
            f"the image {name} is of no format that is read here: expected one of "
            f"{', '.join(images.FORMATS)}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"the image {name} is too large: {error}") from None
    except Exception as error:  # Pillow's parsers raise what they happen to meet
        raise Unreadable(f"the image {name} cannot be opened: {error}") from None
    with opened:
        width, height = opened.size
        content_type = Image.MIME.get(opened.format, "application/octet-stream")
        return Header(opened.format, content_type, width, height)


def decode(encoded: bytes, max_pixels: int, name: str = UPLOAD) -> Image.Image:
    """An encoded image from outside as RGB, by `cir.images.decoding.decode`.

    Of those with more than LARGE pixels one is decoded at a time: on the way to RGB, each of its
    pixels may take 16 bytes.

    Raises:
        WrongType, TooLarge, Unreadable: see `header`; it has more than `max_pixels` pixels; its
            data are broken.
    """
    found = header(encoded, name)
    if found.width * found.height > max_pixels:
        raise TooLarge(
            f"the image {name} is too large: {found.width:,} x {found.height:,} pixels, and this "
            f"server takes {max_pixels:,} pixels"
        )
    large = found.width * found.height > LARGE
    try:
        with _one_large if large else nullcontext():
            return images.decode(encoded, name, max_pixels)
    except UserError as error:
        raise Unreadable(f"the {error}") from None
