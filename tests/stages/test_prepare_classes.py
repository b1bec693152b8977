"""The stage from params.yaml to shards on disk, for each group of conf/class_data."""

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cir.classes.datasets import PARTS
from cir.core.errors import UserError
from cir.images.shards import ImageShards, read_info, read_triplets
from stages.classes import prepare as prepare_classes
from tests.helpers import ROOT
from tools import compose_params

GROUPS = sorted(path.stem for path in (ROOT / "conf" / "class_data").glob("*.yaml"))
SMALL = {"test_kinds": 2, "val_kinds": 2, "per_class": 2, "val_per_class": 2}
SMALL |= {"queries_per_class": 1, "gallery_per_class": 2, "image_size": 32}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def conf(group):
    path = ROOT / "conf" / "class_data" / f"{group}.yaml"
    content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return content.get("class_data", content)  # a group may set more than its own section


def write_params(group, **changes):
    data = conf(group)
    data |= ({"workers": 1} if "workers" in data else {}) | changes
    with Path("params.yaml").open("w") as file:
        YAML().dump({"seed": 5, "class_data": data, "encoder": {"of": "another stage"}}, file)


def fill(folder, classes, shade=0):
    """Class folders with as many pictures as `classes` says, all of different content."""
    for label, count in classes.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", (30, 20), (shade % 256, shade // 256, 99))
            picture.save(folder / label / f"{label}_{number}.jpg", "PNG")
            shade += 1


def make_class_folders(root):
    fill(root, {"apple": 20, "pear": 20})


def make_divided_folders(root):
    for place, part in enumerate(("train", "validation", "test")):
        fill(root / part, {"apple": 6, "pear": 6}, 100 * place)


def make_training_and_test(root):
    fill(root / "training", {"apple": 20, "pear": 20})
    for place, part in enumerate(("query", "gallery")):
        fill(root / "made", {"apple": 3, "pear": 3}, 100 * (place + 1))
        (root / "test" / part).mkdir(parents=True)
        for path in list((root / "made").rglob("*.jpg")):
            path.rename(root / "test" / part / path.name)
        for label in ("apple", "pear"):
            (root / "made" / label).rmdir()


def make_cifar100(root):
    rng = np.random.default_rng(0)
    for pool, count in (("train", 40), ("test", 6)):
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        content = {"data": pixels, "fine_labels": [n % 2 for n in range(count)]}
        (root / pool).write_bytes(pickle.dumps(content))
    (root / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "pear"]}))


def make_food101(root):
    fill(root / "images", {"apple": 23, "pear": 23})
    (root / "meta").mkdir()
    for pool, numbers in (("train", range(20)), ("test", range(20, 23))):
        lines = [f"{label}/{label}_{number}\n" for label in ("apple", "pear") for number in numbers]
        (root / "meta" / f"{pool}.txt").write_text("".join(lines))


MADE = {
    "class_folders": (make_class_folders, (28, 4, 2, 6)),
    "divided_folders": (make_divided_folders, (12, 12, 12, 12)),
    "training_and_test": (make_training_and_test, (36, 4, 6, 6)),
    "cifar100": (make_cifar100, (36, 4, 6, 40)),
    "food101": (make_food101, (36, 4, 6, 40)),
}


def digests():
    folder = prepare_classes.OUT
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
    }


def test_drawn_objects_to_shards(capsys):
    write_params("drawn_objects", **SMALL, rows_per_shard=500)
    prepare_classes.main()
    assert capsys.readouterr().out.splitlines() == [
        "train: 760 images of 380 classes",
        "val: 40 images of 20 classes",
        "query: 20 images of 20 classes",
        "gallery: 40 images of 20 classes",
    ]
    assert sorted(path.name for path in prepare_classes.OUT.iterdir()) == sorted(PARTS)
    train = ImageShards(prepare_classes.OUT / "train")
    assert [len(shard.ids) for shard in train.shards()] == [500, 260]
    query = ImageShards(prepare_classes.OUT / "query")
    assert query.image(query.ids[0]).size == (32, 32)
    assert query.ids[0] == f"query/{query.objects(query.ids[0])[0]}/0000"
    before = digests()
    prepare_classes.main()
    assert digests() == before


@pytest.mark.parametrize("group", MADE)
def test_own_images_to_shards(workplace, capsys, group):
    make, expected = MADE[group]
    (workplace / "mine").mkdir()
    make(workplace / "mine")
    write_params(group, root="mine")
    prepare_classes.main()
    told = capsys.readouterr()
    for part, count in zip(PARTS, expected, strict=True):
        folder = prepare_classes.OUT / part
        images, info = ImageShards(folder), read_info(folder)
        assert f"{part}: {count} images of 2 classes" in told.out
        assert (len(images), info["images"], info["triplets"]) == (count, count, 0)
        assert read_triplets(folder) == []
        assert (info["source"], info["left_out"], info["notes"]) == (group, {}, [])
        labels = [images.objects(name) for name in images.ids]
        assert set(labels) == {("apple",), ("pear",)}
        assert info["classes"] == {c: labels.count((c,)) for c in ("apple", "pear")}
        for name in images.ids[:3]:
            side = (32, 32) if group == "cifar100" else (30, 20)
            assert images.image(name).size == side
            assert images.objects(name)[0] in name


