"""The objects that a scene can show: a name, and the function that sketches it.

A sketching function gets an empty `Sketch` and a random generator for its small variations (the
length of a handle, the height of a roof). Turning, stretching and colouring are the scene's work.
"""

from collections.abc import Callable

from numpy.random import Generator

from cir.datasets.scenes.objects import home, nature, outdoors, wear
from cir.datasets.scenes.sketch import Sketch

_SKETCHES: tuple[Callable[[Sketch, Generator], None], ...] = (
    home.mug, home.teapot, home.bottle, home.bucket, home.lamp, home.candle, home.chair,
    home.sofa, home.table, home.clock, home.bell, home.ladder,
    wear.umbrella, wear.hat, wear.crown, wear.shirt, wear.trousers, wear.boot, wear.handbag,
    wear.key, wear.book, wear.scissors, wear.hammer, wear.guitar,
    outdoors.car, outdoors.bus, outdoors.boat, outdoors.plane, outdoors.rocket, outdoors.house,
    outdoors.ball, outdoors.balloon, outdoors.kite, outdoors.robot,
    nature.tree, nature.flower, nature.mushroom, nature.fish, nature.bird, nature.cat,
    nature.butterfly, nature.turtle,
)  # fmt: skip

OBJECTS: dict[str, Callable[[Sketch, Generator], None]] = {f.__name__: f for f in _SKETCHES}
