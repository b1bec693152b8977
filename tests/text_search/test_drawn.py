"""Drawn galleries to be searched by words: what they promise, and what training never shows."""

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest

from cir.core.english import plural
from cir.core.errors import UserError
from cir.datasets.scenes import all_names, draw_cells, draw_many, draw_scene
from cir.datasets.scenes.draw import _cast_shadow, _corner, draw_ground, draw_light, draw_object
from cir.text_search.data.drawn import (
    Gallery,
    HeldOut,
    Sampler,
    load,
    pairs_shown,
    sample_gallery,
    sample_scenes,
)
from cir.text_search.data.params import DrawnScenes

NAMES = [f"{c} {k}" for c in ("red", "blue", "green", "yellow") for k in ("mug", "car", "fish")]
NAMES += [f"{c} {k}" for c in ("red", "blue", "green", "yellow") for k in ("hat", "key", "tree")]
EACH = 6
IMAGES = EACH * (3 + 4 + 3 + 4 + 4) + 20
SEEN = {frozenset(pair) for pair in list(combinations(NAMES, 2))[::3]}
KINDS = ["one object", "colours of a pair", "pair of objects", "count", "place"]
NUMBERS = {"two": 2, "three": 3}
RELATIONS = ("left", "right", "above", "below")
SINGULAR = {plural(name): name for name in all_names()}
PLAN = DrawnScenes(
    source="scenes",
    train_images=60,
    described=40,
    captions_each=2,
    val_images=60,
    val_queries_each=2,
    test_images=60,
    test_queries_each=3,
    image_size=32,
    rows_per_shard=50,
    workers=1,
)


def gallery_of(seed, seen=SEEN, images=IMAGES, each=EACH, names=NAMES) -> Gallery:
    return sample_gallery("test", each, images, names, np.random.default_rng(seed), seen)


@pytest.fixture(scope="module", params=[(1, NAMES), (2, NAMES), (3, all_names())])
def gallery(request):
    """Of few names, where scenes answer other queries by chance, and of many, where few do."""
    seed, names = request.param
    return gallery_of(seed, names=names)


def asked(query):
    """The names (or kinds) that a query is about, and its number or relation, from its words."""
    words = [word for word in query.text.split() if word not in ("a", "an", "and")]
    if query.kind == "count":
        return [SINGULAR[" ".join(words[1:])]], NUMBERS[words[0]]
    if query.kind == "pair of objects":
        return [words[0], words[1]], None
    first, last = " ".join(words[:2]), " ".join(words[-2:])
    if query.kind == "place":
        return [first, last], next(word for word in words if word in RELATIONS)
    return ([first, last] if query.kind == "colours of a pair" else [last]), None


def stands(cells, one, other, relation):
    """Some instance of the one stands so to some instance of the other: rows and columns."""
    grid = {(0, 0): cells[0], (0, 1): cells[1], (1, 0): cells[2], (1, 1): cells[3]}
    pairs = {"left": [(0, 1)], "right": [(1, 0)], "above": [(0, 1)], "below": [(1, 0)]}[relation]
    axis = 1 if relation in ("left", "right") else 0
    return any(
        grid[here] == one and grid[there] == other and (here[axis], there[axis]) in pairs
        for here, there in permutations(grid, 2)
    )


def slow_grade(query, cells):
    """All that a query asks, one by one, from its words: the share that holds, in quarters."""
    names, more = asked(query)
    held = []
    if query.kind == "pair of objects":
        held = [any(cell.endswith(f" {kind}") for cell in cells) for kind in names]
    else:
        for name in names:
            kind = name.split()[1]
            held += [any(cell.endswith(f" {kind}") for cell in cells), name in cells]
    if query.kind == "count":
        held.append(sum(cell == names[0] for cell in cells) == more)
    if query.kind == "place":
        held.append(stands(cells, *names, more))
    return 4 if all(held) else min(3, round(4 * sum(held) / len(held)))


