"""Images with classes from every source: what is divided how, what is told, what is refused."""

import collections
import hashlib
import os
import pickle
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cir import scenes
from cir.class_datasets import (
    CIFAR100,
    PARTS,
    ClassFolders,
    DividedFolders,
    DrawnObjects,
    Food101,
    TrainingAndTest,
    division,
    label_table,
    rules,
)
from cir.class_datasets.base import Findings, LabelledImage
from cir.class_datasets.safe_pickle import read_pickle
from cir.errors import UserError

CLOTHING = Path(__file__).parents[2] / "shared" / "data" / "clothing"


def save(path, shade, size=(6, 4)):
    """A picture of its own for every shade below 2 ** 24."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (shade % 256, shade // 256 % 256, shade // 65536)
    Image.new("RGB", size, colour).save(path, "PNG")


def fill(folder, classes, shade=0):
    """Class folders with as many pictures as `classes` says, all of different content."""
    for label, count in classes.items():
        for number in range(count):
            save(folder / label / f"{label}-{number}.png", shade)
            shade += 1
    return folder


def ids(splits):
    """The ids of every part; taking the rows checks that they are as many as announced."""
    found = {}
    for part in PARTS:
        rows = list(splits[part].rows)
        assert len(rows) == splits[part].images
        assert len({name for name, _, _ in rows}) == len(rows)
        assert collections.Counter(label for _, _, (label,) in rows) == collections.Counter(
            splits[part].info["classes"]
        )
        found[part] = {name: label for name, _, (label,) in rows}
    return found


def class_folders(root, **changes):
    options = {"divide": "images", "val": 0.1, "test": 0.2, "query_share": 0.25}
    options |= {"max_side": 64, "leave_out": False, "workers": 1}
    return ClassFolders(root=root, **(options | changes))


def divided(root, **changes):
    options = {"train": "train", "val": "val", "test": "test", "val_share": 0.2}
    options |= {"gallery": "train", "query_share": 0.5}
    options |= {"max_side": 64, "leave_out": False, "workers": 1}
    return DividedFolders(root=root, **(options | changes))


def flat(root, **changes):
    options = {"labels": "prefix", "separator": "_", "csv": "labels.csv", "divide": "images"}
    options |= {"val": 0.25, "max_side": 64, "leave_out": False, "workers": 1}
    return TrainingAndTest(root=root, **(options | changes))


def food(root, **changes):
    options = {"val": 0.25, "gallery": "train", "query_share": 0.5}
    options |= {"max_side": 64, "leave_out": False, "workers": 1}
    return Food101(root=root, **(options | changes))


def cifar(root, **changes):
    options = {"val": 0.25, "gallery": "train", "query_share": 0.5, "leave_out": False}
    return CIFAR100(root=root, **(options | changes))


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
    division.note_absences(division.by_images(images, shares, seed=0), shares, findings)
    assert findings.notes == [
        "1 of 4 classes have too few images to be in test: c",
        "2 of 4 classes have too few images to be in val: b, c",
    ]


def test_how_large_classes_must_be_is_told():
    images = labelled({"a": [*range(5), 1, 1], "b": range(5), "c": range(6)})
    shares, findings = {"test": 0.2, "val": 0.1}, Findings(leave_out=True)
    findings.left_out["unreadable images"] = 1200
    with pytest.raises(UserError) as caught:
        division.note_absences(division.by_images(images, shares, seed=0), shares, findings)
    assert str(caught.value) == (
        "val has 2 images of 1 class: expected at least 2 classes; with these shares a class "
        "needs 6 images, copies aside, to be in train, val and test, and 2 of 3 classes have "
        "fewer; left out before: 1,200 unreadable images"
    )
    with pytest.raises(UserError, match=r"train has 0 images of 0 classes: .* and 0 of 0 classes "):
        division.note_absences(division.by_images((), shares, 0), shares, findings)


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


def test_drawn_kinds_are_held_out_in_all_colours():
    splits = DrawnObjects(**DRAWN).splits(seed=3)
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
        return list(DrawnObjects(**DRAWN).splits(seed)[part].rows)

    query, gallery = drawn(3, "query"), drawn(3, "gallery")
    assert len(query) == 30
    assert len({data for _, data, _ in query + gallery}) == 90
    assert query == drawn(3, "query")
    assert {label for _, _, label in query} != {label for _, _, label in drawn(4, "query")}
    assert Image.open(BytesIO(query[0][1])).size == (32, 32)


def test_drawn_kinds_must_leave_some_for_training():
    with pytest.raises(UserError, match=r"leave no kind of object for train: 40 \+ 2 of 42"):
        DrawnObjects(**(DRAWN | {"test_kinds": 40})).splits(seed=0)


# Class folders


def test_class_folders_divide_by_images(tmp_path):
    root = fill(tmp_path / "mine", {"apple": 20, "pear tree": 10})
    save(root / "apple" / "inner" / "deep.jpeg", 5000, (200, 50))
    splits = class_folders(root, max_side=100).splits(seed=0)
    found = ids(splits)
    assert collections.Counter(found["train"].values()) == {"apple": 15, "pear tree": 6}
    assert collections.Counter(found["val"].values()) == {"apple": 2, "pear tree": 2}
    assert collections.Counter(found["query"].values()) == {"apple": 1, "pear tree": 1}
    assert collections.Counter(found["gallery"].values()) == {"apple": 3, "pear tree": 1}
    union = {name: label for own in found.values() for name, label in own.items()}
    assert union == {
        path.relative_to(root).as_posix(): path.relative_to(root).parts[0]
        for path in root.rglob("*.*")
    }
    assert sum(map(len, found.values())) == 31
    assert splits["val"].info == {
        "source": "class_folders",
        "classes": {"apple": 2, "pear tree": 2},
        "classes_in_training": 2,
        "gallery_is_training": False,
        "left_out": {},
        "notes": [],
    }
    again = class_folders(root, max_side=100).splits(seed=0)
    for part in PARTS:
        for name, data, _ in again[part].rows:
            if name == "apple/inner/deep.jpeg":
                assert Image.open(BytesIO(data)).size == (100, 25)
            else:
                assert data == (root / name).read_bytes()


def test_class_folders_divide_by_classes(tmp_path):
    root = fill(tmp_path, {f"class {n}": 4 for n in range(10)})
    splits = class_folders(root, divide="classes", query_share=0.5).splits(seed=0)
    found = ids(splits)
    classes = {part: set(own.values()) for part, own in found.items()}
    assert {part: len(own) for part, own in classes.items()} == {
        "train": 6, "val": 2, "query": 2, "gallery": 2,
    }  # fmt: skip
    assert classes["query"] == classes["gallery"]
    assert len(set.union(*classes.values())) == 10
    assert splits["query"].info["classes_in_training"] == 0


def test_copies_stay_together_when_we_divide(tmp_path):
    root = fill(tmp_path, {"a": 20, "b": 20})
    for number in range(20):
        save(root / "a" / f"copy-{number}.png", number)
    splits = class_folders(root, test=0.4, query_share=0.5).splits(seed=0)
    digests = {
        part: {hashlib.sha256(data).hexdigest() for _, data, _ in splits[part].rows}
        for part in PARTS
    }
    assert sum(len(own) for own in digests.values()) == len(set.union(*digests.values())) == 40
    (note,) = (n for n in splits["train"].info["notes"] if " train " in n)
    assert "images of train are copies of others there" in note


def test_what_is_odd_but_harmless_is_told(tmp_path):
    root = tmp_path / "mine"
    for shade, label in enumerate("ab" * 6):
        save(root / label / f"{shade // 2:03d}.png", shade)
    strays = ("readme.txt", "a/Thumbs.db", "b/._000.png", "b/__MACOSX/x.png")
    for stray in (*strays, ".hidden/x.png", "__MACOSX/a/000.png"):
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_bytes(b"?")
    Path(os.fsdecode(os.fsencode(root) + b"/A\xe9.txt")).touch()
    splits = class_folders(root).splits(seed=0)
    assert sum(split.images for split in splits.values()) == 12
    assert splits["query"].info["notes"] == [
        "7 entries of mine are left out, being no images by their names and places: "
        ".hidden, A\\udce9.txt, __MACOSX and 4 more",
        "6 file names in mine stand in more than one class and are kept apart by their ids: "
        "000.png (a, b), 001.png (a, b), 002.png (a, b) and 3 more",
    ]


def test_parts_taken_for_classes_are_told(tmp_path):
    for number, part in enumerate(("train", "test")):
        fill(tmp_path / part, {"a": 6, "b": 6}, 100 * number)
    notes = class_folders(tmp_path).splits(seed=0)["train"].info["notes"]
    assert "hold the same folders (a, b): are those the classes?" in notes[-1]


def broken(root):
    (root / "a" / "a-1.png").write_bytes(b"not a picture")
    (root / "b" / "b-2.png").write_bytes(b"")


def one_image(root):
    fill(root, {"lone": 1, "single": 1}, 900)


def two_classes_for_one(root):
    save(root / "b" / "also-a.png", 0)


def emptied(root):
    for name in ("bare", "void"):
        (root / name).mkdir()
    (root / "void" / "list.txt").write_text("nothing")


def too_small(root):
    for label in "ab":
        for number in range(5, 10):
            (root / label / f"{label}-{number}.png").unlink()


def one_class(root):
    for path in (root / "b").iterdir():
        path.unlink()
    (root / "b").rmdir()


def no_class(root):
    one_class(root)
    (root / "a").rename(root / ".a")


def latin1(root):
    save(root / "a" / "x.png", 950)
    os.rename(os.fsencode(root / "a" / "x.png"), os.fsencode(root / "a") + b"/caf\xe9.png")  # noqa: PTH104


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (broken, r"2 of 20 images cannot be used: image a/a-1\.png .*; image b/b-2\.png is empty"),
        (one_image, r"2 of 4 classes in .* have one image only .*: lone, single; with unusable: l"),
        (two_classes_for_one, r"2 of 21 images have copies under .*: a/a-0\.png and b/also-a\.png"),
        (emptied, r"2 of 4 class folders in .* hold no image: bare, void"),
        (one_class, r"train has 6 images of 1 class: expected at least 2 .* 0 of 1 class have few"),
        (
            too_small,
            r"val has 0 images of 0 classes: .* a class needs 6 im.* 2 of 2 classes have f",
        ),
        (no_class, r"has no folders: expected one for each class"),
        (latin1, r"1 of 21 file names are not in UTF-8: a/caf\\udce9\.png"),
    ],
)
def test_bad_class_folders_are_one_sentence(tmp_path, spoil, sentence):
    spoil(fill(tmp_path, {"a": 10, "b": 10}))
    with pytest.raises(UserError, match=sentence):
        class_folders(tmp_path).splits(seed=0)


def test_a_missing_root_is_named(tmp_path):
    for source in (class_folders, divided, flat, food, cifar):
        with pytest.raises(UserError, match=r"class_data\.root is no folder: .*nowhere"):
            source(tmp_path / "nowhere").splits(seed=0)


def test_leaving_out_is_counted(tmp_path):
    root = fill(tmp_path, {"a": 10, "b": 10})
    one_image(root)
    two_classes_for_one(root)
    splits = class_folders(root, leave_out=True).splits(seed=0)
    found = ids(splits)
    assert sum(map(len, found.values())) == 19
    assert splits["gallery"].info["left_out"] == {
        "copies under several classes": 2,
        "classes of one image": 2,
    }
    assert [note.split(":")[0] for note in splits["train"].info["notes"]] == ["left out"] * 2


def test_unreadable_images_and_empty_folders_are_left_out(tmp_path):
    root = fill(tmp_path / "mine", {"a": 12, "b": 12, "lost": 2})
    broken(root)
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    for path in (root / "lost").iterdir():
        path.write_bytes(b"lost")
    emptied(root)
    with pytest.raises(UserError, match=r"class folders in mine hold no image: bare, void; with u"):
        class_folders(root).splits(seed=0)
    splits = class_folders(root, leave_out=True, workers=2).splits(seed=0)
    found = {name for own in ids(splits).values() for name in own}
    kept = {f"{c}/{c}-{n}.png" for c in "ab" for n in range(12)} - {"a/a-1.png", "b/b-2.png"}
    assert found == kept
    info = splits["val"].info
    assert info["left_out"] == {"unreadable images": 5}
    assert info["notes"] == [
        "left out: 2 of 5 class folders in mine hold no image: bare, void",
        "1 entry of mine is left out, being no images by their names and places: void/list.txt",
        "left out: 5 of 27 images cannot be used: a/a-1.png, a/gone.png, b/b-2.png and 2 more",
    ]


def test_what_is_left_of_nothing_but_unusable_images_is_told(tmp_path):
    for number in range(3):
        (tmp_path / f"class {number}").mkdir()
    with pytest.raises(UserError, match=r"3 of 3 class folders in .* hold no image"):
        class_folders(tmp_path, leave_out=True).splits(seed=0)
    for folder in tmp_path.iterdir():
        (folder / "x.png").write_bytes(b"?")
    sentence = r"train has 0 images of 0 classes: .*; left out before: 3 unreadable images$"
    with pytest.raises(UserError, match=sentence):
        class_folders(tmp_path, leave_out=True).splits(seed=0)


def test_unreadable_images_of_every_kind_of_folder_are_left_out(tmp_path):
    three_folders(tmp_path / "divided")
    (tmp_path / "divided" / "test" / "b" / "b-5.png").write_bytes(b"?")
    found = ids(divided(tmp_path / "divided", leave_out=True).splits(seed=0))
    assert len(found["query"]) == 9
    flat_folders(tmp_path / "flat")
    (tmp_path / "flat" / "test" / "query" / "pear_2.png").write_bytes(b"?")
    found = ids(flat(tmp_path / "flat", leave_out=True).splits(seed=0))
    assert set(found["query"].values()) == {"apple_pie", "pear"}
    assert len(found["query"]) == 2
    (tmp_path / "food").mkdir()
    food_folder(tmp_path / "food")
    (tmp_path / "food" / "images" / "pie" / "pie-6.jpg").write_bytes(b"?")
    splits = food(tmp_path / "food", leave_out=True).splits(seed=0)
    assert len(ids(splits)["query"]) == 5
    assert splits["query"].info["left_out"] == {"unreadable images": 1}


# Divided folders


def three_folders(root):
    fill(root / "train", {"a": 10, "b": 10, "c": 10})
    fill(root / "val", {"a": 3, "b": 2}, 100)
    fill(root / "test", {"a": 4, "b": 6}, 200)
    return root


def test_test_photos_ask_for_training_photos(tmp_path):
    splits = divided(three_folders(tmp_path)).splits(seed=0)
    found = ids(splits)
    assert {part: len(own) for part, own in found.items()} == {
        "train": 30, "val": 5, "query": 10, "gallery": 30,
    }  # fmt: skip
    assert found["gallery"] == found["train"]
    assert found["query"]["test/a/a-3.png"] == "a"
    assert splits["query"].info["gallery_is_training"] is True
    assert splits["query"].info["classes_in_training"] == 2


def test_test_photos_are_divided(tmp_path):
    splits = divided(three_folders(tmp_path), gallery="test", query_share=0.25).splits(seed=0)
    found = ids(splits)
    assert len(found["train"]) == 30
    assert collections.Counter(found["query"].values()) == {"a": 1, "b": 2}
    assert collections.Counter(found["gallery"].values()) == {"a": 3, "b": 4}
    assert all(name.startswith("test/") for name in (*found["query"], *found["gallery"]))
    assert splits["query"].info["gallery_is_training"] is False


def test_validation_is_a_share_of_training_but_stays_in_the_gallery(tmp_path):
    found = ids(divided(three_folders(tmp_path), val=None).splits(seed=0))
    assert collections.Counter(found["val"].values()) == {"a": 2, "b": 2, "c": 2}
    assert not found["train"].keys() & found["val"].keys()
    assert found["train"] | found["val"] == found["gallery"]


def shared_with_query(root):
    save(root / "test" / "a" / "seen.png", 0)


def unknown_class(root):
    fill(root / "test", {"z": 2}, 300)


def lone_in_training(root):
    fill(root / "train", {"z": 1}, 300)


def lone_in_validation(root):
    fill(root / "val", {"c": 1}, 300)


def lone_in_test(root):
    fill(root / "test", {"c": 1}, 300)


def no_test(root):
    (root / "test").rename(root / "tests")


@pytest.mark.parametrize(
    ("spoil", "gallery", "sentence", "left_out"),
    [
        (
            shared_with_query,
            "train",
            r"1 of 11 queries .*: test/a/seen\.png of train/a/a-0\.png",
            1,
        ),
        (unknown_class, "train", r"2 of 12 queries are of 1 class that the gallery lacks: z", 2),
        (lone_in_training, "train", r"1 of 4 classes in train have one image only .* pairs: z", 1),
        (lone_in_validation, "train", r"1 of 3 classes in val have one image only .*: c", 1),
        (lone_in_test, "test", r"1 of 3 classes in test have one .*query and gallery: c", 1),
        (no_test, "test", r"test is no folder", None),
    ],
)
def test_bad_divided_folders_are_one_sentence(tmp_path, spoil, gallery, sentence, left_out):
    spoil(three_folders(tmp_path))
    with pytest.raises(UserError, match=sentence):
        divided(tmp_path, gallery=gallery).splits(seed=0)
    if left_out:
        splits = divided(tmp_path, gallery=gallery, leave_out=True).splits(seed=0)
        ids(splits)
        assert sum(splits["train"].info["left_out"].values()) == left_out


def test_a_lone_training_image_may_stay_in_the_gallery(tmp_path):
    lone_in_training(three_folders(tmp_path))
    found = ids(divided(tmp_path, leave_out=True).splits(seed=0))
    assert "train/z/z-0.png" in found["gallery"]
    assert "train/z/z-0.png" not in found["train"]


# Training folders, flat test folders


def flat_folders(root):
    fill(root / "training", {"apple_pie": 8, "pear": 8, "plum": 8, "quince": 8})
    for shade, name in enumerate(("apple_pie_1", "pear_1", "pear_2")):
        save(root / "test" / "query" / f"{name}.png", 500 + shade)
    for shade, name in enumerate(("apple_pie_1", "apple_pie_7", "pear_x", "kiwi_1")):
        save(root / "test" / "gallery" / f"{name}.png", 600 + shade)
    return root


def test_prefixes_are_classes(tmp_path):
    found = ids(flat(flat_folders(tmp_path)).splits(seed=0))
    assert found["query"] == {
        "test/query/apple_pie_1.png": "apple_pie",
        "test/query/pear_1.png": "pear",
        "test/query/pear_2.png": "pear",
    }
    assert set(found["gallery"].values()) == {"apple_pie", "pear", "kiwi"}
    assert collections.Counter(found["val"].values()) == dict.fromkeys(
        ("apple_pie", "pear", "plum", "quince"), 2
    )
    assert "training/plum/plum-3.png" in found["train"] | found["val"]


def test_whole_training_classes_validate(tmp_path):
    found = ids(flat(flat_folders(tmp_path), divide="classes").splits(seed=0))
    assert len(set(found["val"].values())) == len(set(found["train"].values())) == 2
    assert not set(found["val"].values()) & set(found["train"].values())


def table(root, *rows, head="file,class", place="test"):
    (root / place / "labels.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


ROWS = (
    "query/apple_pie_1.png,pie",
    "gallery/apple_pie_1.png,pie",
    "apple_pie_7.png,pie",
    "test/query/pear_1.png,fruit",
    'pear_2.png,"fruit"',
    " pear_x.png , fruit ",
    "kiwi_1.png,fruit",
)


@pytest.mark.parametrize("place", ["test", "."])
def test_a_table_gives_classes(tmp_path, place):
    table(flat_folders(tmp_path), *ROWS, place=place)
    splits = flat(tmp_path, labels="csv").splits(seed=0)
    found = ids(splits)
    assert found["query"]["test/query/apple_pie_1.png"] == "pie"
    assert found["gallery"]["test/gallery/kiwi_1.png"] == "fruit"
    assert collections.Counter(found["query"].values()) == {"pie": 1, "fruit": 2}
    assert splits["train"].info["notes"] == []


def test_a_table_may_spell_paths_in_other_ways(tmp_path):
    flat_folders(tmp_path)
    composed, decomposed = "caf\u00e9_1.png", "cafe\u0301_1.png"
    save(tmp_path / "test" / "query" / decomposed, 700)
    save(tmp_path / "test" / "gallery" / "cafe_1.png", 701)
    rows = [r"query\apple_pie_1.png,pie", r".\test\gallery\apple_pie_1.png,pie"]
    rows += ["./apple_pie_7.png,pie", "././query/pear_1.png,fruit", *ROWS[4:]]
    rows += [f"query/{composed},bar", "cafe_1.png,bar"]
    table(tmp_path, *rows)
    found = ids(flat(tmp_path, labels="csv").splits(seed=0))
    assert found["query"] == {
        "test/query/apple_pie_1.png": "pie",
        f"test/query/{decomposed}": "bar",
        "test/query/pear_1.png": "fruit",
        "test/query/pear_2.png": "fruit",
    }
    assert len(found["gallery"]) == 5


def test_names_that_differ_in_spelling_only_are_kept_apart(tmp_path):
    composed, decomposed, path = "q/\u00e9.png", "q/e\u0301.png", tmp_path / "labels.csv"
    names = [composed, decomposed, "q/a\\b.png", "a/b.png"]

    def labels(*files):
        lines = [f"{file},{number}" for number, file in enumerate(files)]
        path.write_text("\n".join(["file,class", *lines]), encoding="utf-8")
        return label_table.labels(path, names)

    assert labels(*names) == dict(zip(names, "0123", strict=True))
    assert labels("./q/\u00e9.png"[4:], decomposed, "./q/a\\b.png", "b.png") == {
        composed: "0", decomposed: "1", names[2]: "2", names[3]: "3",
    }  # fmt: skip
    with pytest.raises(UserError, match=r"1 of 5 rows name files that are not there: q\\a\\b\.p"):
        labels(*names[:2], "q/a\\b.png", "a/b.png", r"q\a\b.png")
    with pytest.raises(UserError, match=r"1 of 3 rows name two files at once: \./\S+ of row 2"):
        labels("./" + composed, *names[2:])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((*ROWS, "kiwi_1.png,kiwi"), r"1 of 7 files have more than .*kiwi_1\.png in rows 8 and 9"),
        (ROWS[1:], r"labels\.csv: 1 of 7 files have no row: test/query/apple_pie_1\.png"),
        ((*ROWS, "x.png,pie"), r"1 of 8 rows name files that are not there: x\.png of row 9"),
        (("apple_pie_1.png,pie", *ROWS[2:]), r"1 of 6 rows name two files at once: apple_pie_1"),
        ((*ROWS[:6], "kiwi_1.png,"), r"1 of 7 rows lack a file or a class: 8"),
        ((*ROWS, "a,b,c"), r"1 of 8 rows do not have the 2 values of the header .*: 9"),
        (("x.png,a", "y.png,b"), r"2 of 2 rows name files .*; 7 of 7 files have no row: .* 4 more"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, rows, sentence):
    table(flat_folders(tmp_path), *rows)
    with pytest.raises(UserError, match=sentence):
        flat(tmp_path, labels="csv").splits(seed=0)


def test_a_table_without_its_columns_or_absent(tmp_path):
    flat_folders(tmp_path)
    with pytest.raises(UserError, match=r"expected .*test/labels\.csv or .*/labels\.csv"):
        flat(tmp_path, labels="csv").splits(seed=0)
    table(tmp_path, "a,b", head="image,class")
    with pytest.raises(UserError, match="has no column file: expected file, class, got image, cl"):
        flat(tmp_path, labels="csv").splits(seed=0)
    (tmp_path / "test" / "labels.csv").write_bytes(b"file,class\n\xff,\xfe\n")
    with pytest.raises(UserError, match="is not a CSV file in UTF-8"):
        flat(tmp_path, labels="csv").splits(seed=0)


def test_flat_files_without_a_class(tmp_path):
    flat_folders(tmp_path)
    save(tmp_path / "test" / "query" / "plain.png", 700)
    save(tmp_path / "test" / "gallery" / "_1.png", 701)
    with pytest.raises(UserError, match=r"2 of 9 files have no class before a '_' .*plain\.png"):
        flat(tmp_path).splits(seed=0)


def test_flat_folders_that_hold_folders(tmp_path):
    flat_folders(tmp_path)
    (tmp_path / "test" / "gallery").rename(tmp_path / "pictures")
    with pytest.raises(UserError, match="gallery is no folder"):
        flat(tmp_path).splits(seed=0)
    fill(tmp_path / "test" / "gallery", {"a": 2, "b": 2}, 800)
    with pytest.raises(UserError, match=r"not in folders of their own \(2 folders are there\)"):
        flat(tmp_path).splits(seed=0)


# Food-101


def food_folder(root):
    fill(root / "images", {"pie": 8, "soup": 8})
    for path in (root / "images").rglob("*.png"):
        path.rename(path.with_suffix(".jpg"))  # what a file is, its content tells
    (root / "meta").mkdir()
    for pool, numbers in (("train", range(5)), ("test", range(5, 8))):
        lines = [f"{label}/{label}-{n}" for label in ("pie", "soup") for n in numbers]
        (root / "meta" / f"{pool}.txt").write_text("\n".join(lines))
    return root


def test_food101_as_it_is_published(tmp_path):
    splits = food(food_folder(tmp_path)).splits(seed=0)
    found = ids(splits)
    assert sorted(found["query"]) == [
        f"{c}/{c}-{n}.jpg" for c in ("pie", "soup") for n in (5, 6, 7)
    ]
    assert len(found["gallery"]) == 10
    assert found["train"] | found["val"] == found["gallery"]
    assert collections.Counter(found["val"].values()) == {"pie": 2, "soup": 2}
    found = ids(food(tmp_path, gallery="test").splits(seed=0))
    assert sorted(found["query"].values()) == ["pie", "pie", "soup", "soup"]
    assert sorted(found["gallery"].values()) == ["pie", "soup"]


@pytest.mark.parametrize(
    ("pool", "text", "sentence"),
    [
        ("test", "pie/pie-0\npie/pie-6\n", r"1 of 11 images are listed twice in .*: pie/pie-0"),
        ("test", "pie/pie-9\nsoup/x\n", r"2 of 12 listed images are not in .*: pie/pie-9\.jpg"),
        ("test", "", r"test\.txt: expected lines <class>/<number>, and 0 of 0 are not"),
        ("train", "pie/pie-0\npie\n/a\n", r"train\.txt: expected .* 2 of 3 are not: 2, 3"),
    ],
)
def test_bad_lists_are_one_sentence(tmp_path, pool, text, sentence):
    (food_folder(tmp_path) / "meta" / f"{pool}.txt").write_text(text)
    with pytest.raises(UserError, match=sentence):
        food(tmp_path).splits(seed=0)


def test_images_in_neither_list_are_told(tmp_path):
    (food_folder(tmp_path) / "meta" / "test.txt").write_text("pie/pie-5\nsoup/soup-5\n")
    assert food(tmp_path).splits(seed=0)["train"].info["notes"] == [
        "4 of 16 images are in neither list and left out: "
        "pie/pie-6.jpg, pie/pie-7.jpg, soup/soup-6.jpg and 1 more"
    ]
    (tmp_path / "meta" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"test\.txt does not exist"):
        food(tmp_path).splits(seed=0)


# CIFAR-100


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which are what CIFAR-100's files hold."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, text):
        self.write(b"T" + struct.pack("<i", len(text)) + text)
        self.memoize(text)

    dispatch[bytes] = save_bytes


def old_pickle(path, content):
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)


def new_pickle(path, content):
    path.write_bytes(pickle.dumps({k.decode(): v for k, v in content.items()}, protocol=5))


def cifar_folder(root, write=old_pickle, train=8, test=4):
    rng = np.random.default_rng(0)
    names = [b"apple", b"aquarium_fish"]
    pixels = {}
    for pool, each in (("train", train), ("test", test)):
        pixels[pool] = rng.integers(0, 256, (2 * each, 3072), dtype=np.uint8)
        labels = [n % 2 for n in range(2 * each)]
        write(root / pool, {b"data": pixels[pool], b"fine_labels": labels})
    write(root / "meta", {b"fine_label_names": names, b"coarse_label_names": [b"things"]})
    return pixels


@pytest.mark.parametrize("write", [old_pickle, new_pickle])
def test_cifar100(tmp_path, write):
    pixels = cifar_folder(tmp_path, write)
    splits = cifar(tmp_path).splits(seed=0)
    found = ids(splits)
    assert {part: len(own) for part, own in found.items()} == {
        "train": 12, "val": 4, "query": 8, "gallery": 16,
    }  # fmt: skip
    assert found["query"]["test/aquarium_fish/00003"] == "aquarium_fish"
    again = cifar(tmp_path).splits(seed=0)
    for name, data, _ in again["gallery"].rows:
        row = pixels["train"][int(name[-5:])]
        seen = np.asarray(Image.open(BytesIO(data)))
        assert seen.shape == (32, 32, 3)
        for channel, y, x in [(0, 0, 0), (1, 0, 31), (2, 17, 5)]:
            assert seen[y, x, channel] == row[1024 * channel + 32 * y + x]
    found = ids(cifar(tmp_path, gallery="test", query_share=0.25).splits(seed=0))
    assert (len(found["query"]), len(found["gallery"])) == (2, 6)


def test_copies_in_cifar100(tmp_path):
    pixels = cifar_folder(tmp_path)
    pixels["test"][0] = pixels["train"][0]
    pixels["test"][1] = pixels["train"][2]  # of the other class
    labels = [n % 2 for n in range(8)]
    old_pickle(tmp_path / "test", {b"data": pixels["test"], b"fine_labels": labels})
    with pytest.raises(UserError, match="2 of 24 images have copies under another class: train/ap"):
        cifar(tmp_path).splits(seed=0)
    splits = cifar(tmp_path, leave_out=True).splits(seed=0)
    assert splits["query"].info["left_out"] == {
        "copies under several classes": 2,
        "queries with copies elsewhere": 1,
    }
    found = ids(splits)
    assert (len(found["query"]), len(found["gallery"])) == (6, 15)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_code_is_not_run(tmp_path, protocol):
    file, trace = tmp_path / "train", tmp_path / "trace"
    content = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"fine_labels": [1, 2]}
    file.write_bytes(pickle.dumps(content, protocol))
    read = read_pickle(file)
    assert (read[b"data"] == content[b"data"]).all()
    assert read[b"fine_labels"] == [1, 2]
    file.write_bytes(pickle.dumps({b"data": Harmful(trace)}, protocol))
    with pytest.raises(UserError, match=r"train is not read, as it names \S+: expected arrays, te"):
        read_pickle(file)
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists()  # the check can fail


def meta(**content):
    return {key.encode(): value for key, value in content.items()}


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("meta", meta(names=[]), "meta is no file of CIFAR-100.* no fine_label_names"),
        ("meta", meta(fine_label_names=[b"a", b"a"]), "expected different names of classes, got a"),
        ("train", [1, 2], "train is no file of CIFAR-100's .*: it has no data and no fine_labels"),
        ("train", meta(data=PIXELS, fine_labels=[0]), "expected data of 1 x 3072 .* got 2 x 3072"),
        ("test", meta(data=PIXELS, fine_labels=[0, 2]), r"1 of 2 .* to 1: 2 of image 1"),
        ("test", meta(data=PIXELS[:, :9], fine_labels=[0, 1]), "got 2 x 9 of uint8"),
    ],
)
def test_bad_files_of_cifar100_are_one_sentence(tmp_path, name, content, sentence):
    cifar_folder(tmp_path)
    old_pickle(tmp_path / name, content)
    with pytest.raises(UserError, match=sentence):
        cifar(tmp_path).splits(seed=0)


def test_broken_pickles_are_one_sentence(tmp_path):
    cifar_folder(tmp_path)
    whole = (tmp_path / "train").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<html>no such page</html>"):
        (tmp_path / "train").write_bytes(content)
        with pytest.raises(UserError, match="train is no pickled file, or not whole"):
            cifar(tmp_path).splits(seed=0)
    (tmp_path / "train").unlink()
    with pytest.raises(UserError, match="train does not exist"):
        cifar(tmp_path).splits(seed=0)


# Real photos


@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"real photos are not at {CLOTHING}")
def test_real_photos():
    splits = divided(CLOTHING, val="validation", max_side=512).splits(seed=17)
    assert {part: split.images for part, split in splits.items()} == {
        "train": 3068, "val": 341, "query": 372, "gallery": 3068,
    }  # fmt: skip
    assert {len(split.info["classes"]) for split in splits.values()} == {10}
    assert splits["train"].info["notes"] == []
