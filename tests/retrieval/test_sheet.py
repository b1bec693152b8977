"""The sheet of composed queries: which images it shows, and how it frames them."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from cir.core.records import Triplet
from cir.images import decoding as images
from cir.images import shards
from cir.retrieval.ranking.ranking import rank
from cir.retrieval.sheet import query_sheet

SHADES = {"r": "red", "t": "lime", "x": "blue"}
WHITE, GREEN, RED = (ImageColor.getrgb(name) for name in ("white", "#1a7f37", "#b3261e"))
LEFTS = [12, 12 + 132 + 342, 12 + 2 * 132 + 342, 12 + 3 * 132 + 342]  # of the images


@pytest.fixture
def stored(tmp_path):
    shown = {name: Image.new("RGB", (30, 30), colour) for name, colour in SHADES.items()}
    rows = [(name, images.encode(image), ()) for name, image in shown.items()]
    shards.write(tmp_path / "test", rows, [], {})
    return shards.ImageShards(tmp_path / "test")


def drawn(stored, query, **options):
    """The sheet of one query, whose target is t; `query` has its cosines to r, t and x."""
    vectors = np.eye(3, dtype=np.float32)
    ranking = rank(np.array([query], np.float32), vectors, ["q"], list(SHADES), np.array([1]))
    triplets = [Triplet("q", "r", "Keep it.", "t")]
    return query_sheet(ranking, triplets, stored, [0], [["other"] * 3], answers=2, **options)


def name_at(picture, left):
    shades = {name: np.array(ImageColor.getrgb(colour)) for name, colour in SHADES.items()}
    pixel = np.array(picture.getpixel((left + 60, 36 + 90)))
    return min(shades, key=lambda name: np.abs(shades[name] - pixel).sum())


def frame_at(picture, left):
    return picture.getpixel((left - 2, 36 + 60))


def test_a_row_shows_the_reference_the_answers_and_the_target(stored):
    picture = drawn(stored, [0.1, 0.5, 0.9], with_target=True)
    assert [name_at(picture, left) for left in LEFTS] == ["r", "x", "t", "t"]
    assert [frame_at(picture, left) for left in LEFTS] == [WHITE, RED, GREEN, GREEN]
    assert picture.width == 4 * 132 + 330 + 24


def test_a_right_first_answer_alone_is_framed(stored):
    picture = drawn(stored, [0.1, 0.9, 0.5])
    assert [frame_at(picture, left) for left in LEFTS[:3]] == [WHITE, GREEN, WHITE]
    assert picture.width == 3 * 132 + 330 + 24


def test_the_rank_of_the_target_is_written_over_it(stored):
    first, second = (drawn(stored, query, with_target=True) for query in ([0, 2, 1], [0, 1, 2]))
    notes = [picture.crop((LEFTS[3], 36, LEFTS[3] + 60, 60)) for picture in (first, second)]
    assert notes[0] != notes[1]
