"""Decode images of any common format to RGB; raise UserError for those that cannot be decoded."""

import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from cir.core.errors import UserError, reason_of
from cir.core.file_names import is_file
from cir.images import containers, mending
from cir.images.colours import NotShownError, load_rgb, of_a_tiff

T = TypeVar("T")
MAX_PIXELS = 100_000_000
# The formats of cameras and browsers. EPS is left out, because decoding it runs another program.
_BY_PILLOW = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXCHANGING = (5, 6, 7, 8)  # orientations that exchange width and height
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# `decode` checks the size of every image itself, and an image that fails gets one sentence.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def _formats() -> tuple[str, ...]:
    """Return the formats that are decoded: HEIF, of phones, if the extra `formats` is installed."""
    try:
        import pillow_heif
    except ImportError:
        return _BY_PILLOW
    pillow_heif.register_heif_opener()  # Pillow opens HEIC and HEIF files from then on
    return (*_BY_PILLOW, "HEIF")


FORMATS = _formats()


class UnknownFormatError(UserError):
    """The data are empty or have none of the FORMATS."""


class TooManyPixelsError(UserError):
    """The image has more pixels than are decoded."""


@dataclass(frozen=True)
class Header:
    """The properties of an image that are known before it is decoded.

    `content_type` follows from the format of the data, not from a file name. Width and height are
    as stored, before the EXIF orientation.
    """

    format: str
    content_type: str
    width: int
    height: int


