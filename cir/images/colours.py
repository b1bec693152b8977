"""Turn the modes in which Pillow opens images into RGB, and mend those that it reads wrongly."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from cir.images.containers import BIG_TIFF, tiff_directory
from cir.images.mending import needed_of_tiff

# Tags of a TIFF, and some of their values.
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT = (
    *(256, 257, 258, 262),
    *(277, 284, 338, 339),
)
_YCBCR, _SIGNED, _FLOATING = 6, 2, 3
# Raw modes of libtiff, which gives samples of 16 bits in the order of this machine.
_OF_16_BITS = {"RGB": "RGB;16N", "RGBA": "RGBA;16N", "RGBa": "RGBa;16N", "CMYK": "CMYK;16N"}


class NotShownError(Exception):
    """An image of a kind that is not decoded; the message completes "image ..."."""


def load_rgb(opened: Image.Image) -> Image.Image:
    """Decode an opened image and return it as RGB; transparent parts become white.

    Raises NotShownError for a kind of pixels without agreed colours, and the errors of Pillow's
    decoders.
    """
    if opened.format == "BMP":
        return _bmp_to_rgb(opened)
    if opened.format == "TIFF":
        _prepare_tiff(opened)
    elif opened.format == "PNG" and opened.mode == "P" and opened.palette is None:
        raise ValueError("it has no palette, to which its pixels refer")
    elif opened.format == "PNG" and "transparency" in opened.info:
        raw_mode = opened.tile[0].args
        if raw_mode == "RGB;16B":
            return _deep_png_to_rgb(opened)
        if raw_mode in ("L;2", "L;4"):
            opened.info["transparency"] *= 255 // (2 ** int(raw_mode[-1]) - 1)
    opened.load()
    if opened.mode == "I" or opened.mode.startswith("I;16"):
        return _grey_to_rgb(opened)
    return _loaded_to_rgb(opened)


def of_a_tiff(data: bytes) -> NotShownError:
    """Describe the pixels of a TIFF that Pillow does not open; raise if it has no directory."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data.startswith(BIG_TIFF) else 8])
    file = BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    if _FLOATING in tags.get(_FORMAT, ()):
        return _floating()
    bits, photometric = tags.get(_BITS, (1,)), tags.get(_PHOTOMETRIC)
    return NotShownError(
        f"is a TIFF of an unknown kind: {tags.get(_SAMPLES, 1)} samples a pixel, of "
        f"{', '.join(map(str, bits[:5]))} bits, with photometric interpretation {photometric}"
        + (", in planes apart" if tags.get(_PLANES) == 2 else "")
    )


def _loaded_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()  # the opened image closes with its file
    if image.mode == "F":
        raise _floating()
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _floating() -> NotShownError:
    return NotShownError("has floating-point pixels; expected 8 or 16 bits")


def _grey_to_rgb(opened: Image.Image) -> Image.Image:
    """Scale grey of 12, 16 or 32 bits to 8 bits; larger values than 16 bits hold are white."""
    grey = np.asarray(opened)
    if opened.format == "TIFF" and opened.mode == "I" and opened.tag_v2.get(_FORMAT) != (_SIGNED,):
        grey = grey.view(np.uint32)  # Pillow knows no mode of unsigned numbers of 32 bits
    grey, step = grey.astype(np.int64).clip(0, 65535), 257
    if opened.format == "TIFF" and opened.mode != "I":
        if opened.tag_v2.get(_BITS) == (12,):
            grey, step = grey * 255, 4095
        if opened.tag_v2.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow does not regard
            grey = 65535 - grey
    eight = (grey // step).astype(np.uint8)
    if opened.format == "PNG" and "transparency" in opened.info:
        eight[grey == opened.info["transparency"]] = 255
    return Image.fromarray(eight, "L").convert("RGB")


def _bmp_to_rgb(opened: Image.Image) -> Image.Image:
    if opened.mode == "1":
        opened.fp.seek(28)
        if int.from_bytes(opened.fp.read(2), "little") != 1:
            # `cir.images.mending` writes a header that Pillow reads rightly.
            raise ValueError("Pillow takes its palette of two colours for one bit per pixel")
    opened.load()
    if opened.mode == "RGBA" and opened.getextrema()[3] == (0, 0):
        return opened.convert("RGB")  # a fourth byte that the writing program left unused
    return _loaded_to_rgb(opened)


def _deep_png_to_rgb(opened: Image.Image) -> Image.Image:
    """Decode a PNG of 16-bit RGB with one transparent colour.

    Pillow keeps the high bytes alone, but the transparent colour is that of both.
    """
    opened.fp.seek(0)
    other = Image.open(BytesIO(opened.fp.read()), "r", ["PNG"])
    other.tile = [other.tile[0]._replace(args="RGB;16L")]  # the low bytes of big-endian samples
    opened.fp.seek(other.fp.tell())
    transparent = np.array(opened.info["transparency"])
    opened.load()
    high, low = np.array(opened), np.asarray(other)
    clear = (high == transparent >> 8).all(2) & (low == transparent & 255).all(2)
    high[clear] = 255
    return Image.fromarray(high)


def _prepare_tiff(opened: Image.Image) -> None:
    """Give the pixels to libtiff where Pillow's own reader mixes them up."""
    tags = opened.tag_v2
    directory = tiff_directory(opened.fp)
    # Behind an entry whose values are not there, Pillow reads no further ones.
    if not directory.whole or needed_of_tiff(directory).keys() - tags.keys():
        raise ValueError("its directory of tags is cut or broken")
    if tags.get(_PLANES) == 2 and tags.get(_SAMPLES, 1) == 1:
        # Pillow takes the letters of a raw mode for planes, and so loses what follows the first.
        del tags[_PLANES]
        opened._setup()
    apart = tags.get(_PLANES, 1) == 2
    if opened.mode == "LA" and apart:
        raise NotShownError("is a TIFF with grey and transparency in planes apart, an unknown kind")
    deep = max(tags.get(_BITS, (1,))) == 16
    raw_mode = "RGBX" if tags.get(_PHOTOMETRIC) == _YCBCR else None
    if deep and apart:
        associated = tags.get(_EXTRA, ())[:1] == (1,)
        raw_mode = _OF_16_BITS.get("RGBa" if associated else opened.mode)
    if raw_mode and not opened.use_load_libtiff:
        opened.use_load_libtiff = True
        box = 0, 0, tags[_WIDTH], tags[_HEIGHT]
        args = raw_mode, "raw", False, tags.offset
        opened.tile = [ImageFile._Tile("libtiff", box, 0, args)]
