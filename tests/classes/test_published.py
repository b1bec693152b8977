"""Food-101 and CIFAR-100 in their published layouts."""

import collections
import pickle
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cir.classes.datasets import make_splits
from cir.classes.datasets.cifar100 import read_pickle
from cir.core.errors import UserError
from tests.helpers.class_images import cifar, food, food_folder, ids

# Food-101


def test_food101_as_it_is_published(tmp_path):
    splits = make_splits(food(food_folder(tmp_path)), seed=0)
    found = ids(splits)
    assert sorted(found["query"]) == [
        f"{c}/{c}-{n}.jpg" for c in ("pie", "soup") for n in (5, 6, 7)
    ]
    assert len(found["gallery"]) == 10
    assert found["train"] | found["val"] == found["gallery"]
    assert collections.Counter(found["val"].values()) == {"pie": 2, "soup": 2}
    found = ids(make_splits(food(tmp_path, gallery="test"), seed=0))
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
        make_splits(food(tmp_path), seed=0)


def test_images_in_neither_list_are_told(tmp_path):
    (food_folder(tmp_path) / "meta" / "test.txt").write_text("pie/pie-5\nsoup/soup-5\n")
    assert make_splits(food(tmp_path), seed=0)["train"].info["notes"] == [
        "4 of 16 images are in neither list and left out: "
        "pie/pie-6.jpg, pie/pie-7.jpg, soup/soup-6.jpg and 1 more"
    ]
    (tmp_path / "meta" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"test\.txt does not exist"):
        make_splits(food(tmp_path), seed=0)


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
    splits = make_splits(cifar(tmp_path), seed=0)
    found = ids(splits)
    assert {part: len(own) for part, own in found.items()} == {
        "train": 12, "val": 4, "query": 8, "gallery": 16,
    }  # fmt: skip
    assert found["query"]["test/aquarium_fish/00003"] == "aquarium_fish"
    again = make_splits(cifar(tmp_path), seed=0)
    for name, data, _ in again["gallery"].rows:
        row = pixels["train"][int(name[-5:])]
        seen = np.asarray(Image.open(BytesIO(data)))
        assert seen.shape == (32, 32, 3)
        for channel, y, x in [(0, 0, 0), (1, 0, 31), (2, 17, 5)]:
            assert seen[y, x, channel] == row[1024 * channel + 32 * y + x]
    found = ids(make_splits(cifar(tmp_path, gallery="test", query_share=0.25), seed=0))
    assert (len(found["query"]), len(found["gallery"])) == (2, 6)


def test_copies_in_cifar100(tmp_path):
    pixels = cifar_folder(tmp_path)
    pixels["test"][0] = pixels["train"][0]
    pixels["test"][1] = pixels["train"][2]  # of the other class
    labels = [n % 2 for n in range(8)]
    old_pickle(tmp_path / "test", {b"data": pixels["test"], b"fine_labels": labels})
    with pytest.raises(UserError, match="2 of 24 images have copies under another class: train/ap"):
        make_splits(cifar(tmp_path), seed=0)
    splits = make_splits(cifar(tmp_path, unusable="leave_out"), seed=0)
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
    with pytest.raises(UserError, match=r"is not read because it names \S+: expected only"):
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
        make_splits(cifar(tmp_path), seed=0)


def test_broken_pickles_are_one_sentence(tmp_path):
    cifar_folder(tmp_path)
    whole = (tmp_path / "train").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<html>no such page</html>"):
        (tmp_path / "train").write_bytes(content)
        with pytest.raises(UserError, match="train is no pickled file, or not whole"):
            make_splits(cifar(tmp_path), seed=0)
    (tmp_path / "train").unlink()
    with pytest.raises(UserError, match="train does not exist"):
        make_splits(cifar(tmp_path), seed=0)
