"""The stage from params.yaml to shards on disk, for each source, and what it refuses."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cir.core.errors import UserError
from cir.datasets import drawn
from cir.datasets.params import ScenesData
from cir.edits.reading import templates
from cir.images import shards
from stages import prepare_data
from tests.helpers import ROOT

KINDS = [(a, r) for a in range(3) for r in range(3) if 1 <= a + r <= 3]
FORMS = {"train": "{}.", "validation": "Please: {}!", "test": "Could you {}?"}


def template(form, additions, removals):
    asks = ["add a <positive_object>"] * additions + ["drop the <negative_object>"] * removals
    return templates.Template(form.format(" and ".join(asks)), "plain")


SENTENCES = {
    "val" if part == "validation" else part: [template(form, a, r) for a, r in KINDS]
    for part, form in FORMS.items()
}


def conf(source):
    path = ROOT / "conf" / "data" / f"{source}.yaml"
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty repository with the templates that an earlier stage has set aside."""
    monkeypatch.chdir(tmp_path)
    prepare_data.TEMPLATES.parent.mkdir(parents=True)
    entries = {part: [vars(template(form, a, r)) for a, r in KINDS] for part, form in FORMS.items()}
    prepare_data.TEMPLATES.write_text(json.dumps(entries))
    return tmp_path


def write_params(base, **changes):
    data = conf(base) | {"workers": 1} | changes
    with Path("params.yaml").open("w") as file:
        YAML().dump({"seed": 5, "data": data, "encoder": {"of": "another stage"}}, file)


SMALL = {"train_queries": 40, "val_queries": 14, "test_queries": 28, "novel_queries": 7}
SCENES = ScenesData(**conf("scenes") | {"workers": 1, "image_size": 32} | SMALL)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
    }


def test_scenes_to_shards(workplace, capsys):
    write_params("scenes", **SMALL, image_size=32, rows_per_shard=50)
    prepare_data.main()
    assert "train: 40 queries, 80 images" in capsys.readouterr().out
    assert sorted(path.name for path in prepare_data.OUT.iterdir()) == ["test", "train", "val"]
    train = shards.ImageShards(prepare_data.OUT / "train")
    assert [len(shard.ids) for shard in train.shards()] == [50, 30]
    assert train.image(train.ids[79]).size == (32, 32)
    sheet = Image.open(prepare_data.SHEET)
    assert sheet.format == "JPEG"
    assert prepare_data.SHEET.stat().st_size < 500_000
    before = digests(prepare_data.OUT)
    prepare_data.main()
    assert digests(prepare_data.OUT) == before


def test_number_of_workers_changes_no_byte(tmp_path):
    for workers in (1, 2):
        data = SCENES.model_copy(update={"workers": workers})
        split = drawn.load(data, SENTENCES, seed=5)["val"]
        shards.write(tmp_path / str(workers), split.rows, split.triplets, split.info)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def collect(split):
    return {name: frozenset(objects) for name, _, objects in split.rows}


def test_galleries_of_scenes_are_hard_and_fair():
    splits = drawn.load(SCENES, SENTENCES, seed=5)
    shown = {part: collect(split) for part, split in splits.items()}
    for part, split in splits.items():
        assert len(shown[part]) == split.images
        for t in split.triplets:
            reference, target = shown[part][t.reference], shown[part][t.target]
            assert (reference - set(t.remove)) | set(t.add) == target
            assert all(name in t.text for name in t.add + t.remove)
    for part in ("val", "test"):
        holders = Counter(shown[part].values())
        for t in splits[part].triplets:
            assert holders[shown[part][t.target]] == 1
            assert len(t.near_misses) >= 2
            assert shown[part][t.target] not in {shown[part][name] for name in t.near_misses}
    novel = set(splits["test"].info["novel_names"])
    assert len(novel) == round(0.1 * (len(novel) + len(splits["test"].info["names"])))
    for part in ("train", "val"):
        assert not novel & set().union(*shown[part].values())
    for t in splits["test"].triplets:
        assert t.novel == bool(novel & {*t.add, *t.remove})
    assert (
        sum(t.novel for t in splits["test"].triplets) == splits["test"].info["novel_queries"] == 7
    )
    queried = {
        part: {shown[part][name] for t in split.triplets for name in (t.reference, t.target)}
        for part, split in splits.items()
    }
    assert not set(shown["train"].values()) & (queried["val"] | queried["test"])
    assert not queried["val"] & queried["test"]


