"""Sketch animals and plants."""

from numpy.random import Generator

from cir.datasets.scenes.sketch import DARK, DEEP, INK, LIGHT, MAIN, METAL, PAPER, Sketch


def tree(s: Sketch, rng: Generator) -> None:
    trunk = rng.uniform(0.08, 0.11)
    s.polygon(
        [(0.5 - trunk, 0.56), (0.5 + trunk, 0.56), (0.54 + trunk, 1.0), (0.46 - trunk, 1.0)], INK
    )
    for x, y, r in ((0.24, 0.46, 0.24), (0.76, 0.46, 0.24), (0.5, 0.26, 0.28), (0.5, 0.52, 0.24)):
        s.disc(x, y, r)
    s.disc(0.8, 0.5, 0.16, DARK)
    s.disc(0.54, 0.6, 0.14, DARK)
    s.disc(0.4, 0.2, 0.13, LIGHT)
    s.disc(0.2, 0.42, 0.1, LIGHT)


def flower(s: Sketch, rng: Generator) -> None:
    leaf = rng.uniform(0.74, 0.82)
    s.line([(0.5, 0.5), (0.5, 1.0)], 0.08, INK)
    s.ellipse(0.66, leaf, 0.17, 0.07, INK, -28)
    s.ellipse(0.34, leaf + 0.06, 0.17, 0.07, INK, 28)
    for turn, x, y in (
        (0, 0.5, 0.14),
        (72, 0.69, 0.28),
        (144, 0.62, 0.5),
        (36, 0.38, 0.5),
        (108, 0.31, 0.28),
    ):
        s.ellipse(x, y, 0.15, 0.17, DARK if turn in (72, 144) else MAIN, turn)
    s.disc(0.5, 0.34, 0.12, PAPER)
    s.disc(0.5, 0.34, 0.06, INK)


def mushroom(s: Sketch, rng: Generator) -> None:
    foot = rng.uniform(0.17, 0.22)
    s.polygon([(0.37, 0.5), (0.63, 0.5), (0.5 + foot, 1.0), (0.5 - foot, 1.0)], PAPER)
    s.polygon([(0.55, 0.5), (0.63, 0.5), (0.5 + foot, 1.0), (0.58, 1.0)], METAL)
    s.sector(0.5, 0.56, 0.5, 0.52, 180, 360)
    s.ellipse(0.5, 0.56, 0.5, 0.08, DARK)
    for x, y, r in ((0.26, 0.36, 0.08), (0.52, 0.22, 0.1), (0.74, 0.4, 0.08)):
        s.disc(x, y, r, PAPER)


def fish(s: Sketch, rng: Generator) -> None:
    tail = rng.uniform(0.2, 0.26)
    s.polygon([(0.3, 0.5), (0.0, 0.5 - tail), (0.06, 0.5), (0.0, 0.5 + tail)], DARK)
    s.polygon([(0.44, 0.32), (0.52, 0.12), (0.76, 0.3)], DARK)
    s.polygon([(0.5, 0.7), (0.52, 0.86), (0.68, 0.68)], DARK)
    s.ellipse(0.6, 0.5, 0.4, 0.25)
    s.ellipse(0.6, 0.6, 0.3, 0.1, LIGHT)
    s.arc(0.66, 0.5, 0.09, 0.2, -70, 70, 0.04, DEEP)
    s.disc(0.86, 0.44, 0.06, PAPER)
    s.disc(0.87, 0.44, 0.035, INK)


