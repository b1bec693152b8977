"""Sketch things of the house: furniture, kitchen, light."""

from numpy.random import Generator

from cir.datasets.scenes.sketch import DARK, DEEP, HOLE, INK, LIGHT, METAL, PAPER, Sketch


def mug(s: Sketch, rng: Generator) -> None:
    grip = rng.uniform(0.15, 0.19)
    s.ellipse(0.68, 0.54, grip + 0.08, 0.25, DARK)
    s.ellipse(0.68, 0.54, grip - 0.02, 0.14, HOLE)
    s.polygon([(0.08, 0.2), (0.7, 0.2), (0.66, 0.9), (0.12, 0.9)])
    s.polygon([(0.56, 0.2), (0.7, 0.2), (0.66, 0.9), (0.54, 0.9)], DARK)
    s.ellipse(0.39, 0.2, 0.31, 0.08, LIGHT)
    s.ellipse(0.39, 0.21, 0.25, 0.05, INK)


def teapot(s: Sketch, rng: Generator) -> None:
    spout = rng.uniform(0.24, 0.3)
    s.arc(0.78, 0.56, 0.15, 0.18, -90, 100, 0.09, DARK)
    s.polygon([(0.3, 0.72), (0.3, 0.52), (0.14, spout), (0.0, spout + 0.02), (0.14, 0.6)], DARK)
    s.ellipse(0.52, 0.6, 0.31, 0.28)
    s.ellipse(0.42, 0.5, 0.1, 0.08, LIGHT)
    s.sector(0.52, 0.37, 0.2, 0.12, 180, 360, DEEP)
    s.disc(0.52, 0.22, 0.06, METAL)
    s.rounded(0.34, 0.84, 0.7, 0.92, 0.03, DEEP)


def bottle(s: Sketch, rng: Generator) -> None:
    neck = rng.uniform(0.26, 0.34)
    s.rounded(0.2, neck + 0.06, 0.8, 1.0, 0.12)
    s.polygon([(0.2, neck + 0.2), (0.36, neck - 0.02), (0.64, neck - 0.02), (0.8, neck + 0.2)])
    s.box(0.38, 0.1, 0.62, neck + 0.04)
    s.box(0.34, 0.0, 0.66, 0.11, INK)
    s.box(0.2, 0.56, 0.8, 0.82, PAPER)
    s.box(0.3, 0.65, 0.7, 0.72, DEEP)
    s.box(0.27, neck + 0.16, 0.35, 0.54, LIGHT)


def bucket(s: Sketch, rng: Generator) -> None:
    s.arc(0.5, 0.4, 0.39, rng.uniform(0.32, 0.38), 180, 360, 0.07, INK)
    s.polygon([(0.04, 0.4), (0.96, 0.4), (0.78, 1.0), (0.22, 1.0)])
    s.polygon([(0.72, 0.4), (0.96, 0.4), (0.78, 1.0), (0.64, 1.0)], DARK)
    s.polygon([(0.08, 0.54), (0.92, 0.54), (0.9, 0.64), (0.1, 0.64)], LIGHT)
    s.ellipse(0.5, 0.4, 0.46, 0.11, DEEP)


def lamp(s: Sketch, rng: Generator) -> None:
    top = rng.uniform(0.16, 0.22)
    s.box(0.45, 0.5, 0.55, 0.92, METAL)
    s.ellipse(0.5, 0.93, 0.25, 0.07, INK)
    s.polygon([(0.5 - top, 0.0), (0.5 + top, 0.0), (0.94, 0.56), (0.06, 0.56)])
    s.polygon([(0.5 + top * 0.3, 0.0), (0.5 + top, 0.0), (0.94, 0.56), (0.68, 0.56)], DARK)
    s.box(0.06, 0.5, 0.94, 0.57, LIGHT)


def candle(s: Sketch, rng: Generator) -> None:
    top = rng.uniform(0.3, 0.36)
    s.blob([(0.5, 0.0), (0.64, 0.18), (0.5, 0.3), (0.36, 0.18)], PAPER)
    s.blob([(0.5, 0.09), (0.57, 0.2), (0.5, 0.28), (0.43, 0.2)], INK)
    s.ellipse(0.5, 0.9, 0.44, 0.1, METAL)
    s.ellipse(0.5, 0.88, 0.34, 0.06, INK)
    s.rounded(0.26, top, 0.74, 0.92, 0.04)
    s.box(0.6, top + 0.02, 0.74, 0.9, DARK)
    s.ellipse(0.5, top + 0.01, 0.24, 0.05, LIGHT)
    s.blob(
        [(0.26, top), (0.44, top), (0.42, top + 0.2), (0.35, top + 0.24), (0.26, top + 0.12)], LIGHT
    )


