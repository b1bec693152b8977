"""Draw a scene of named, coloured objects on a ground, with light and shadow."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cir.core.errors import UserError
from cir.datasets.scenes.colours import COLOURS, palette
from cir.datasets.scenes.names import colour_of, kind_of
from cir.datasets.scenes.objects import OBJECTS
from cir.datasets.scenes.sketch import Sketch, rotation

MOST_OBJECTS = 4  # a scene is two by two cells, so that an object fills 38-48% of the side

_SUPERSAMPLE = 3
_MARGIN = 2  # pixels around an object's patch, for its outline
_SHADE = [round(level * 0.55) for level in range(256)]  # shadows are not completely black
_BACKS = np.array(
    [(168, 172, 176), (176, 168, 158), (150, 158, 168), (160, 166, 152), (172, 160, 164)]
)
_FLOORS = np.array(
    [(128, 124, 120), (140, 128, 114), (112, 118, 124), (122, 130, 114), (134, 122, 126)]
)


def draw_scene(names: Sequence[str], rng: np.random.Generator, size: int = 64) -> Image.Image:
    """Draw 1 to 4 different objects in a square RGB picture of `size` pixels.

    The same names, generator state and size give the same pixels. Each object is completely
    visible in a cell of its own. Raises UserError for an unknown or repeated name, and for more
    names than cells.
    """
    if not 1 <= len(set(names)) == len(names) <= MOST_OBJECTS:
        raise UserError(
            f"a scene shows 1 to {MOST_OBJECTS} different objects, got {len(names)}: "
            f"{', '.join(names)}"
        )
    canvas = draw_ground(rng, size)
    slant = rng.uniform(-1, 1)
    cells = rng.permutation(MOST_OBJECTS)[: len(names)].tolist()
    return _drawn_on(canvas, slant, names, cells, rng)


def draw_cells(cells: Sequence[str], rng: np.random.Generator, size: int = 64) -> Image.Image:
    """Draw objects in given cells: top left, top right, bottom left, bottom right.

    `cells` has a name or "" for each of the four cells, and a name may be repeated. Otherwise this
    works like `draw_scene`.
    """
    if len(cells) != MOST_OBJECTS or not any(cells):
        raise UserError(
            f"a scene has {MOST_OBJECTS} cells, at least one of them with an object, "
            f"got {len(cells)}: {', '.join(cells)}"
        )
    canvas = draw_ground(rng, size)
    slant = rng.uniform(-1, 1)
    taken = [cell for cell, name in enumerate(cells) if name]
    return _drawn_on(canvas, slant, [cells[cell] for cell in taken], taken, rng)


def _drawn_on(
    canvas: Image.Image,
    slant: float,
    names: Sequence[str],
    cells: Sequence[int],
    rng: np.random.Generator,
) -> Image.Image:
    """Draw the objects into their cells of the ground, after all shadows."""
    size = canvas.width
    patches = [draw_object(name, rng, size * rng.uniform(0.38, 0.48)) for name in names]
    corners = [_corner(p, cell, rng, size) for p, cell in zip(patches, cells, strict=True)]
    for patch, corner in zip(patches, corners, strict=True):
        _cast_shadow(canvas, patch, corner, slant)
    for patch, corner in zip(patches, corners, strict=True):
        canvas.paste(patch, corner, patch)
    return draw_light(canvas, rng)


def draw_object(name: str, rng: np.random.Generator, extent: float) -> Image.Image:
    """Draw one object on a transparent ground: RGBA, with a longer side of `extent` pixels."""
    colour, kind = colour_of(name), kind_of(name)
    if colour not in COLOURS or kind not in OBJECTS:
        raise UserError(f"no drawing for {name!r}: a name is a colour and an object of OBJECTS")
    sketch = Sketch()
    OBJECTS[kind](sketch, rng)
    points = np.vstack([form for form, _ in sketch.forms]) @ _variation(rng)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = extent / (high - low).max()
    width, height = np.ceil((high - low) * scale).astype(int) + 2 * _MARGIN
    pixels = ((points - low) * scale + _MARGIN) * _SUPERSAMPLE
    tones = palette(colour, rng)
    patch = Image.new("RGBA", (width * _SUPERSAMPLE, height * _SUPERSAMPLE))
    brush = ImageDraw.Draw(patch)
    first = 0
    for form, tone in sketch.forms:
        brush.polygon(pixels[first : first + len(form)].ravel().tolist(), tones[tone])
        first += len(form)
    return _outlined(patch).reduce(_SUPERSAMPLE)


def _variation(rng: np.random.Generator) -> np.ndarray:
    """Draw a random matrix [2, 2] that turns, stretches and mirrors row vectors."""
    mirror = rng.choice((-1.0, 1.0))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    return np.diag([mirror * stretch, 1.0]) @ rotation(rng.uniform(-14, 14))


def _outlined(patch: Image.Image) -> Image.Image:
    """Add a thin dark outline, so that each colour is distinct from the ground."""
    alpha = np.asarray(patch.getchannel("A"))
    rim = alpha.copy()
    for _ in range(2):  # along one axis, then along the other
        np.maximum(rim[1:], alpha[:-1], out=rim[1:])
        np.maximum(rim[:-1], alpha[1:], out=rim[:-1])
        rim, alpha = rim.T.copy(), rim.T
    outlined = Image.new("RGBA", patch.size)
    outlined.paste((30, 30, 36, 255), mask=Image.fromarray(rim))
    outlined.alpha_composite(patch)
    return outlined


def _corner(patch: Image.Image, cell: int, rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Draw a random corner for a patch that keeps the object inside its cell."""
    half = size / 2
    room = half - (np.array(patch.size) - 2 * _MARGIN)
    assert (room > -1).all(), f"an object of {patch.size} does not fit a cell of {half}"
    offset = rng.uniform(0, 1, 2) * np.maximum(room, 0) - _MARGIN
    x, y = np.round(np.array([cell % 2, cell // 2]) * half + offset).astype(int).tolist()
    return x, y


def _cast_shadow(
    canvas: Image.Image, patch: Image.Image, corner: tuple[int, int], slant: float
) -> None:
    """Draw the soft shadow of an object at `corner` on the ground."""
    (x, y), (width, height) = corner, patch.size
    fringe = round(canvas.width / 32)
    depth = height // 4
    shadow = Image.new("L", (width + 2 * fringe, depth + 2 * fringe))
    shadow.paste(patch.getchannel("A").resize((width, depth)), (fringe, fringe))
    shadow = shadow.filter(ImageFilter.GaussianBlur(fringe * 0.6)).point(_SHADE)
    lean = round(slant * width * 0.12)
    foot = y + height - _MARGIN - depth // 2
    canvas.paste((16, 16, 24), (x - fringe + lean, foot - fringe), shadow)


def draw_ground(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw a wall or sky over a floor, each with a gradient: RGB, `size` pixels square."""
    back = _BACKS[rng.integers(len(_BACKS))] + rng.uniform(-14, 14)
    floor = _FLOORS[rng.integers(len(_FLOORS))] + rng.uniform(-14, 14)
    horizon = rng.uniform(0.35, 0.8)
    y = (np.arange(size) + 0.5) / size
    share = np.clip((y - horizon) * size / 1.5, 0, 1)[:, None]
    fade = ((y - horizon) * rng.uniform(10, 40))[:, None]
    column = back * (1 - share) + floor * share - np.abs(fade) * share + fade * (1 - share)
    pixels = np.broadcast_to(column[:, None, :], (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_light(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add light from one side and a little sensor noise."""
    size = canvas.width
    across = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.02)
    light = 1 + rng.uniform(-0.05, 0.05) + x * across[None, :] + y * across[:, None]
    noise = rng.standard_normal((size, size, 1), dtype=np.float32) * 3
    pixels = np.asarray(canvas, dtype=np.float32) * light[:, :, None].astype(np.float32) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