def test_notes_are_said_and_kept(workplace, capsys):
    make_class_folders(workplace / "mine")
    (workplace / "mine" / "apple" / "list.txt").write_text("?")
    write_params("class_folders", root="mine")
    prepare_classes.main()
    (note,) = read_info(prepare_classes.OUT / "query")["notes"]
    assert note == "mine: left out: 1 without the suffix of an image (apple/list.txt)"
    assert note in capsys.readouterr().err


def test_where_the_folder_lies_changes_no_byte(workplace):
    written = []
    for place in ("here", "there/and/further"):
        folder = workplace / place / "mine"
        make_class_folders(folder)
        fill(folder, {"lone": 1}, 500)
        (folder / "list.txt").write_text("?")
        (folder / "apple" / "broken.jpg").write_bytes(b"?")
        (folder / "empty").mkdir()
        write_params("class_folders", root=str(folder), unusable="leave_out")
        prepare_classes.main()
        written.append(digests())
    assert written[0] == written[1]


def test_bad_input_is_refused_before_anything_is_written(workplace):
    make_class_folders(workplace / "mine")
    write_params("class_folders", root="mine")
    prepare_classes.main()
    before = digests()
    (workplace / "mine" / "pear" / "pear_7.jpg").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 40 images cannot be used: image pear/pear_7\.jpg"):
        prepare_classes.main()
    (workplace / "mine" / "pear" / "pear_7.jpg").unlink()
    fill(workplace / "mine", {"lone": 1}, 500)
    with pytest.raises(UserError, match="1 of 3 classes in mine have one image only"):
        prepare_classes.main()
    assert digests() == before
    write_params("class_folders", root="mine", unusable="leave_out")
    prepare_classes.main()
    assert read_info(prepare_classes.OUT / "val")["left_out"] == {"classes of one image": 1}


def test_a_run_that_ends_half_way_leaves_nothing_of_an_earlier_one(workplace, monkeypatch):
    make_class_folders(workplace / "mine")
    write_params("class_folders", root="mine")
    prepare_classes.main()
    assert {path.name for path in prepare_classes.OUT.iterdir()} == set(PARTS)
    write = prepare_classes.shards.write

    def killed(folder, *more):
        if folder.name == "val":
            raise KeyboardInterrupt
        write(folder, *more)

    monkeypatch.setattr(prepare_classes.shards, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_classes.main()
    assert {path.name for path in prepare_classes.OUT.iterdir()} == {"train"}


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_composes_and_fits_its_source(workplace, group):
    """As `dvc exp run -S class_data=<group>` does, with a conf/ that has this group."""
    (workplace / "conf").mkdir()
    (workplace / "conf" / "class_data").symlink_to(ROOT / "conf" / "class_data")
    (workplace / "conf" / "config.yaml").write_text(
        "defaults:\n  - _self_\n  - class_data: drawn_objects\nseed: 17\n"
    )
    compose_params.compose(workplace / "params.yaml", [f"class_data={group}"], workplace)
    params = prepare_classes.load(prepare_classes.Params)
    assert params.class_data.source == conf(group)["source"]


@pytest.mark.parametrize(
    ("group", "changes", "sentence"),
    [
        ("class_folders", {}, r"class_data\.root is no folder: path/to/your/folder"),
        ("cifar100", {}, r"class_data\.root is no folder: path/to/cifar-100-python"),
        ("class_folders", {"val": 0.5, "test": 0.5}, r"val and test leave nothing for train"),
        ("class_folders", {"query_share": 1.0}, r"class_data\.query_share must be less than 1"),
        ("class_folders", {"divide": "files"}, r"divide must be 'images' or 'classes', got 'files"),
        ("class_folders", {"unusable": "keep"}, r"unusable must be 'refuse' or 'leave_out'"),
        ("class_folders", {"max_sied": 3}, r'unknown key "class_data\.max_sied"; did you mean "ma'),
        ("divided_folders", {"val": "train"}, r"train, val and test must be different folders"),
        ("divided_folders", {"gallery": "val"}, r"gallery must be 'train' or 'test', got 'val'"),
        ("training_and_test", {"separator": ""}, r"class_data\.separator .* at least 1 character"),
        ("drawn_objects", {"per_class": 1}, r"per_class must be greater than or equal to 2, got 1"),
        ("drawn_objects", {"val_kinds": 32}, r"leave no kind of object for train: 10 \+ 32 of 42"),
        (
            "drawn_objects",
            {"source": "drawings"},
            r"class_data\.source must be one of .*'drawings'",
        ),
        ("cifar100", {"workers": 1}, r'unknown key "class_data\.workers"'),
    ],
)
def test_wrong_params_are_one_sentence(group, changes, sentence):
    write_params(group, **changes)
    with pytest.raises(UserError, match=sentence):
        prepare_classes.main()
    assert not any(Path("data").glob("classes*"))


def test_as_a_process_it_prints_the_sentence_and_fails():
    write_params("food101", root="missing/photos")
    command = [sys.executable, "-m", "stages.classes.prepare"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: class_data.root is no folder: missing/photos; it was looked for in "
        f"{Path.cwd()}, and an experiment in a queue runs in a copy elsewhere: give the absolute "
        "path\n"
    )
