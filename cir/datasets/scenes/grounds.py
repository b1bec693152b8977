"""What lies behind the objects, and the light over everything: muted, so that colours stand out."""

import numpy as np
from PIL import Image

_BACKS = np.array(
    [(168, 172, 176), (176, 168, 158), (150, 158, 168), (160, 166, 152), (172, 160, 164)]
)
_FLOORS = np.array(
    [(128, 124, 120), (140, 128, 114), (112, 118, 124), (122, 130, 114), (134, 122, 126)]
)


def draw_ground(rng: np.random.Generator, size: int) -> Image.Image:
    """A wall or sky over a floor, RGB of `size` pixels square, each with a gradient."""
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
    """The picture under a light from one side, with a little sensor noise."""
    size = canvas.width
    across = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.02)
    light = 1 + rng.uniform(-0.05, 0.05) + x * across[None, :] + y * across[:, None]
    noise = rng.standard_normal((size, size, 1), dtype=np.float32) * 3
    pixels = np.asarray(canvas, dtype=np.float32) * light[:, :, None].astype(np.float32) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