def test_grades_are_those_of_the_words_and_the_cells(gallery):
    assert len(gallery.scenes) == IMAGES
    assert Counter(query.kind for query in gallery.queries) == dict.fromkeys(KINDS, EACH)
    assert len({query.id for query in gallery.queries}) == len(gallery.queries)
    levels = Counter()
    for query in gallery.queries:
        slow = {name: slow_grade(query, cells) for name, cells in gallery.scenes.items()}
        assert dict(query.grades) == {name: grade for name, grade in slow.items() if grade}, query
        levels.update(slow.values())
    assert set(levels) == {0, 1, 2, 3, 4}


def test_every_query_has_answers_and_the_near_misses_of_its_kind(gallery):
    scenes = list(gallery.scenes.values())
    for query in gallery.queries:
        names, more = asked(query)
        made_for_it = 2
        assert sum(grade == 4 for grade in query.grades.values()) >= made_for_it, query
        if query.kind == "one object":
            kind = names[0].split()[1]
            assert any(n.endswith(kind) and n != names[0] for cells in scenes for n in cells)
        if query.kind == "colours of a pair":
            (colour, kind), (second, thing) = (name.split() for name in names)
            assert colour != second
            assert kind != thing
            exchanged = {f"{second} {kind}", f"{colour} {thing}"}
            assert any(exchanged <= set(cells) for cells in scenes)
            assert any(
                names[1] in cells and any(n.endswith(kind) and n != names[0] for n in cells)
                for cells in scenes
            ), "the one in a third colour"
        if query.kind == "pair of objects":
            for own, other in (names, names[::-1]):
                assert any(
                    any(n.endswith(f" {own}") for n in cells)
                    and not any(n.endswith(f" {other}") for n in cells)
                    for cells in scenes
                )
        if query.kind == "count":
            counts = Counter(cells.count(names[0]) for cells in scenes)
            assert counts[more] >= 2
            assert counts[1] >= 1
            assert counts[5 - more] >= 1
        if query.kind == "place":
            both = [cells for cells in scenes if set(names) <= set(cells)]
            assert sum(not stands(cells, *names, more) for cells in both) >= 2


def test_no_query_asks_for_a_pair_that_was_seen(gallery):
    for query in gallery.queries:
        if query.kind in ("colours of a pair", "place"):
            pair = frozenset(asked(query)[0])
            assert pair not in SEEN
            assert pair in gallery.held.pairs


def test_all_relations_and_numbers_are_asked_for():
    queries = gallery_of(5, each=30, images=600).queries
    found = Counter(asked(query)[1] for query in queries)
    assert set(found) == {None, 2, 3, "left", "right", "above", "below"}


def test_the_order_of_a_gallery_tells_nothing(gallery):
    """The scenes that are made for the queries are mixed with the others, in no order."""
    places = [
        np.mean([int(name.removeprefix("test-")) for name, grade in q.grades.items() if grade == 4])
        for q in gallery.queries
        if q.kind in ("colours of a pair", "place")  # which hardly another scene answers
    ]
    assert np.mean(places) == pytest.approx((IMAGES - 1) / 2, abs=IMAGES / 6)
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.8


def shows(cells):
    names = [name for name in cells if name]
    pairs = {frozenset(two) for two in combinations(set(names), 2)}
    return pairs, {(n, names.count(n)) for n in names}, tuple(sorted(names))


def test_training_shows_nothing_that_is_held_out():
    gallery = gallery_of(1)
    free = sample_scenes("free", 300, NAMES, np.random.default_rng(0), HeldOut())
    kept = sample_scenes("kept", 300, NAMES, np.random.default_rng(0), gallery.held)
    refused = {"pairs": 0, "counts": 0, "scenes": 0}
    for scenes in (free, kept):
        refused = dict.fromkeys(refused, 0)
        for cells in scenes.values():
            pairs, counts, scene = shows(cells)
            refused["pairs"] += bool(pairs & gallery.held.pairs)
            refused["counts"] += bool(counts & gallery.held.counts)
            refused["scenes"] += scene in gallery.held.scenes
        if scenes is free:
            assert min(refused.values()) > 0, "else there would be nothing to hold out"
    assert refused == {"pairs": 0, "counts": 0, "scenes": 0}
    asked_for = {frozenset(asked(q)[0]) for q in gallery.queries if q.kind in KINDS[1::3]}
    assert asked_for <= gallery.held.pairs
    numbers = {(*asked(q)[0], asked(q)[1]) for q in gallery.queries if q.kind == "count"}
    assert numbers == gallery.held.counts
    assert {shows(cells)[2] for cells in gallery.scenes.values()} == gallery.held.scenes