def test_sentences_keep_to_the_templates_of_their_part():
    splits = drawn.load(SCENES, SENTENCES, seed=5)
    assert all(t.text.endswith(".") for t in splits["train"].triplets)
    assert all(t.text.startswith("Please") for t in splits["val"].triplets)
    assert all(t.text.startswith("Could you") for t in splits["test"].triplets)


def contest_folder(folder, count=40):
    (folder / "images").mkdir(parents=True)
    lines = ["query_image,query_text,target_image"]
    for k in range(count):
        for side in (0, 1):
            picture = Image.new("RGB", (30, 20), (k, 90 * side, 200))
            picture.save(folder / "images" / f"{k}-{side}.png")
        lines.append(f"{k}-0.png,Add thing {k}.,{k}-1.png")
    (folder / "data.csv").write_text("\n".join(lines))
    return folder


def coco_folder(folder, count=90):
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": c, "name": f"thing {c}"} for c in range(10)],
    }
    for k in range(count):
        name = f"{k}.png"
        Image.new("RGB", (30, 20), (k, 90, 200)).save(folder / "images" / name)
        content["images"].append({"id": k, "file_name": name, "width": 30, "height": 20})
        content["annotations"] += [
            {"id": 10 * k + int(c), "image_id": k, "category_id": int(c), "area": 99}
            for c in rng.choice(10, rng.integers(1, 4), replace=False)
        ]
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(("source", "make"), [("contest", contest_folder), ("coco", coco_folder)])
@pytest.mark.parametrize("relative", [True, False])
def test_own_images_to_shards(workplace, source, make, relative):
    root = make(workplace / "mine")
    write_params(source, root="mine" if relative else str(root))
    prepare_data.main()
    seen = set()
    for part in ("train", "val", "test"):
        images = shards.ImageShards(prepare_data.OUT / part)
        triplets = shards.read_triplets(prepare_data.OUT / part)
        info = shards.read_info(prepare_data.OUT / part)
        assert info["source"] == source
        assert (info["images"], info["triplets"]) == (len(images), len(triplets))
        assert len(triplets) > 0
        assert not seen & set(images.ids)
        seen |= set(images.ids)
        for triplet in triplets:
            assert images.image(triplet.target).size == (30, 20)
            assert (triplet.edit is None) == (source == "contest")
    with Image.open(prepare_data.SHEET) as sheet:
        assert sheet.size[0] > 300


def test_bad_input_is_refused_before_anything_is_written(workplace):
    root = contest_folder(workplace / "mine")
    write_params("contest", root="mine")
    prepare_data.main()
    before = digests(prepare_data.OUT)
    (root / "images" / "39-1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 80 images cannot be used: image 39-1\.png"):
        prepare_data.main()
    assert digests(prepare_data.OUT) == before


@pytest.mark.parametrize(
    ("source", "changes", "sentence"),
    [
        ("contest", {}, r"data\.root is not a folder: path/to/your/folder"),
        ("coco", {}, r"data\.root is not a folder: path/to/your/folder"),
        ("contest", {"split": {"val": 0.5, "test": 0.5}}, r"val and test leave nothing for train"),
        ("contest", {"split": {"val": 0.0, "test": 0.5}}, r"data\.split\.val must be greater than"),
        ("contest", {"max_sied": 3}, r'unknown key "data\.max_sied"; did you mean "max_side"'),
        ("contest", {"image_size": 64}, r'unknown key "data\.image_size"'),
        ("scenes", {"image_size": -1}, r"data\.image_size must be greater than or equal to 32"),
        ("scenes", {"test_queries": 10}, r"novel_queries \(200\) are among the 10 test_queries"),
        ("scenes", {"source": "drawings"}, r"data\.source must be one of .*got 'drawings'"),
        (
            "contest",
            {"labels_from": "data/retrieval/train"},
            r"^params\.yaml: data\.labels_from must be models/tagger with data\.source=contest",
        ),
        ("scenes", {"labels_from": "models/tagger"}, r"must be data/retrieval/train with data"),
        ("coco", {"rows_per_shard": 0}, r"data\.rows_per_shard must be greater than 0"),
    ],
)
def test_wrong_params_are_one_sentence(workplace, source, changes, sentence):
    write_params(source, **changes)
    with pytest.raises(UserError, match=sentence):
        prepare_data.main()
    assert not any(prepare_data.OUT.parent.glob("retrieval*"))


def test_as_a_process_it_prints_the_sentence_and_fails(workplace):
    write_params("contest", root="missing/photos")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.prepare_data"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data.root is not a folder: missing/photos")
    assert done.stderr.count("\n") == 1
