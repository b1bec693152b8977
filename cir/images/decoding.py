"""Decode images of any common format to RGB; raise UserError for those that cannot be decoded."""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cir.core.errors import UserError

MAX_PIXELS = 100_000_000
# The formats of cameras and browsers. EPS is left out, because decoding it runs another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
# Pillow's decoders raise any of these for broken bytes.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError)
_BROKEN += (struct.error, zlib.error, RuntimeError)

# `decode` checks the size of every image itself, so Pillow's warning is not needed.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(
    source: bytes | Path, name: str, max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> Image.Image:
    """Decode an image to RGB with 8 bits per channel.

    The EXIF orientation is applied, transparent parts become white, 16-bit grey is scaled to 8
    bits, and an animation gives its first frame.

    Args:
        source: the encoded bytes, or a file.
        name: the image's name in error messages.
        max_pixels: the largest number of pixels; it is checked before memory is allocated.
        least_side: a JPEG may be decoded at a half, a quarter or an eighth of its size, which takes
            less time, if its shorter side keeps this many pixels. None decodes the full size.

    Raises:
        UserError: the image is missing, empty, truncated, broken, too large or of another format.
    """
    opened = _open(source, name)
    with opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise UserError(
                f"image {name} is too large: {width} x {height} pixels, "
                f"and the limit is {max_pixels:,} pixels"
            )
        try:
            if least_side is not None:
                opened.draft(None, (least_side, least_side))  # does nothing for other formats
            opened.load()
            return _to_rgb(_upright(opened), name)
        except _BROKEN as error:
            raise UserError(f"image {name} cannot be decoded: {_reason(error)}") from error


def upright_size(source: bytes | Path, name: str) -> tuple[int, int]:
    """Return an image's width and height in pixels after the EXIF orientation, from its header.

    Raises UserError if the image cannot be opened.
    """
    with _open(source, name) as opened:
        turned = opened.getexif().get(_ORIENTATION, 1) in _TURNED
        return opened.size[::-1] if turned else opened.size


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


def _open(source: bytes | Path, name: str) -> Image.Image:
    if not isinstance(source, bytes):
        if not source.is_file():
            raise UserError(f"image {name} is missing: there is no file {source}")
        if source.stat().st_size == 0:
            raise UserError(f"image {name} is empty (0 bytes)")
    elif not source:
        raise UserError(f"image {name} is empty (0 bytes)")
    try:
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source, "r", FORMATS)
    except UnidentifiedImageError as error:
        raise UserError(
            f"image {name} has an unknown format: expected one of {', '.join(FORMATS)}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"image {name} is too large: {error}") from error
    except _BROKEN as error:
        raise UserError(f"image {name} cannot be opened: {_reason(error)}") from error


def _upright(image: Image.Image) -> Image.Image:
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image  # exif_transpose would copy the pixels
    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()  # the opened image closes with its file
    if image.mode == "F":
        raise UserError(f"image {name} has floating-point pixels; expected 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray((grey // 257).astype(np.uint8), "L").convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