def decode(
    source: bytes | Path, name: str, max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> Image.Image:
    """Decode an image to RGB with 8 bits per channel.

    The EXIF orientation is applied, transparent parts become white, 16-bit grey is scaled to 8
    bits, and an animation gives its first frame. Broken, odd or large metadata never cost a
    picture, and a JPEG may lack its end marker.

    Args:
        source: the encoded bytes, or a file.
        name: the image's name in error messages.
        max_pixels: the largest number of pixels; it is checked before memory is allocated.
        least_side: a JPEG may be decoded at a half, a quarter or an eighth of its size, which takes
            less time, if its shorter side keeps this many pixels. None decodes the full size.

    Raises:
        UserError: the image is missing, empty, truncated, broken, too large or of another format.
    """

    def pixels(opened: Image.Image, orientation: int | None) -> Image.Image:
        width, height = opened.size
        if width * height > max_pixels:
            raise TooManyPixelsError(
                f"image {name} is too large: {width} x {height} pixels, "
                f"and the limit is {max_pixels:,} pixels"
            )
        if least_side is not None:
            opened.draft(None, (least_side, least_side))  # does nothing for other formats
        rgb = load_rgb(opened)
        rgb.info = {}  # metadata do not travel with the pixels
        turn = _TURNS.get(_orientation(opened) if orientation is None else orientation)
        return rgb if turn is None else rgb.transpose(turn)

    return _first_that_opens(source, name, pixels, "decoded")


def header(source: bytes | Path, name: str) -> Header:
    """Read the header of an image.

    Raises `UnknownFormatError`, `TooManyPixelsError`, or UserError if the image cannot be opened.
    """

    def read(opened: Image.Image, orientation: int | None) -> Header:
        # An MPO is a JPEG that other pictures follow.
        kind = "JPEG" if opened.format == "MPO" else opened.format
        return Header(kind, Image.MIME.get(kind, "application/octet-stream"), *opened.size)

    return _first_that_opens(source, name, read, "opened")


def upright_size(source: bytes | Path, name: str) -> tuple[int, int]:
    """Return an image's width and height in pixels after the EXIF orientation, from its header.

    Raises UserError if the image cannot be opened.
    """

    def size(opened: Image.Image, orientation: int | None) -> tuple[int, int]:
        if opened.format == "TIFF":
            return opened.size  # Pillow has turned it
        turned = (_orientation(opened) if orientation is None else orientation) in _EXCHANGING
        return opened.size[::-1] if turned else opened.size

    return _first_that_opens(source, name, size, "opened")


def fit(image: Image.Image, max_side: int) -> Image.Image:
    """Shrink an image to `max_side` pixels on its longer side; return smaller images unchanged."""
    longer = max(image.size)
    if longer <= max_side:
        return image
    size = tuple(max(1, round(side * max_side / longer)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def encode(image: Image.Image, quality: int = 95) -> bytes:
    """Encode an RGB image as JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _first_that_opens(
    source: bytes | Path, name: str, use: Callable[[Image.Image, int | None], T], done: str
) -> T:
    """Return `use` of the opened image or, if that fails, of the same image without metadata.

    `use` also gets the orientation, if the opened image does not know it. `done` completes the
    sentence "image ... cannot be ...".
    """
    _refuse_empty(source, name)
    problem: Exception
    for form, orientation in _forms(source):
        try:
            with Image.open(BytesIO(form) if isinstance(form, bytes) else form, "r", FORMATS) as im:
                return use(im, orientation)
        except UserError:
            raise
        except _BOMBS as error:
            raise TooManyPixelsError(f"image {name} is too large: {error}") from error
        except NotShownError as error:
            problem = error
            break
        except UnidentifiedImageError as error:
            problem = _why_unidentified(form, error)
        except MemoryError:
            raise UserError(f"image {name} needs more memory to decode than there is") from None
        except Exception as error:  # Pillow's parsers and decoders raise errors of many kinds
            problem = error
    if isinstance(problem, UnidentifiedImageError):
        raise UnknownFormatError(
            f"image {name} has an unknown format: expected one of {', '.join(FORMATS)}"
        ) from problem
    if isinstance(problem, NotShownError):
        raise UserError(f"image {name} {problem}") from problem
    raise UserError(f"image {name} cannot be {done}: {_reason(problem)}") from problem


def _reason(problem: Exception) -> str:
    """Return the message of one of Pillow's errors, if it says anything to a user."""
    cause = problem.__cause__ or problem  # Pillow repeats some errors as its own
    if isinstance(cause, (struct.error, IndexError, EOFError)):
        return "its data end early or are broken"
    return reason_of(problem)


def _refuse_empty(source: bytes | Path, name: str) -> None:
    if not isinstance(source, bytes):
        if not is_file(source):
            raise UserError(f"image {name} is missing: there is no file {source}")
        if source.stat().st_size:
            return
    elif source:
        return
    raise UnknownFormatError(f"image {name} is empty (0 bytes)")


def _forms(source: bytes | Path) -> Iterator[tuple[bytes | Path, int | None]]:
    """Yield the source and then, if that could not be read, its forms without metadata."""
    yield source, None
    yield from mending.rewritten(source if isinstance(source, bytes) else source.read_bytes())


def _why_unidentified(form: bytes | Path, error: Exception) -> Exception:
    """Return the error of the format by which the data begin; `error` if there is none.

    Pillow asks each format, and says no more than that none could read the data.
    """
    data = form if isinstance(form, bytes) else form.read_bytes()
    for factory, accept in (Image.OPEN[format] for format in FORMATS):
        if accept(data[:16]) is True:
            try:
                factory(BytesIO(data), "")
            except Exception as reason:  # Pillow's parsers raise errors of many kinds
                error = reason
            if factory is TiffImagePlugin.TiffImageFile:
                with suppress(Exception):
                    error = of_a_tiff(data)
    return error


def _orientation(opened: Image.Image) -> int | None:
    """Return the EXIF orientation; read without Pillow where Pillow does not get so far."""
    found = None
    with suppress(Exception):  # EXIF may be broken in many ways
        found = opened.getexif().get(_ORIENTATION)
    exif = opened.info.get("exif", b"")
    if found is None and isinstance(exif, bytes):
        found = containers.orientation(exif.removeprefix(containers.EXIF))
    return found
