"""Draw one picture of all objects that can be drawn, and of some scenes."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cir.datasets.scenes.colours import COLOURS
from cir.datasets.scenes.draw import draw_object, draw_scene
from cir.datasets.scenes.names import all_names
from cir.datasets.scenes.objects import OBJECTS

_COLUMNS, _TILE, _COLOURS_EACH = 6, (212, 84), 4
_PAPER, _INK, _GREY = (238, 236, 231), (40, 40, 46), (110, 110, 116)
_SCENES, _SCENE_SIDE, _EDGE, _CAPTION = 12, 192, 20, 76


def contact_sheet(size: int, seed: int) -> Image.Image:
    """Draw each object in several colours with its name, and twelve scenes of `size` pixels.

    The scenes are enlarged without smoothing, to look as a network sees them.
    """
    rng = np.random.default_rng(seed)
    rows = -(-len(OBJECTS) // _COLUMNS)
    width = _COLUMNS * _TILE[0] + 2 * _EDGE
    scenes_top = 70 + rows * _TILE[1] + 40
    height = scenes_top + 2 * (_SCENE_SIDE + _CAPTION) + _EDGE // 2
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    count = f"{len(OBJECTS)} objects in {len(COLOURS)} colours: {len(all_names())} names"
    pen.text((_EDGE, 22), count, _INK, ImageFont.load_default(24))
    for number, kind in enumerate(OBJECTS):
        x = _EDGE + number % _COLUMNS * _TILE[0]
        y = 70 + number // _COLUMNS * _TILE[1]
        _draw_kind(sheet, pen, kind, number, (x, y), rng)
    title = f"Scenes of 2 to 4 objects, {size} pixels"
    pen.text((_EDGE, scenes_top - 34), title, _INK, ImageFont.load_default(20))
    for number in range(_SCENES):
        x = _EDGE + number % _COLUMNS * _TILE[0]
        y = scenes_top + number // _COLUMNS * (_SCENE_SIDE + _CAPTION)
        names = rng.choice(all_names(), 2 + number % 3, replace=False).tolist()
        scene = draw_scene(names, rng, size)
        enlarged = scene.resize((_SCENE_SIDE, _SCENE_SIDE), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (x, y))
        caption = "\n".join(names)
        pen.text((x, y + _SCENE_SIDE + 2), caption, _GREY, ImageFont.load_default(13), spacing=1)
    return sheet


def _draw_kind(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    kind: str,
    number: int,
    corner: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    """Draw one object in four colours side by side, with its name below."""
    x, y = corner
    colours = list(COLOURS)
    for i in range(_COLOURS_EACH):
        colour = colours[(number * _COLOURS_EACH + i) % len(colours)]
        picture = draw_object(f"{colour} {kind}", rng, 44)
        place = (x + i * 50 + (48 - picture.width) // 2, y + (52 - picture.height) // 2)
        sheet.paste(picture, place, picture)
    pen.text((x + 100, y + 62), kind, _GREY, ImageFont.load_default(15), anchor="mm")
