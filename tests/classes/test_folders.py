"""Class folders, given whole or in parts: what is divided how, what is told, what is refused."""

import collections
import hashlib
import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from cir.classes.datasets import PARTS, make_splits
from cir.core.errors import UserError
from tests.helpers import ROOT
from tests.helpers.class_images import (
    cifar,
    class_folders,
    divided,
    fill,
    flat,
    flat_folders,
    food,
    food_folder,
    ids,
    save,
)

CLOTHING = ROOT.parent / "shared" / "data" / "clothing"

# Class folders


def test_class_folders_divide_by_images(tmp_path):
    root = fill(tmp_path / "mine", {"apple": 20, "pear tree": 10})
    save(root / "apple" / "inner" / "deep.jpeg", 5000, (200, 50))
    splits = make_splits(class_folders(root, max_side=100), seed=0)
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
    again = make_splits(class_folders(root, max_side=100), seed=0)
    for part in PARTS:
        for name, data, _ in again[part].rows:
            if name == "apple/inner/deep.jpeg":
                assert Image.open(BytesIO(data)).size == (100, 25)
            else:
                assert data == (root / name).read_bytes()


def test_class_folders_divide_by_classes(tmp_path):
    root = fill(tmp_path, {f"class {n}": 4 for n in range(10)})
    splits = make_splits(class_folders(root, divide="classes", query_share=0.5), seed=0)
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
    splits = make_splits(class_folders(root, test=0.4, query_share=0.5), seed=0)
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
    splits = make_splits(class_folders(root), seed=0)
    assert sum(split.images for split in splits.values()) == 12
    assert splits["query"].info["notes"] == [
        "mine: left out: 4 hidden (.hidden, __MACOSX, b/._000.png and 1 more); 2 beside the "
        "class folders (A\\udce9.txt, readme.txt); 1 of a system, such as thumbnails and bins "
        "(a/Thumbs.db)",
        "6 file names in mine stand in more than one class and are kept apart by their ids: "
        "000.png (a, b), 001.png (a, b), 002.png (a, b) and 3 more",
    ]


def test_thumbnails_and_bins_are_neither_images_nor_classes(tmp_path):
    root = fill(tmp_path / "mine", {"cat": 12, "dog": 12, "thumbs": 12})
    save(root / "cat" / "@eaDir" / "cat-0.png" / "SYNOPHOTO_THUMB_M.jpg", 900)
    save(root / "#recycle" / "old.png", 901)
    save(root / "dog" / "new.jfif", 902)
    (root / "dog" / "b.DNG").write_bytes(b"?")
    splits = make_splits(class_folders(root), seed=0)
    found = {name: label for own in ids(splits).values() for name, label in own.items()}
    assert len(found) == 37
    assert found["dog/new.jfif"] == "dog"
    assert splits["train"].info["notes"][0] == (
        "mine: left out: 2 of a system, such as thumbnails and bins (#recycle, cat/@eaDir); 1 of a "
        "format that is not read (dog/b.DNG)"
    )


def test_parts_taken_for_classes_are_told(tmp_path):
    for number, part in enumerate(("train", "test")):
        fill(tmp_path / part, {"a": 6, "b": 6}, 100 * number)
    notes = make_splits(class_folders(tmp_path), seed=0)["train"].info["notes"]
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
        make_splits(class_folders(tmp_path), seed=0)


def test_a_missing_root_is_named(tmp_path):
    for source in (class_folders, divided, flat, food, cifar):
        with pytest.raises(UserError, match=r"class_data\.root is no folder: .*nowhere"):
            make_splits(source(tmp_path / "nowhere"), seed=0)


def test_leaving_out_is_counted(tmp_path):
    root = fill(tmp_path, {"a": 10, "b": 10})
    one_image(root)
    two_classes_for_one(root)
    splits = make_splits(class_folders(root, unusable="leave_out"), seed=0)
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
        make_splits(class_folders(root), seed=0)
    splits = make_splits(class_folders(root, unusable="leave_out", workers=2), seed=0)
    found = {name for own in ids(splits).values() for name in own}
    kept = {f"{c}/{c}-{n}.png" for c in "ab" for n in range(12)} - {"a/a-1.png", "b/b-2.png"}
    assert found == kept
    info = splits["val"].info
    assert info["left_out"] == {"unreadable images": 5}
    assert info["notes"] == [
        "left out: 2 of 5 class folders in mine hold no image: bare, void",
        "mine: left out: 1 without the suffix of an image (void/list.txt)",
        "left out: 5 of 27 images cannot be used: a/a-1.png, a/gone.png, b/b-2.png and 2 more",
    ]


