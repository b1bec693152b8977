"""Define the ten colours of objects, distinct from each other and from all grounds."""

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 30, 38),
    "orange": (246, 120, 12),
    "yellow": (252, 222, 40),
    "green": (48, 158, 48),
    "teal": (0, 178, 176),
    "blue": (30, 76, 214),
    "purple": (126, 44, 176),
    "pink": (252, 128, 190),
    "brown": (104, 60, 30),
    "white": (246, 246, 244),
}

_NEUTRALS = {
    "paper": (244, 242, 234),
    "metal": (146, 152, 160),
    "ink": (34, 34, 40),
    "glass": (178, 212, 230),
}


def palette(colour: str, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Draw a shade of a colour; return one RGBA for each `Tone`."""
    main = np.array(COLOURS[colour]) * rng.uniform(0.9, 1.06) + rng.uniform(-9, 9, 3)
    shades = [main, main + (255 - main) * 0.42, main * 0.72, main * 0.5, *_NEUTRALS.values()]
    opaque = np.clip(shades, 0, 255).astype(int).tolist()
    return [*((red, green, blue, 255) for red, green, blue in opaque), (0, 0, 0, 0)]