def test_scenes_for_training_are_of_all_sizes():
    scenes = sample_scenes("t", 400, NAMES, np.random.default_rng(7), HeldOut()).values()
    sizes = Counter(len([name for name in cells if name]) for cells in scenes)
    most = Counter(max(Counter(filter(None, cells)).values()) for cells in scenes)
    assert set(sizes) == {1, 2, 3, 4}
    assert set(most) == {1, 2, 3}
    assert (most[2] + most[3]) / 400 == pytest.approx(0.3, abs=0.07)
    assert {n for cells in scenes for n in cells} == {"", *NAMES}
    assert all(any(cells[place] for cells in scenes) for place in range(4))


def test_what_the_names_do_not_suffice_for():
    with pytest.raises(UserError, match="the queries need 114 images of the gallery's 50"):
        gallery_of(1, images=50)
    with pytest.raises(UserError, match=r"too few names to draw from: none but red mug$"):
        gallery_of(1, names=["red mug", "red car"])
    everything = {frozenset(pair) for pair in combinations(NAMES, 2)}
    with pytest.raises(UserError, match="training shows nearly every pair of names"):
        gallery_of(1, seen=everything)
    nothing_left = HeldOut(counts=frozenset((n, t) for n in NAMES for t in (1, 2, 3)))
    with pytest.raises(UserError, match="what is held out leaves too few scenes: 0 of 5"):
        sample_scenes("t", 5, NAMES, np.random.default_rng(0), nothing_left)


def test_a_pair_can_exchange_its_colours():
    """Of these only the mug and the car come in each other's colours."""
    names = ["red mug", "blue mug", "red car", "blue car", "green fish", "yellow hat"]
    sampler = Sampler(names, np.random.default_rng(0))
    found = {frozenset(sampler.pair(set())) for _ in range(60)}
    assert found == {frozenset(("red mug", "blue car")), frozenset(("blue mug", "red car"))}


def content(splits):
    return {
        part: (list(split.rows), list(split.captions), list(split.queries), split.info)
        for part, split in splits.items()
    }


@pytest.fixture(scope="module")
def loaded():
    return content(load(PLAN, NAMES, set(), seed=3))


def test_splits_are_what_the_plan_says(loaded):
    train, val, test = (loaded[part] for part in ("train", "val", "test"))
    assert [len(part[0]) for part in (train, val, test)] == [60, 60, 60]
    described = [name for name, _, _ in train[0]][:40]
    assert [name for name, _ in train[1]] == [name for name in described for _ in range(2)]
    assert [name for name, _ in val[1]] == [name for name, _, _ in val[0]]
    assert test[1] == [] == train[2]
    assert (len(val[2]), len(test[2])) == (10, 15)
    for _, rows in ((part, loaded[part][0]) for part in loaded):
        for _, encoded, objects in rows:
            assert 1 <= len(objects) <= 4
            assert encoded[:2] == b"BM"
    asked_for = [frozenset(asked(q)[0]) for q in val[2] + test[2] if q.kind in KINDS[1::3]]
    together = pairs_shown(objects for _, _, objects in train[0])
    assert together
    assert not together & set(asked_for)
    held = {tuple(sorted(objects)) for part in (val, test) for _, _, objects in part[0]}
    assert not held & {tuple(sorted(objects)) for _, _, objects in train[0]}


