"""Sketch clothes, tools and things to carry."""

from numpy.random import Generator

from cir.datasets.scenes.sketch import DARK, DEEP, HOLE, INK, LIGHT, MAIN, METAL, PAPER, Sketch


def umbrella(s: Sketch, rng: Generator) -> None:
    grip = rng.uniform(0.84, 0.9)
    s.line([(0.5, 0.0), (0.5, grip)], 0.07, INK)
    s.arc(0.6, grip, 0.1, 0.1, 0, 180, 0.07, INK)
    s.sector(0.5, 0.56, 0.5, 0.5, 180, 360)
    s.polygon([(0.5, 0.06), (0.34, 0.2), (0.3, 0.56), (0.7, 0.56), (0.66, 0.2)], LIGHT)
    s.sector(0.5, 0.56, 0.5, 0.5, 318, 360, DARK)
    for x in (0.1, 0.3, 0.5, 0.7, 0.9):
        s.ellipse(x, 0.57, 0.1, 0.07, HOLE)
    s.line([(0.5, 0.5), (0.5, grip)], 0.07, INK)


def hat(s: Sketch, rng: Generator) -> None:
    top = rng.uniform(0.16, 0.22)
    s.ellipse(0.5, 0.72, 0.5, 0.13)
    s.blob([(0.0, 0.66), (0.3, 0.78), (0.7, 0.78), (1.0, 0.66), (0.8, 0.84), (0.2, 0.84)], DARK)
    s.polygon(
        [
            *((0.24, 0.72), (0.28, top + 0.1), (0.4, top), (0.5, top + 0.05)),
            *((0.6, top), (0.72, top + 0.1), (0.76, 0.72)),
        ]
    )
    s.polygon([(0.62, top + 0.01), (0.72, top + 0.1), (0.76, 0.72), (0.64, 0.72)], DARK)
    s.polygon([(0.25, 0.58), (0.75, 0.58), (0.76, 0.71), (0.24, 0.71)], INK)


def crown(s: Sketch, rng: Generator) -> None:
    side = rng.uniform(0.16, 0.24)
    s.polygon(
        [(0.0, side), (0.26, 0.5), (0.5, 0.1), (0.74, 0.5), (1.0, side), (0.9, 0.9), (0.1, 0.9)]
    )
    s.polygon([(0.5, 0.1), (0.74, 0.5), (0.62, 0.9), (0.5, 0.9)], LIGHT)
    s.polygon([(0.08, 0.74), (0.92, 0.74), (0.9, 0.9), (0.1, 0.9)], DEEP)
    for x, y in ((0.03, side), (0.5, 0.1), (0.97, side)):
        s.disc(x, y, 0.075, PAPER)
    for x in (0.28, 0.5, 0.72):
        s.disc(x, 0.82, 0.05, PAPER)


def shirt(s: Sketch, rng: Generator) -> None:
    cuff = rng.uniform(0.44, 0.52)
    s.polygon(
        [(0.34, 0.08), (0.18, 0.12), (0.0, cuff - 0.08), (0.16, cuff + 0.04), (0.3, 0.34)], DARK
    )
    s.polygon(
        [(0.66, 0.08), (0.82, 0.12), (1.0, cuff - 0.08), (0.84, cuff + 0.04), (0.7, 0.34)], DARK
    )
    s.polygon([(0.2, 0.11), (0.36, 0.07), (0.64, 0.07), (0.8, 0.11), (0.76, 0.94), (0.24, 0.94)])
    s.sector(0.5, 0.07, 0.14, 0.13, 0, 180, INK)
    s.box(0.24, 0.5, 0.76, 0.62, PAPER)


def trousers(s: Sketch, rng: Generator) -> None:
    foot = rng.uniform(0.28, 0.34)
    s.polygon([(0.2, 0.0), (0.52, 0.0), (0.52, 0.34), (0.08 + foot, 1.0), (0.06, 1.0)])
    s.polygon([(0.48, 0.0), (0.8, 0.0), (0.94, 1.0), (0.92 - foot, 1.0), (0.5, 0.3)], DARK)
    s.box(0.2, 0.0, 0.8, 0.11, INK)
    s.box(0.44, 0.01, 0.56, 0.1, METAL)


