"""The sheet of text queries: which queries are chosen, and how answers are framed."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from cir.text_search.data.queries import TextQuery
from cir.text_search.scoring.sheet import choose, text_sheet

GREEN, AMBER, RED = (26, 127, 55), (191, 135, 0), (179, 38, 30)


class Plain:
    """Three white images."""

    ids = ("a", "b", "c")

    def image(self, name):
        return Image.new("RGB", (64, 64), "white")


def test_queries_are_chosen_from_each_kind_and_from_all_over():
    kinds = [*"aab", *"b" * 6, "c"]
    assert choose(kinds, 3) == [0, 1, 2, 5, 8, 9]
    assert choose(kinds, 1) == [0, 2, 9]
    assert choose([], 3) == []


def test_frames_tell_the_grade():
    queries = [
        TextQuery("q0", "not drawn", "one object", {"a": 1}),
        TextQuery("q1", "a red mug", "one object", {"c": 3, "a": 1}),
        TextQuery("q2", "très long " * 40, "kind", {"c": 1}),
    ]
    measured = SimpleNamespace(ranking=SimpleNamespace(top_indices=np.array([[2, 0, 1]] * 3)))
    picture = np.array(text_sheet(measured, queries, Plain(), [1, 2]))
    for top, expected in ((19, (GREEN, AMBER, RED)), (19 + 98, (GREEN, RED, RED))):
        frames = [tuple(picture[top + 1, 210 + 82 * place + 36]) for place in range(3)]
        assert frames == list(expected)


def test_a_sheet_of_nothing():
    measured = SimpleNamespace(ranking=SimpleNamespace(top_indices=np.zeros((0, 3), int)))
    assert text_sheet(measured, [], Plain(), []).size == (210, 130)