def test_the_same_seed_gives_the_same_whatever_the_workers(loaded):
    assert content(load(PLAN, NAMES, set(), seed=3)) == loaded
    by_two = load(PLAN.model_copy(update={"workers": 2}), NAMES, set(), seed=3)
    assert list(by_two["val"].rows) == loaded["val"][0]
    assert [by_two[part].queries for part in loaded] == [tuple(own[2]) for own in loaded.values()]
    assert [by_two[part].captions for part in loaded] == [own[1] for own in loaded.values()]
    other = content(load(PLAN, NAMES, set(), seed=4))
    assert other["test"][2] != loaded["test"][2]
    assert other["train"][1] != loaded["train"][1]


def test_pairs_shown_by_hand():
    found = pairs_shown([("a", "b", "a"), ("c",), (), ("b", "c")])
    assert found == {frozenset("ab"), frozenset("bc")}


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("size", [64, 96])
def test_cells_are_drawn_where_they_belong(size):
    shuffled = np.random.default_rng(1).permutation(all_names()).tolist()
    half = size // 2
    for seed in range(12):
        cells = ["" if (seed >> place) & 1 else shuffled[4 * seed + place] for place in range(4)]
        if not any(cells):
            continue
        scene = pixels(draw_cells(cells, np.random.default_rng(seed), size))
        ground = pixels(draw_ground(np.random.default_rng(seed), size))
        changed = np.abs(scene - ground).max(axis=2) > 45
        for place, name in enumerate(cells):
            top, left = half * (place // 2), half * (place % 2)
            share = changed[top : top + half, left : left + half].mean()
            # Light falls on all of it, and shadows reach a little into the next cell.
            assert share > 0.12 if name else share < 0.06, (cells, place, share)


def test_one_name_in_several_cells():
    scene = pixels(draw_cells(["blue mug", "", "blue mug", "blue mug"], np.random.default_rng(0)))
    blue = (scene[..., 2] - scene[..., :2].max(axis=2)) > 60
    cells = blue.reshape(2, 32, 2, 32).sum(axis=(1, 3))
    assert (cells > 90).tolist() == [[True, False], [True, True]]
    again = pixels(draw_cells(["blue mug", "", "blue mug", "blue mug"], np.random.default_rng(0)))
    np.testing.assert_array_equal(scene, again)


@pytest.mark.parametrize("cells", [["", "", "", ""], ["red mug"], [*["red mug"] * 5], []])
def test_cells_that_are_no_scene_are_refused(cells):
    with pytest.raises(UserError, match=f"4 cells, at least one .* got {len(cells)}: "):
        draw_cells(cells, np.random.default_rng(0))


def test_a_name_that_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="no drawing for 'red dragon'"):
        draw_cells(["", "red dragon", "", ""], np.random.default_rng(0))


def test_many_are_drawn_by_the_function_given():
    sets = {"a": ("red mug", "", "", "blue car"), "b": ("", "red mug", "red mug", "")}
    drawn = list(draw_many(sets, 32, seed=9, draw=draw_cells))
    assert [(name, cells) for name, _, cells in drawn] == list(sets.items())
    with pytest.raises(UserError):
        list(draw_many(sets, 32, seed=9))  # draw_scene takes no empty names


def drawn_before(names, rng, size):
    """draw_scene as it stood before cells could be chosen: the same draws in the same order."""
    canvas = draw_ground(rng, size)
    slant = rng.uniform(-1, 1)
    cells = rng.permutation(4)[: len(names)].tolist()
    patches = [draw_object(name, rng, size * rng.uniform(0.38, 0.48)) for name in names]
    corners = [_corner(p, c, rng, size) for p, c in zip(patches, cells, strict=True)]
    for patch, corner in zip(patches, corners, strict=True):
        _cast_shadow(canvas, patch, corner, slant)
    for patch, corner in zip(patches, corners, strict=True):
        canvas.paste(patch, corner, patch)
    return draw_light(canvas, rng)


def test_scenes_are_drawn_as_they_were_before_cells_could_be_chosen():
    """Data that was made from a seed stays what it was."""
    for seed in range(12):
        names = all_names()[seed * 7 :: 97][: 1 + seed % 4]
        scene = draw_scene(names, np.random.default_rng(seed), 64)
        before = drawn_before(names, np.random.default_rng(seed), 64)
        np.testing.assert_array_equal(pixels(scene), pixels(before))
