"""Sketch objects as lists of filled polygons in a unit square.

x points to the right and y points down. All forms are polygons, so one matrix product turns,
mirrors or stretches an object, and its edges are sharp at any size.
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise

import numpy as np

Points = Sequence[tuple[float, float]] | np.ndarray


class Tone(IntEnum):
    """The paint of a part: a shade of the object's colour, or a neutral colour."""

    MAIN = 0
    LIGHT = 1
    DARK = 2
    DEEP = 3
    PAPER = 4
    METAL = 5
    INK = 6
    GLASS = 7
    HOLE = 8  # removes earlier paint


MAIN, LIGHT, DARK, DEEP, PAPER, METAL, INK, GLASS, HOLE = Tone

_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class Sketch:
    """The forms of one object, in the order in which they are painted."""

    def __init__(self) -> None:
        self.forms: list[tuple[np.ndarray, Tone]] = []

    def polygon(self, points: Points, tone: Tone = MAIN) -> None:
        """Fill the polygon through `points` [N, 2]."""
        self.forms.append((np.asarray(points, dtype=float), tone))

    def box(self, x0: float, y0: float, x1: float, y1: float, tone: Tone = MAIN) -> None:
        """Fill an upright rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], tone)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, tone: Tone = MAIN, turn: float = 0.0
    ) -> None:
        """Fill an ellipse around (x, y), turned clockwise by `turn` degrees."""
        points = _CIRCLE * (rx, ry)
        self.polygon((points @ rotation(turn) if turn else points) + (x, y), tone)

    def disc(self, x: float, y: float, radius: float, tone: Tone = MAIN) -> None:
        """Fill a circle."""
        self.ellipse(x, y, radius, radius, tone)

    def rounded(
        self, x0: float, y0: float, x1: float, y1: float, radius: float, tone: Tone = MAIN
    ) -> None:
        """Fill an upright rectangle with round corners."""
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        inner = np.array([(x1 - x0) / 2 - radius, (y1 - y0) / 2 - radius])
        self.polygon(centre + np.sign(_CIRCLE) * inner + _CIRCLE * radius, tone)

    def sector(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, tone: Tone = MAIN
    ) -> None:
        """Fill the part of an ellipse between two angles, in degrees clockwise from the right."""
        rim = _arc(x, y, rx, ry, start, end)
        closed = rim if abs(end - start) == 180 else np.vstack([rim, [(x, y)]])
        self.polygon(closed, tone)

    def line(self, points: Points, width: float, tone: Tone = MAIN) -> None:
        """Paint a thick line through `points`, with round joints and ends."""
        points = np.asarray(points, dtype=float)
        for start, end in pairwise(points):
            along = end - start
            across = np.array([-along[1], along[0]]) * (width / 2 / max(np.hypot(*along), 1e-9))
            self.polygon([start + across, end + across, end - across, start - across], tone)
        for x, y in points:
            self.ellipse(x, y, width / 2, width / 2, tone)

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        start: float,
        end: float,
        width: float,
        tone: Tone = MAIN,
    ) -> None:
        """Paint a band of the given width along an ellipse, angles in degrees clockwise."""
        half = width / 2
        outer = _arc(x, y, rx + half, ry + half, start, end)
        inner = _arc(x, y, rx - half, ry - half, end, start)
        self.polygon(np.vstack([outer, inner]), tone)

    def blob(self, points: Points, tone: Tone = MAIN) -> None:
        """Fill the smooth closed curve through `points` (a Catmull-Rom spline)."""
        p1 = np.asarray(points, dtype=float)
        p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
        steps = []
        for t in (0.0, 0.25, 0.5, 0.75):
            steps.append(
                0.5
                * (
                    2 * p1
                    + (p2 - p0) * t
                    + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                    + (3 * p1 - p0 - 3 * p2 + p3) * t**3
                )
            )
        self.polygon(np.stack(steps, axis=1).reshape(-1, 2), tone)


def rotation(degrees: float) -> np.ndarray:
    """Return the matrix [2, 2] that turns row vectors clockwise on the screen."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> np.ndarray:
    angles = np.radians(np.linspace(start, end, 18))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)
