"""Which captions are judged to be true: names, kinds and numbers of what an image shows."""

import numpy as np
import pytest

from cir.text_search.data import wording
from cir.text_search.training.caption_truth import share_naming_what_is_shown, share_true

OBJECTS = {
    "a": ["red mug", "knife", "knife", "blue mug", "red watering can"],
    "b": ["red car", "red mug cup", "green boat", "cup of tea", "USB stick"],
    "c": [],
}


@pytest.mark.parametrize(
    ("caption", "named", "counted"),
    [
        ("a red mug", True, True),
        ("A Red Mug", True, True),
        ("a red mug and two knives", True, True),
        ("three knives", True, False),
        ("2 knives, 1 red mug", True, True),
        ("one knife", True, False),
        ("a knife", True, True),  # at least one
        ("knives", True, True),
        ("a knife and a knife and a knife", True, True),  # each by itself
        ("two mugs", True, True),  # of different colours
        ("three mugs", True, False),
        ("two red mugs", True, False),
        ("one mug", True, False),
        ("mug", True, True),
        ("a boat", False, False),
        ("a red mug and boats", False, False),
        ("a green boat", False, False),
        ("a yellow boat", False, False),
        ("a green mug", False, False),  # a known word before a known kind, though of no image
        ("a yellow mug", True, True),  # nothing is known of yellow
        ("a watering can", True, True),
        ("a can", True, True),
        ("two watering cans", True, False),
        ("a red car", False, False),
        ("red cars", False, False),
        ("a red mug and a red car", False, False),
        ("a red cart", True, True),  # another word
        ("a red mug cup", False, False),  # a name that holds a name of the image
        ("a mug cup", False, False),
        ("a tea time", True, True),  # "cup of tea" is no kind of tea
        ("two cups of tea", False, False),
        ("a usb stick", False, False),
        ("an infrared mug", True, True),  # "red mug" is not a word of its own there
        ("a knife above a red mug", True, True),  # places are not judged
        ("", True, True),
    ],
)
def test_names_kinds_and_numbers(caption, named, counted):
    assert share_naming_what_is_shown([("a", [caption])], OBJECTS) == float(named)
    assert share_true([("a", [caption])], OBJECTS) == float(counted)


def test_shares_are_of_the_captions_of_images_whose_objects_are_known():
    objects = {"a": ["red mug"], "b": ["red car", "red car"], "c": []}
    captioned = [("a", ["a red mug", "a car"]), ("b", ["two cars", "a red car", "three cars"])]
    captioned += [("a", []), ("c", ["a red car"])]
    assert share_naming_what_is_shown(captioned, objects) == 4 / 5
    assert share_true(captioned, objects) == 3 / 5
    for share in (share_naming_what_is_shown, share_true):
        assert share([("a", [])], objects) is None
        assert share([], objects) is None
        assert share([("c", ["a red mug"])], objects) is None
        assert share([("a", ["a red mug"])], {"a": []}) is None


def test_numbers_are_not_known_where_no_object_comes_twice():
    objects = {"a": ["red mug"], "b": ["red car"]}
    assert share_true([("a", ["a red mug"])], objects) is None
    assert share_naming_what_is_shown([("a", ["two red mugs"])], objects) == 1


def test_what_scenes_are_said_to_show_is_true_of_them_and_not_of_others():
    names = [
        f"{colour} {kind}" for colour in ("red", "teal") for kind in ("mug", "bus", "scissors")
    ]
    rng = np.random.default_rng(3)
    cells = {f"i{n}": [*rng.choice([*names, ""], 3), str(rng.choice(names))] for n in range(60)}
    objects = {name: [one for one in own if one] for name, own in cells.items()}
    said = {name: [wording.caption(own, rng) for _ in range(5)] for name, own in cells.items()}
    assert share_true(said.items(), objects) == 1
    assert share_naming_what_is_shown(said.items(), objects) == 1
    others = dict(zip(said, [*list(said.values())[1:], said["i0"]], strict=True))
    named = share_naming_what_is_shown(others.items(), objects)
    assert share_true(others.items(), objects) < named < 0.7