def boot(s: Sketch, rng: Generator) -> None:
    top = rng.uniform(0.02, 0.1)
    s.polygon(
        [(0.2, top), (0.6, top), (0.6, 0.5), (0.86, 0.58), (0.98, 0.74), (0.98, 0.84), (0.18, 0.84)]
    )
    s.polygon([(0.18, top), (0.62, top), (0.62, top + 0.13), (0.18, top + 0.13)], PAPER)
    s.polygon([(0.2, top + 0.13), (0.32, top + 0.13), (0.32, 0.84), (0.18, 0.84)], DARK)
    s.polygon([(0.16, 0.82), (1.0, 0.82), (1.0, 0.93), (0.48, 0.91), (0.44, 1.0), (0.16, 1.0)], INK)


def handbag(s: Sketch, rng: Generator) -> None:
    s.arc(0.5, 0.42, 0.26, rng.uniform(0.3, 0.37), 180, 360, 0.09, DEEP)
    s.polygon([(0.1, 0.38), (0.9, 0.38), (1.0, 0.9), (0.95, 0.96), (0.05, 0.96), (0.0, 0.9)])
    s.polygon([(0.1, 0.38), (0.9, 0.38), (0.94, 0.56), (0.5, 0.7), (0.06, 0.56)], DARK)
    s.disc(0.5, 0.66, 0.08, METAL)


def key(s: Sketch, rng: Generator) -> None:
    bit = rng.uniform(0.16, 0.22)
    s.box(0.4, 0.4, 0.56, 1.0)
    s.box(0.5, 0.86, 0.56 + bit, 1.0, DARK)
    s.box(0.5, 0.64, 0.52 + bit, 0.77, DARK)
    s.disc(0.48, 0.26, 0.27)
    s.arc(0.48, 0.26, 0.23, 0.23, 100, 280, 0.07, LIGHT)
    s.disc(0.48, 0.24, 0.12, HOLE)


def book(s: Sketch, rng: Generator) -> None:
    thick = rng.uniform(0.1, 0.16)
    s.polygon([(0.1, 0.06), (0.24, 0.0), (0.24, 0.86), (0.1, 1.0)], DEEP)
    s.polygon([(0.14, 0.84), (0.84, 0.84), (0.84, 0.98), (0.14, 0.98)], PAPER)
    s.box(0.1, 0.95, 0.88, 1.0, DARK)
    s.box(0.16, 0.0, 0.88, 1.0 - thick)
    s.box(0.16, 0.0, 0.28, 1.0 - thick, DARK)
    s.box(0.36, 0.14, 0.8, 0.4, PAPER)
    s.box(0.42, 0.21, 0.74, 0.27, INK)
    s.box(0.46, 0.3, 0.7, 0.35, INK)


def scissors(s: Sketch, rng: Generator) -> None:
    gape = rng.uniform(0.14, 0.2)
    s.polygon([(0.5 + gape, 0.0), (0.6 + gape, 0.06), (0.56, 0.56), (0.34, 0.64)], METAL)
    s.polygon([(0.5 - gape, 0.0), (0.4 - gape, 0.06), (0.44, 0.56), (0.66, 0.64)], PAPER)
    for x, turn, tone in ((0.25, 28, MAIN), (0.75, -28, DARK)):
        s.ellipse(x, 0.76, 0.23, 0.26, tone, turn)
        s.ellipse(x, 0.79, 0.08, 0.11, HOLE, turn)
    s.disc(0.5, 0.5, 0.06, INK)


def hammer(s: Sketch, rng: Generator) -> None:
    head = rng.uniform(0.28, 0.34)
    s.rounded(0.4, 0.2, 0.6, 1.0, 0.06, INK)
    s.box(0.08, 0.0, 0.66, head)
    s.polygon(
        [(0.66, 0.0), (0.84, 0.04), (1.0, head + 0.06), (0.84, head - 0.02), (0.66, head)], DARK
    )
    s.box(0.0, -0.03, 0.16, head + 0.03, DARK)
    s.box(0.2, 0.04, 0.64, 0.11, LIGHT)
    s.rounded(0.38, 0.6, 0.62, 1.0, 0.06)


def guitar(s: Sketch, rng: Generator) -> None:
    waist = rng.uniform(0.54, 0.6)
    s.box(0.43, 0.06, 0.57, 0.7, INK)
    s.rounded(0.37, 0.0, 0.63, 0.15, 0.03, DARK)
    s.blob(
        [
            *((0.5, 0.38), (0.74, 0.42), (0.7, waist), (0.84, 0.78), (0.7, 0.98)),
            *((0.5, 1.0), (0.3, 0.98), (0.16, 0.78), (0.3, waist), (0.26, 0.42)),
        ]
    )
    s.box(0.45, 0.34, 0.55, 0.62, INK)
    s.disc(0.5, 0.64, 0.1, INK)
    s.box(0.34, 0.82, 0.66, 0.88, PAPER)
