"""Images with classes: how they are divided, what is refused of them, and those we draw."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cir.classes.datasets import PARTS, division, make_splits, rules
from cir.classes.datasets.base import Findings, LabelledImage
from cir.classes.datasets.params import DrawnObjects
from cir.core.errors import UserError
from cir.datasets import scenes

# Division


def labelled(classes):
    """Images by class, each given by its content: equal numbers are copies."""
    return tuple(
        LabelledImage(f"{label}/{place}", label, f"{label} {content}")
        for label, contents in classes.items()
        for place, content in enumerate(contents)
    )


def sizes(parts, label):
    return {part: sum(i.label == label for i in images) for part, images in parts.items()}


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (100, {"train": 70, "test": 20, "val": 10}),
        (20, {"train": 14, "test": 4, "val": 2}),
        (10, {"train": 6, "test": 2, "val": 2}),  # one for val would find nothing
        (6, {"train": 2, "test": 2, "val": 2}),
        (5, {"train": 3, "test": 2, "val": 0}),  # no pair left for val
        (4, {"train": 2, "test": 2, "val": 0}),
        (3, {"train": 3, "test": 0, "val": 0}),
        (2, {"train": 2, "test": 0, "val": 0}),
    ],
)
def test_shares_of_a_class_worked_by_hand(images, expected):
    parts = division.by_images(labelled({"a": range(images)}), {"test": 0.2, "val": 0.1}, seed=0)
    assert sizes(parts, "a") == expected


def test_classes_too_small_for_a_part_are_told():
    images = labelled({"a": range(30), "b": range(4), "c": range(2)})
    images += labelled({"d": range(6)})
    shares, findings = {"test": 0.2, "val": 0.1}, Findings(leave_out=False)
    division.divide("images", images, shares, findings, seed=0)
    assert findings.notes == [
        "1 of 4 classes have too few images to be in test: c",
        "2 of 4 classes have too few images to be in val: b, c",
    ]


def test_how_large_classes_must_be_is_told():
    images = labelled({"a": [*range(5), 1, 1], "b": range(5), "c": range(6)})
    shares, findings = {"test": 0.2, "val": 0.1}, Findings(leave_out=True)
    findings.left_out["unreadable images"] = 1200
    with pytest.raises(UserError) as caught:
        division.divide("images", images, shares, findings, seed=0)
    assert str(caught.value) == (
        "val has 2 images of 1 class: expected at least 2 classes; with these shares a class "
        "needs 6 images, copies aside, to be in train, val and test, and 2 of 3 classes have "
        "fewer; left out before: 1,200 unreadable images"
    )
    with pytest.raises(UserError, match=r"train has 0 images of 0 classes: .* and 0 of 0 classes "):
        division.divide("images", (), shares, findings, seed=0)


@pytest.mark.parametrize(
    ("shares", "images"),
    [
        ({"test": 0.2, "val": 0.1}, 6),  # one of 6 × 0.1 = 0.6 for val, so two
        ({"val": 0.1}, 5),
        ({"val": 0.01}, 50),
        ({"test": 0.9, "val": 0.05}, 36),  # 32 for test, 2 for val, 2 for train
    ],
)
def test_fewest_images_worked_by_hand(shares, images):
    assert division.fewest_images(shares) == images


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.9), st.floats(0.02, 0.9))
def test_classes_with_the_fewest_images_or_more_are_in_every_part(test, val):
    shares = {"test": test, "val": val}

    def is_in_all(count):
        return all(division.by_images(labelled({"a": range(count)}), shares, 0).values())

    fewest = division.fewest_images(shares)
    assert [is_in_all(n) for n in range(1, fewest + 20)] == [False] * (fewest - 1) + [True] * 20


CLASSES = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.integers(0, 9), min_size=2, max_size=20), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(CLASSES, st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 5))
def test_division_by_images_keeps_every_promise(classes, test, val, seed):
    images = labelled(classes)
    parts = division.by_images(images, {"test": test, "val": val}, seed)
    assert sorted(i.id for own in parts.values() for i in own) == sorted(i.id for i in images)
    where = {}
    for part, own in parts.items():
        for image in own:
            assert where.setdefault(image.content, part) == part  # copies stay together
    for label, contents in classes.items():
        for part, own in parts.items():
            different = {i.content for i in own if i.label == label}
            if part != "train" or len(set(contents)) > 1:
                assert len(different) != 1
        if len(set(contents)) > 1:
            assert sizes(parts, label)["train"] >= 2


@settings(max_examples=40, deadline=None)
@given(CLASSES, st.floats(0.05, 0.95))
def test_every_class_is_query_and_gallery(classes, share):
    classes = {label: [*own, 10, 11] for label, own in classes.items()}
    parts = division.queries_and_gallery(labelled(classes), share, seed=0)
    assert not {i.content for i in parts["query"]} & {i.content for i in parts["gallery"]}
    for label in classes:
        assert min(sizes(parts, label).values()) >= 1


def test_a_further_class_moves_no_image():
    few, more = {"a": range(30), "b": range(30)}, {"a": range(30), "b": range(30), "c": range(9)}
    shares = {"test": 0.3, "val": 0.2}
    first = division.by_images(labelled(few), shares, seed=1)
    second = division.by_images(labelled(more), shares, seed=1)
    other = division.by_images(labelled(few), shares, seed=2)
    for part, own in first.items():
        assert own == tuple(i for i in second[part] if i.label != "c")
        assert own != other[part]


def test_whole_classes():
    images = labelled({f"{n:02d}": range(3) for n in range(20)})
    parts = division.by_classes(images, {"test": 0.2, "val": 0.05}, seed=0)
    classes = {part: rules.labels_of(own) for part, own in parts.items()}
    assert {part: len(own) for part, own in classes.items()} == {"train": 14, "test": 4, "val": 2}
    assert len(set.union(*classes.values())) == 20
    few = labelled({f"{n}": range(3) for n in range(5)})
    with pytest.raises(
        UserError, match=r"5 classes are too few .*: 2 for test and 2 for val leave"
    ):
        division.by_classes(few, {"test": 0.2, "val": 0.1}, seed=0)


# Rules


def test_copies_under_two_classes_are_found_in_any_pools():
    images = labelled({"a": [1, 2], "b": [3]})
    stray = LabelledImage("test/x", "b", "a 1")
    pools = {"train": images, "test": (stray,)}
    sentence = "2 of 4 images have copies under another class: a/0 and test/x"
    with pytest.raises(UserError, match=sentence):
        rules.of_one_class_each(pools, Findings(leave_out=False))
    findings = Findings(leave_out=True)
    kept = rules.of_one_class_each(pools, findings)
    assert {pool: [i.id for i in own] for pool, own in kept.items()} == {
        "train": ["a/1", "b/0"],
        "test": [],
    }
    assert findings.left_out == {"copies under several classes": 2}
    assert findings.notes == [f"left out: {sentence}"]


def test_a_class_whose_images_are_all_copies_has_one_image():
    images = labelled({"a": [1, 1, 1], "b": [1, 2], "c": [1]})
    with pytest.raises(UserError, match=r"2 of 3 classes in train have one .* pairs: a, c; with"):
        rules.of_several_images(images, "in train", rules.PAIRS, Findings(leave_out=False))
    findings = Findings(leave_out=True)
    kept = rules.of_several_images(images, "in train", rules.PAIRS, findings)
    assert rules.labels_of(kept) == {"b"}
    assert findings.left_out == {"classes of one image": 4}


def parts_of(**changes):
    """Two classes in every part; `changes` replace parts."""
    parts = {
        part: tuple(
            LabelledImage(f"{part}/{label}{n}", label, f"{part} {label}{n}")
            for label in "ab"
            for n in range(2)
        )
        for part in PARTS
    }
    return parts | changes


@pytest.mark.parametrize("part", ["train", "val", "gallery"])
def test_queries_that_are_copies(part):
    parts = parts_of()
    copy = LabelledImage("query/copy", "a", parts[part][0].content)
    parts["query"] += (copy,)
    sentence = f"1 of 5 queries are copies of .*: query/copy of {part}/a0"
    with pytest.raises(UserError, match=sentence):
        rules.settled("test", parts, Findings(leave_out=False), False)
    settled = rules.settled("test", parts, Findings(leave_out=True), False)
    assert settled.left_out == {"queries with copies elsewhere": 1}
    assert copy not in settled.images["query"]
    assert settled.images[part] == parts[part]


def test_queries_without_an_answer():
    lone = LabelledImage("query/z", "z", "z")
    parts = parts_of()
    parts["query"] += (lone,)
    with pytest.raises(UserError, match=r"1 of 5 queries are of 1 class that the gallery lacks: z"):
        rules.settled("test", parts, Findings(leave_out=False), False)
    findings = Findings(leave_out=True)
    assert lone not in rules.settled("test", parts, findings, False).images["query"]
    assert findings.left_out == {"queries without their class in the gallery": 1}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_two_classes(part):
    few = () if part == "query" else parts_of()[part][:2]
    if part == "gallery":
        few = ()
    parts = parts_of(**{part: few})
    if part == "gallery":
        parts["query"] = ()
        part = "query"  # without a gallery there is no answer to any
    with pytest.raises(UserError, match=f"{part} has . images? of . class(es)?: expected at least"):
        rules.settled("test", parts, Findings(leave_out=True), False)


def test_copies_that_are_allowed_are_told():
    parts = parts_of()
    copy = LabelledImage("gallery/copy", "a", parts["train"][0].content)
    again = LabelledImage("val/again", "b", parts["val"][3].content)
    parts["gallery"] += (copy,)
    parts["val"] += (again,)
    assert rules.settled("test", parts, Findings(leave_out=False), False).notes == [
        "1 image of gallery is a copy of images in train: gallery/copy of train/a0",
        "1 image of val is a copy of others there: val/again",
    ]
    parts = parts_of(gallery=parts_of()["train"])
    assert rules.settled("test", parts, Findings(leave_out=False), True).notes == []


# Drawn objects

DRAWN = {"test_kinds": 3, "val_kinds": 2, "per_class": 2, "val_per_class": 2}
DRAWN |= {"queries_per_class": 1, "gallery_per_class": 2, "image_size": 32, "workers": 1}
DRAWN |= {"source": "drawn_objects", "rows_per_shard": 5000}


def test_drawn_kinds_are_held_out_in_all_colours():
    splits = make_splits(DrawnObjects(**DRAWN), seed=3)
    labels = {part: set(splits[part].info["classes"]) for part in PARTS}
    kinds = {part: {label.split(" ", 1)[1] for label in own} for part, own in labels.items()}
    assert labels["query"] == labels["gallery"]
    assert {part: len(own) for part, own in kinds.items()} == {
        "train": len(scenes.OBJECTS) - 5,
        "val": 2,
        "query": 3,
        "gallery": 3,
    }
    for one, other in [("train", "val"), ("train", "query"), ("val", "query")]:
        assert not kinds[one] & kinds[other]
    assert set.union(*labels.values()) == set(scenes.all_names())
    assert splits["query"].info["classes_in_training"] == 0
    assert set(splits["gallery"].info["classes"].values()) == {2}


def test_drawn_images_differ_between_parts_and_repeat_with_the_seed():
    def drawn(seed, part):
        return list(make_splits(DrawnObjects(**DRAWN), seed=seed)[part].rows)

    query, gallery = drawn(3, "query"), drawn(3, "gallery")
    assert len(query) == 30
    assert len({data for _, data, _ in query + gallery}) == 90
    assert query == drawn(3, "query")
    assert {label for _, _, label in query} != {label for _, _, label in drawn(4, "query")}
    assert Image.open(BytesIO(query[0][1])).size == (32, 32)


def test_drawn_kinds_must_leave_some_for_training():
    with pytest.raises(UserError, match=r"leave no kind of object for train: 40 \+ 2 of 42"):
        make_splits(DrawnObjects(**(DRAWN | {"test_kinds": 40})), seed=0)