def chair(s: Sketch, rng: Generator) -> None:
    seat = rng.uniform(0.5, 0.56)
    s.box(0.14, seat, 0.28, 1.0, DEEP)
    s.box(0.8, seat, 0.94, 1.0, DEEP)
    s.polygon([(0.04, 0.0), (0.24, 0.0), (0.34, seat + 0.1), (0.12, seat + 0.1)])
    s.polygon([(0.08, 0.05), (0.2, 0.05), (0.26, seat - 0.06), (0.15, seat - 0.06)], LIGHT)
    s.rounded(0.1, seat, 1.0, seat + 0.19, 0.07)
    s.box(0.17, seat + 0.12, 0.96, seat + 0.19, DARK)


def sofa(s: Sketch, rng: Generator) -> None:
    top = rng.uniform(0.24, 0.3)
    s.box(0.12, 0.8, 0.2, 0.9, INK)
    s.box(0.8, 0.8, 0.88, 0.9, INK)
    s.rounded(0.12, top, 0.88, 0.7, 0.1)
    s.box(0.48, top + 0.03, 0.52, 0.56, DARK)
    s.rounded(0.1, 0.54, 0.9, 0.7, 0.06, LIGHT)
    s.box(0.1, 0.68, 0.9, 0.82, DARK)
    s.rounded(0.0, 0.44, 0.2, 0.84, 0.09)
    s.rounded(0.8, 0.44, 1.0, 0.84, 0.09)


def table(s: Sketch, rng: Generator) -> None:
    splay = rng.uniform(0.0, 0.05)
    for x, foot in ((0.12, -splay), (0.76, splay)):
        s.polygon(
            [(x, 0.3), (x + 0.12, 0.3), (x + 0.11 + foot, 0.86), (x + 0.01 + foot, 0.86)], DARK
        )
    s.box(0.1, 0.34, 0.9, 0.46, DEEP)
    s.rounded(0.0, 0.2, 1.0, 0.36, 0.04)
    s.box(0.03, 0.21, 0.97, 0.26, LIGHT)


def clock(s: Sketch, rng: Generator) -> None:
    s.line([(0.3, 0.84), (0.2, 0.98)], 0.1, INK)
    s.line([(0.7, 0.84), (0.8, 0.98)], 0.1, INK)
    s.ellipse(0.22, 0.16, 0.19, 0.13, DARK, -38)
    s.ellipse(0.78, 0.16, 0.19, 0.13, DARK, 38)
    s.disc(0.5, 0.54, 0.42)
    s.disc(0.5, 0.54, 0.29, PAPER)
    s.line([(0.5, 0.54), (0.5, 0.33)], 0.06, INK)
    s.line([(0.5, 0.54), (0.5 + rng.choice((-0.15, 0.15)), rng.uniform(0.48, 0.62))], 0.06, INK)


def bell(s: Sketch, rng: Generator) -> None:
    flare = rng.uniform(0.42, 0.48)
    s.disc(0.5, 0.1, 0.1, METAL)
    s.disc(0.5, 0.1, 0.04, HOLE)
    s.disc(0.5, 0.88, 0.12, INK)
    s.polygon(
        [
            *((0.5 - flare, 0.86), (0.24, 0.66), (0.26, 0.36), (0.36, 0.2), (0.5, 0.15)),
            *((0.64, 0.2), (0.74, 0.36), (0.76, 0.66), (0.5 + flare, 0.86)),
        ]
    )
    s.polygon(
        [(0.6, 0.18), (0.74, 0.36), (0.76, 0.66), (0.9, 0.86), (0.68, 0.86), (0.62, 0.6)], DARK
    )
    s.box(0.5 - flare, 0.76, 0.5 + flare, 0.86, LIGHT)


def ladder(s: Sketch, rng: Generator) -> None:
    spread = rng.uniform(0.0, 0.06)
    for y in (0.14, 0.38, 0.62, 0.86):
        s.box(0.16, y - 0.05, 0.84, y + 0.05, DARK)
    for x, foot in ((0.22, -spread), (0.78, spread)):
        s.polygon([(x - 0.08, 0), (x + 0.08, 0), (x + 0.08 + foot, 1), (x - 0.08 + foot, 1)])