def test_what_is_left_of_nothing_but_unusable_images_is_told(tmp_path):
    for number in range(3):
        (tmp_path / f"class {number}").mkdir()
    with pytest.raises(UserError, match=r"3 of 3 class folders in .* hold no image"):
        make_splits(class_folders(tmp_path, unusable="leave_out"), seed=0)
    for folder in tmp_path.iterdir():
        (folder / "x.png").write_bytes(b"?")
    sentence = r"train has 0 images of 0 classes: .*; left out before: 3 unreadable images$"
    with pytest.raises(UserError, match=sentence):
        make_splits(class_folders(tmp_path, unusable="leave_out"), seed=0)


def test_unreadable_images_of_every_kind_of_folder_are_left_out(tmp_path):
    three_folders(tmp_path / "divided")
    (tmp_path / "divided" / "test" / "b" / "b-5.png").write_bytes(b"?")
    found = ids(make_splits(divided(tmp_path / "divided", unusable="leave_out"), seed=0))
    assert len(found["query"]) == 9
    flat_folders(tmp_path / "flat")
    (tmp_path / "flat" / "test" / "query" / "pear_2.png").write_bytes(b"?")
    found = ids(make_splits(flat(tmp_path / "flat", unusable="leave_out"), seed=0))
    assert set(found["query"].values()) == {"apple_pie", "pear"}
    assert len(found["query"]) == 2
    (tmp_path / "food").mkdir()
    food_folder(tmp_path / "food")
    (tmp_path / "food" / "images" / "pie" / "pie-6.jpg").write_bytes(b"?")
    splits = make_splits(food(tmp_path / "food", unusable="leave_out"), seed=0)
    assert len(ids(splits)["query"]) == 5
    assert splits["query"].info["left_out"] == {"unreadable images": 1}


# Divided folders


def three_folders(root):
    fill(root / "train", {"a": 10, "b": 10, "c": 10})
    fill(root / "val", {"a": 3, "b": 2}, 100)
    fill(root / "test", {"a": 4, "b": 6}, 200)
    return root


def test_test_photos_ask_for_training_photos(tmp_path):
    splits = make_splits(divided(three_folders(tmp_path)), seed=0)
    found = ids(splits)
    assert {part: len(own) for part, own in found.items()} == {
        "train": 30, "val": 5, "query": 10, "gallery": 30,
    }  # fmt: skip
    assert found["gallery"] == found["train"]
    assert found["query"]["test/a/a-3.png"] == "a"
    assert splits["query"].info["gallery_is_training"] is True
    assert splits["query"].info["classes_in_training"] == 2


def test_test_photos_are_divided(tmp_path):
    splits = make_splits(divided(three_folders(tmp_path), gallery="test", query_share=0.25), seed=0)
    found = ids(splits)
    assert len(found["train"]) == 30
    assert collections.Counter(found["query"].values()) == {"a": 1, "b": 2}
    assert collections.Counter(found["gallery"].values()) == {"a": 3, "b": 4}
    assert all(name.startswith("test/") for name in (*found["query"], *found["gallery"]))
    assert splits["query"].info["gallery_is_training"] is False


def test_validation_is_a_share_of_training_but_stays_in_the_gallery(tmp_path):
    found = ids(make_splits(divided(three_folders(tmp_path), val=None), seed=0))
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
        make_splits(divided(tmp_path, gallery=gallery), seed=0)
    if left_out:
        splits = make_splits(divided(tmp_path, gallery=gallery, unusable="leave_out"), seed=0)
        ids(splits)
        assert sum(splits["train"].info["left_out"].values()) == left_out


def test_a_lone_training_image_may_stay_in_the_gallery(tmp_path):
    lone_in_training(three_folders(tmp_path))
    found = ids(make_splits(divided(tmp_path, unusable="leave_out"), seed=0))
    assert "train/z/z-0.png" in found["gallery"]
    assert "train/z/z-0.png" not in found["train"]


# Real photos


@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"real photos are not at {CLOTHING}")
def test_real_photos():
    splits = make_splits(divided(CLOTHING, val="validation", max_side=512), seed=17)
    assert {part: split.images for part, split in splits.items()} == {
        "train": 3068, "val": 341, "query": 372, "gallery": 3068,
    }  # fmt: skip
    assert {len(split.info["classes"]) for split in splits.values()} == {10}
    assert splits["train"].info["notes"] == []
