"""The sheet of class-level queries: which answers it shows, and how it frames them."""

from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageColor

from cir.classes.scoring.scoring import Part
from cir.classes.scoring.sheet import class_sheet

WHITE, GREEN, RED = (ImageColor.getrgb(name) for name in ("white", "#1a7f37", "#b3261e"))
SHADES = {"q0": "black", "q1": "gray", "g0": "blue", "g1": "yellow", "g2": "cyan", "g3": "pink"}
QUERIES = Part(("q0", "q1"), ("cat", "dog"))
GALLERY = Part(("g0", "g1", "g2", "g3"), ("cat", "dog", "cat", "catdog"))


class Plain:
    """Images of one colour each."""

    def image(self, name):
        return Image.new("RGB", (40, 20), SHADES[name])


def sheet(found, chosen):
    ranking = SimpleNamespace(top_indices=np.array(found))
    return class_sheet(ranking, QUERIES, GALLERY, Plain(), Plain(), chosen)


def pixels(picture, rows, columns, x, y):
    """Pixels at (x, y) from the corner of each image; the first column is the query's."""
    step, top = 72 + 16 + 10, 22
    lefts = [10 + column * 82 + (10 if column else 0) for column in range(columns)]
    return [
        [picture.getpixel((left + x, top + row * step + y)) for left in lefts]
        for row in range(rows)
    ]


def test_right_answers_are_framed_in_green_and_wrong_ones_in_red():
    picture = sheet([[0, 1, 2], [0, 1, 3]], [0, 1])
    frames = pixels(picture, 2, 4, -2, 36)
    assert frames == [[WHITE, GREEN, RED, GREEN], [WHITE, RED, GREEN, RED]]
    assert picture.size == (10 + 4 * 82 + 10, 22 + 10 + 2 * 98)


def test_rows_hold_the_answers_of_the_chosen_queries():
    shown = pixels(sheet([[0, 1], [3, 2]], [1, 0]), 2, 3, 36, 36)
    assert shown == [
        [ImageColor.getrgb(SHADES[name]) for name in row]
        for row in (("q1", "g3", "g2"), ("q0", "g0", "g1"))
    ]


def test_a_sheet_of_nothing():
    assert sheet([[0]], []).size == (102, 130)
