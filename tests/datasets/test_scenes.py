"""What is drawn: every object asked for, recognisable, the same for the same seed."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.datasets.scenes import COLOURS, OBJECTS, all_names, contact_sheet, draw_many, draw_scene
from cir.datasets.scenes.draw import _MARGIN, _corner, draw_ground, draw_object


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_there_are_forty_objects_in_ten_colours():
    names = all_names()
    assert len(OBJECTS) >= 40
    assert len(COLOURS) >= 10
    assert len(set(names)) == len(names) == len(OBJECTS) * len(COLOURS)
    assert all(len(name.split(" ")) == 2 for name in names)


@pytest.mark.parametrize("size", [64, 96])
def test_every_name_of_a_full_scene_is_drawn_in_a_cell_of_its_own(size):
    shuffled = generator(1).permutation(all_names()).tolist()
    half = size // 2
    for start in range(0, len(shuffled), 4):
        scene = pixels(draw_scene(shuffled[start : start + 4], generator(start), size))
        ground = pixels(draw_ground(generator(start), size))  # the scene draws its ground first
        changed = np.abs(scene - ground).max(axis=2) > 45
        for top in (0, half):
            for left in (0, half):
                cell = changed[top : top + half, left : left + half]
                assert cell.mean() > 0.08, (shuffled[start : start + 4], top, left)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_as_many_cells_are_filled_as_there_are_names(count):
    names = [f"blue {kind}" for kind in ("mug", "sofa", "cat", "bus")][:count]
    for seed in range(30):
        scene = pixels(draw_scene(names, generator(seed)))
        blue = (scene[..., 2] - scene[..., :2].max(axis=2)) > 60
        cells = blue.reshape(2, 32, 2, 32).sum(axis=(1, 3))
        # The margin between cells allows a rounding pixel of a neighbour, never an object.
        assert (cells > 90).sum() == count
        assert np.sort(cells.ravel())[: 4 - count].sum() <= 20


def test_what_cannot_be_drawn_is_refused_and_not_dropped():
    names = all_names()
    with pytest.raises(UserError, match="1 to 4 different objects, got 5"):
        draw_scene(names[:5], generator())
    with pytest.raises(UserError, match="got 0"):
        draw_scene([], generator())
    with pytest.raises(UserError, match="different"):
        draw_scene([names[0], names[0]], generator())
    with pytest.raises(UserError, match="'teal unicorn'"):
        draw_scene(["teal unicorn"], generator())
    with pytest.raises(UserError, match="'mauve mug'"):
        draw_scene(["mauve mug"], generator())


@pytest.mark.parametrize("name", all_names())
def test_an_object_shows_its_colour(name):
    colour = np.array(COLOURS[name.split(" ")[0]])
    drawn = pixels(draw_object(name, generator(5), 30))
    opaque = drawn[drawn[..., 3] > 250][:, :3]
    near = np.abs(opaque - colour).max(axis=1) < 45
    assert near.mean() > 0.1


def test_an_object_is_as_large_as_asked_and_inside_its_cell():
    rng = generator(2)
    for name in all_names()[::7]:
        patch = draw_object(name, rng, 30.7)
        inked = patch.getchannel("A").point(lambda level: 255 * (level > 100)).getbbox()
        assert inked is not None
        width, height = inked[2] - inked[0], inked[3] - inked[1]
        assert 29 <= max(width, height) <= 33
        for cell in range(4):
            x, y = _corner(patch, cell, rng, 64)
            left, top = cell % 2 * 32, cell // 2 * 32
            assert left - 1 <= x + _MARGIN
            assert x + patch.width - _MARGIN <= left + 33
            assert top - 1 <= y + _MARGIN
            assert y + patch.height - _MARGIN <= top + 33


def test_no_two_objects_look_alike():
    """Means over instances: neither the outlines nor the pictures of two objects coincide."""
    outlines, pictures = {}, {}
    for kind in OBJECTS:
        instances = [_centred(f"teal {kind}", seed) for seed in range(24)]
        outlines[kind] = np.mean([drawn[..., 3] for drawn in instances], axis=0) / 255
        shades = [drawn[..., :3] * (drawn[..., 3:] / 255) for drawn in instances]
        pictures[kind] = np.mean(shades, axis=0) / 255
    for one, other in combinations(OBJECTS, 2):
        a, b = outlines[one], outlines[other]
        overlap = np.minimum(a, b).sum() / np.maximum(a, b).sum()
        difference = np.abs(pictures[one] - pictures[other]).sum() / 3
        average = (a.sum() + b.sum()) / 2
        assert overlap < 0.9, (one, other)
        assert difference / average > 0.12, (one, other)


def _centred(name: str, seed: int) -> np.ndarray:
    patch = draw_object(name, generator(seed), 28)
    frame = Image.new("RGBA", (36, 36))
    frame.paste(patch, ((36 - patch.width) // 2, (36 - patch.height) // 2))
    return pixels(frame)


def test_colours_stand_apart_from_each_other_and_from_the_grounds():
    for one, other in combinations(COLOURS.values(), 2):
        assert np.linalg.norm(np.subtract(one, other)) > 75, (one, other)
    for seed in range(40):
        ground = pixels(draw_ground(generator(seed), 16)).reshape(-1, 3)
        for colour in COLOURS.values():
            assert np.linalg.norm(ground - colour, axis=1).min() > 50


def test_instances_vary_and_seeds_repeat():
    names = ["red mug", "white cat"]
    first = draw_scene(names, generator(3)).tobytes()
    assert draw_scene(names, generator(3)).tobytes() == first
    assert draw_scene(names, generator(4)).tobytes() != first
    for kind in OBJECTS:
        shapes = {draw_object(f"red {kind}", generator(s), 28).tobytes() for s in range(5)}
        assert len(shapes) == 5


def test_drawing_in_parallel_changes_nothing():
    names = all_names()
    sets = {f"image-{i}": tuple(names[i : i + 1 + i % 4]) for i in range(300)}
    alone = list(draw_many(sets, 64, seed=7))
    assert [(i, shown) for i, _, shown in alone] == list(sets.items())
    assert list(draw_many(sets, 64, seed=7, workers=2)) == alone
    some = {key: sets[key] for key in ("image-9", "image-200")}
    assert list(draw_many(some, 64, seed=7)) == [alone[9], alone[200]]
    assert next(draw_many(some, 64, seed=8))[1] != alone[9][1]
    picture = Image.open(io.BytesIO(alone[0][1]))
    assert (picture.mode, picture.size) == ("RGB", (64, 64))
    assert max(len(encoded) for _, encoded, _ in alone) < 13_000


def test_a_name_that_cannot_be_drawn_stops_the_workers_too():
    with pytest.raises(UserError, match="'red unicorn'"):
        list(draw_many({"a": ["red mug"], "b": ["red unicorn"]}, 64, seed=0, workers=2))


def test_contact_sheet_is_legible_and_small():
    sheet = contact_sheet(64, seed=0)
    assert min(sheet.size) >= 1000
    encoded = io.BytesIO()
    sheet.save(encoded, "JPEG", quality=80)
    assert len(encoded.getvalue()) < 300_000
    assert contact_sheet(64, seed=0).tobytes() == sheet.tobytes()
