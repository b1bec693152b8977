"""Sketch vehicles, houses and toys."""

from numpy.random import Generator

from cir.datasets.scenes.sketch import DARK, DEEP, GLASS, INK, LIGHT, MAIN, METAL, PAPER, Sketch


def car(s: Sketch, rng: Generator) -> None:
    roof = rng.uniform(0.2, 0.26)
    s.polygon([(0.16, 0.54), (0.28, roof), (0.68, roof), (0.86, 0.54)], DARK)
    s.polygon([(0.25, 0.52), (0.33, roof + 0.08), (0.46, roof + 0.08), (0.46, 0.52)], GLASS)
    s.polygon([(0.52, 0.52), (0.52, roof + 0.08), (0.64, roof + 0.08), (0.76, 0.52)], GLASS)
    s.rounded(0.0, 0.48, 1.0, 0.76, 0.1)
    s.box(0.04, 0.67, 0.96, 0.75, DARK)
    s.disc(0.95, 0.57, 0.045, PAPER)
    for x in (0.24, 0.76):
        s.disc(x, 0.76, 0.135, INK)
        s.disc(x, 0.76, 0.06, METAL)


def bus(s: Sketch, rng: Generator) -> None:
    sill = rng.uniform(0.44, 0.5)
    s.rounded(0.0, 0.1, 1.0, 0.84, 0.09)
    for x in (0.06, 0.29, 0.52):
        s.box(x, 0.2, x + 0.18, sill, GLASS)
    s.box(0.76, 0.2, 0.92, 0.8, INK)
    s.box(0.0, sill + 0.08, 0.72, sill + 0.17, LIGHT)
    s.box(0.02, 0.74, 0.98, 0.83, DEEP)
    for x in (0.22, 0.64):
        s.disc(x, 0.84, 0.13, INK)
        s.disc(x, 0.84, 0.055, METAL)


def boat(s: Sketch, rng: Generator) -> None:
    mast = rng.uniform(0.42, 0.48)
    s.polygon([(0.0, 0.7), (1.0, 0.7), (0.8, 1.0), (0.2, 1.0)], DEEP)
    s.box(0.04, 0.7, 0.96, 0.77, PAPER)
    s.box(mast - 0.03, 0.0, mast + 0.03, 0.72, INK)
    s.polygon([(mast + 0.03, 0.02), (0.96, 0.62), (mast + 0.03, 0.62)])
    s.polygon([(mast - 0.03, 0.14), (mast - 0.03, 0.62), (0.06, 0.62)], LIGHT)


def plane(s: Sketch, rng: Generator) -> None:
    sweep = rng.uniform(0.54, 0.62)
    s.polygon([(0.5, 0.3), (1.0, sweep), (1.0, sweep + 0.12), (0.5, 0.56)], DARK)
    s.polygon([(0.5, 0.3), (0.0, sweep), (0.0, sweep + 0.12), (0.5, 0.56)], DARK)
    s.polygon(
        [(0.5, 0.76), (0.76, 0.92), (0.76, 1.0), (0.5, 0.94), (0.24, 1.0), (0.24, 0.92)], DEEP
    )
    s.ellipse(0.5, 0.48, 0.12, 0.48)
    s.ellipse(0.47, 0.5, 0.04, 0.3, LIGHT)
    s.ellipse(0.5, 0.16, 0.07, 0.07, INK)
    for x in (0.24, 0.76):
        s.ellipse(x, 0.5, 0.05, 0.1, METAL)


def rocket(s: Sketch, rng: Generator) -> None:
    flame = rng.uniform(0.94, 1.02)
    s.polygon([(0.38, 0.78), (0.62, 0.78), (0.5, flame)], INK)
    s.polygon([(0.3, 0.46), (0.3, 0.8), (0.06, 0.9), (0.1, 0.66)], DEEP)
    s.polygon([(0.7, 0.46), (0.7, 0.8), (0.94, 0.9), (0.9, 0.66)], DEEP)
    s.blob(
        [
            (0.5, -0.02),
            (0.7, 0.3),
            (0.7, 0.62),
            (0.64, 0.82),
            (0.36, 0.82),
            (0.3, 0.62),
            (0.3, 0.3),
        ],
        PAPER,
    )
    s.polygon([(0.5, -0.01), (0.63, 0.14), (0.7, 0.3), (0.3, 0.3), (0.37, 0.14)])
    s.box(0.3, 0.62, 0.7, 0.78)
    s.disc(0.5, 0.45, 0.11, INK)
    s.disc(0.5, 0.45, 0.07, GLASS)


