"""Draw a sheet of sample queries: each sentence with its reference and its target."""

from collections.abc import Callable, Sequence
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cir.core.records import Triplet

_TILE = 160
_GAP = 8
_LINES = 3
_LETTERS = 46  # letters of this font in the width of two tiles
_FONT_SIZE = 13
_LINE = 17


def query_sheet(
    triplets: Sequence[Triplet],
    image_of: Callable[[str], Image.Image],
    rows: int = 4,
    columns: int = 3,
    seed: int = 0,
) -> Image.Image:
    """Draw up to `rows` x `columns` queries chosen by `seed`, each with its reference on the left.

    `image_of` returns the RGB image of an id.
    """
    places = np.random.default_rng(seed).permutation(len(triplets))[: rows * columns]
    font = ImageFont.load_default(_FONT_SIZE)
    width = 2 * _TILE + 2 * _GAP
    height = _TILE + _LINES * _LINE + 2 * _GAP
    used_rows = -(-len(places) // columns)
    sheet = Image.new("RGB", (columns * width, used_rows * height), "white")
    brush = ImageDraw.Draw(sheet)
    for number, place in enumerate(places):
        triplet = triplets[place]
        left, top = number % columns * width + _GAP, number // columns * height + _GAP
        lines = wrap(triplet.text, _LETTERS, max_lines=_LINES, placeholder=" ...")
        brush.multiline_text((left, top), "\n".join(lines), "black", font, spacing=2)
        for turn, name in enumerate((triplet.reference, triplet.target)):
            image = _tile(image_of(name))
            x = left + turn * _TILE + (_TILE - image.width) // 2
            sheet.paste(image, (x, top + _LINES * _LINE + (_TILE - image.height) // 2))
    return sheet


def _tile(image: Image.Image) -> Image.Image:
    """Scale the image to fit a tile with a small margin."""
    scale = (_TILE - 4) / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)