def bird(s: Sketch, rng: Generator) -> None:
    wing = rng.uniform(0.0, 0.08)
    s.line([(0.46, 0.76), (0.44, 0.98)], 0.06, INK)
    s.line([(0.6, 0.76), (0.6, 0.98)], 0.06, INK)
    s.polygon([(0.26, 0.5), (0.0, 0.36), (0.04, 0.56), (0.3, 0.68)], DARK)
    s.polygon([(0.9, 0.2), (1.06, 0.3), (0.88, 0.36)], INK)
    s.blob(
        [
            (0.2, 0.5),
            (0.5, 0.4),
            (0.62, 0.2),
            (0.8, 0.1),
            (0.94, 0.24),
            (0.82, 0.64),
            (0.5, 0.82),
            (0.26, 0.7),
        ]
    )
    s.blob([(0.18, 0.42 - wing), (0.46, 0.44), (0.66, 0.5), (0.52, 0.68), (0.3, 0.62)], DEEP)
    s.disc(0.8, 0.24, 0.05, PAPER)
    s.disc(0.81, 0.24, 0.03, INK)


def cat(s: Sketch, rng: Generator) -> None:
    curl = rng.uniform(0.34, 0.44)
    s.line([(0.74, 0.92), (0.94, 0.84), (0.96, 0.62), (0.88, curl + 0.06)], 0.11, DARK)
    s.blob([(0.3, 0.4), (0.62, 0.44), (0.8, 0.76), (0.8, 0.98), (0.24, 0.98), (0.22, 0.7)])
    s.ellipse(0.42, 0.8, 0.13, 0.18, LIGHT)
    s.polygon([(0.12, 0.28), (0.14, 0.0), (0.36, 0.14)], DARK)
    s.polygon([(0.68, 0.28), (0.66, 0.0), (0.44, 0.14)], DARK)
    s.ellipse(0.4, 0.3, 0.3, 0.22)
    for x in (0.29, 0.51):
        s.ellipse(x, 0.28, 0.055, 0.065, PAPER)
        s.ellipse(x, 0.28, 0.028, 0.055, INK)
    s.polygon([(0.35, 0.38), (0.45, 0.38), (0.4, 0.44)], INK)


def butterfly(s: Sketch, rng: Generator) -> None:
    reach = rng.uniform(0.02, 0.1)
    for side in (-1, 1):
        s.blob(
            [(0.5 + side * x, y) for x, y in ((0.04, 0.46), (0.3, reach), (0.5, 0.1), (0.44, 0.46))]
        )
        s.blob(
            [
                (0.5 + side * x, y)
                for x, y in ((0.04, 0.5), (0.36, 0.5), (0.38, 0.84), (0.18, 0.92))
            ],
            DARK,
        )
        s.disc(0.5 + side * 0.32, 0.27, 0.09, PAPER)
        s.disc(0.5 + side * 0.25, 0.7, 0.07, LIGHT)
        s.line([(0.5, 0.26), (0.5 + side * 0.12, 0.04)], 0.035, INK)
    s.ellipse(0.5, 0.52, 0.06, 0.32, INK)


def turtle(s: Sketch, rng: Generator) -> None:
    neck = rng.uniform(0.36, 0.46)
    for x in (0.22, 0.62):
        s.rounded(x, 0.64, x + 0.16, 0.9, 0.05, METAL)
    s.line([(0.74, 0.64), (0.88, neck + 0.04)], 0.14, METAL)
    s.ellipse(0.92, neck, 0.12, 0.1, METAL)
    s.disc(0.95, neck - 0.02, 0.03, INK)
    s.polygon([(0.12, 0.66), (0.0, 0.78), (0.2, 0.76)], METAL)
    s.sector(0.44, 0.72, 0.38, 0.5, 180, 360)
    s.polygon([(0.34, 0.32), (0.54, 0.32), (0.6, 0.52), (0.44, 0.6), (0.28, 0.52)], DEEP)
    s.polygon([(0.12, 0.52), (0.2, 0.56), (0.24, 0.7), (0.08, 0.7)], DEEP)
    s.polygon([(0.76, 0.52), (0.68, 0.56), (0.64, 0.7), (0.8, 0.7)], DEEP)
    s.box(0.04, 0.68, 0.84, 0.76, LIGHT)