def house(s: Sketch, rng: Generator) -> None:
    eaves = rng.uniform(0.44, 0.5)
    s.box(0.68, 0.08, 0.82, 0.4, INK)
    s.box(0.1, eaves - 0.02, 0.9, 1.0, PAPER)
    s.polygon([(0.5, 0.02), (1.0, eaves), (0.0, eaves)])
    s.polygon([(0.5, 0.02), (1.0, eaves), (0.84, eaves), (0.5, 0.18)], DARK)
    s.box(0.2, 0.62, 0.42, 1.0)
    s.box(0.56, 0.6, 0.8, 0.82, INK)


def ball(s: Sketch, rng: Generator) -> None:
    tilt = rng.uniform(-25, 25)
    s.disc(0.5, 0.5, 0.5, PAPER)
    for start in (0, 120, 240):
        s.sector(0.5, 0.5, 0.5, 0.5, start + tilt, start + 62 + tilt, MAIN if start else DARK)
    s.disc(0.5, 0.5, 0.1, INK)


def balloon(s: Sketch, rng: Generator) -> None:
    sway = rng.uniform(-0.1, 0.1)
    s.line([(0.5, 0.74), (0.5 + sway, 0.86), (0.5 - sway / 2, 1.0)], 0.05, INK)
    s.blob(
        [
            *((0.5, 0.0), (0.8, 0.1), (0.9, 0.36), (0.7, 0.64)),
            *((0.5, 0.74), (0.3, 0.64), (0.1, 0.36), (0.2, 0.1)),
        ]
    )
    s.blob([(0.86, 0.24), (0.88, 0.42), (0.68, 0.65), (0.52, 0.72), (0.72, 0.5)], DARK)
    s.polygon([(0.5, 0.68), (0.6, 0.8), (0.4, 0.8)], DEEP)
    s.ellipse(0.34, 0.2, 0.08, 0.12, PAPER, 30)


def kite(s: Sketch, rng: Generator) -> None:
    wing = rng.uniform(0.3, 0.36)
    s.line([(0.5, 0.72), (0.66, 0.8), (0.5, 0.88), (0.62, 0.98)], 0.05, INK)
    s.polygon([(0.5, 0.0), (0.92, wing), (0.5, 0.76), (0.08, wing)])
    s.polygon([(0.5, 0.0), (0.92, wing), (0.5, wing)], LIGHT)
    s.polygon([(0.08, wing), (0.5, wing), (0.5, 0.76)], DARK)
    s.box(0.475, 0.02, 0.525, 0.74, INK)
    s.box(0.1, wing - 0.025, 0.9, wing + 0.025, INK)
    s.polygon([(0.72, 0.72), (0.72, 0.9), (0.6, 0.81)], DEEP)
    s.polygon([(0.42, 0.8), (0.42, 0.96), (0.54, 0.88)], DEEP)


def robot(s: Sketch, rng: Generator) -> None:
    arm = rng.uniform(0.72, 0.8)
    s.box(0.47, 0.0, 0.53, 0.12, INK)
    s.disc(0.5, 0.03, 0.055, DEEP)
    s.rounded(0.24, 0.1, 0.76, 0.42, 0.05)
    for x in (0.38, 0.62):
        s.disc(x, 0.24, 0.085, PAPER)
        s.disc(x, 0.24, 0.04, INK)
    s.box(0.36, 0.34, 0.64, 0.39, INK)
    s.box(0.04, 0.48, 0.17, arm, METAL)
    s.box(0.83, 0.48, 0.96, arm, METAL)
    s.box(0.28, 0.8, 0.44, 1.0, METAL)
    s.box(0.56, 0.8, 0.72, 1.0, METAL)
    s.rounded(0.18, 0.44, 0.82, 0.84, 0.04)
    s.box(0.3, 0.54, 0.7, 0.72, DARK)
    s.disc(0.5, 0.63, 0.06, PAPER)
