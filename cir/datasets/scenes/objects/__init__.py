"""List the objects that a scene can show, with the functions that sketch them.

A function gets an empty `Sketch` and a random generator for small variations (the length of a
handle, the height of a roof). `draw_object` turns, stretches and colours the sketch.
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
