"""COCO annotations to triplets: small sets worked out by hand, every promise on random ones."""

import codecs
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.datasets import coco
from cir.datasets.object_sets import compose
from cir.datasets.params import CocoData, PairRules
from cir.edits.reading.templates import Template

KINDS = [(a, r) for a in range(4) for r in range(4) if a + r]
ADD = "Add a <positive_object>"
REMOVE = "remove the <negative_object>"
SENTENCES = [Template(", ".join([ADD] * a + [REMOVE] * r), "terse") for a, r in KINDS]
RULES = PairRules(min_shared=1, max_edit=3, per_target=4, near_misses=5)
PARTS = dict.fromkeys(("train", "val", "test"), SENTENCES)


def rules(*values):
    return PairRules(**dict(zip(PairRules.model_fields, values, strict=True)))


def load(root, seed=0, **changes):
    data = {
        **{"source": "coco", "root": root, "annotations": "instances.json", "images": "images"},
        **{"split": {"val": 0.2, "test": 0.2}, "min_area": 0.01, "max_objects": 6, "max_side": 64},
        **{"workers": 1, "rows_per_shard": 9},
    }
    return coco.load(CocoData(**data | RULES.model_dump() | changes), PARTS, seed)


def sets(**shown):
    return {name: frozenset(names.split()) for name, names in shown.items()}


def pairs(triplets):
    return sorted((t.reference, t.target) for t in triplets)


def test_pairs_of_a_gallery_worked_out_by_hand():
    gallery = sets(a="cat dog", b="cat dog hat", c="cat", d="cat", e="car bus")
    found = compose(gallery, SENTENCES, RULES, known=None, seed=0)
    # c and d show the same, so neither is a target; e shares nothing with anyone.
    by_target = {t.target for t in found}
    assert by_target == {"a", "b"}
    for t in found:
        if (t.reference, t.target) == ("a", "b"):
            assert (t.add, t.remove, t.text) == (("hat",), (), "Add a hat")
        elif (t.reference, t.target) == ("b", "a"):
            assert (t.add, t.remove, t.text) == ((), ("hat",), "remove the hat")
        elif t.target == "a":
            assert t.reference in "cd"
            assert (t.add, t.remove) == (("dog",), ())
        else:
            assert t.reference in "cd"
            assert set(t.add) == {"dog", "hat"}
    assert len(found) == 4  # two references each: the other one, and one of c and d
    near = {(t.reference, t.target): set(t.near_misses) for t in found}
    assert near["b", "a"] <= {"c", "d"}
    assert len(near["b", "a"]) == 1
    assert near["a", "b"] == set()


def test_limits_of_the_rules():
    gallery = sets(a="cat dog", b="cat dog hat tie", c="cat bus car", d="mug")
    assert pairs(compose(gallery, SENTENCES, rules(1, 2, 9, 0), None, 0)) == [
        ("a", "b"),
        ("b", "a"),
    ]
    assert pairs(compose(gallery, SENTENCES, rules(2, 9, 9, 0), None, 0)) == [
        ("a", "b"),
        ("b", "a"),
    ]
    assert ("a", "c") in pairs(compose(gallery, SENTENCES, rules(1, 3, 9, 0), None, 0))
    assert len(compose(gallery, SENTENCES, rules(0, 9, 1, 0), None, 0)) == 4
    additions = [t for t in SENTENCES if not t.removals]
    assert pairs(compose(gallery, additions, rules(1, 3, 9, 0), None, 0)) == [("a", "b")]


def random_gallery(seed, images=80, names="abcdefgh"):
    rng = np.random.default_rng(seed)
    draw = (rng.choice(list(names), rng.integers(1, 5), replace=False) for _ in range(images))
    return {f"{number}": frozenset(shown.tolist()) for number, shown in enumerate(draw)}


@pytest.mark.parametrize("seed", range(3))
def test_every_triplet_keeps_every_promise(seed):
    shown = random_gallery(seed)
    triplets = compose(shown, SENTENCES, RULES, known=frozenset("abcdef"), seed=seed)
    holders = Counter(shown.values())
    assert len({t.id for t in triplets}) == len(triplets)
    assert max(Counter(t.target for t in triplets).values()) <= RULES.per_target
    for t in triplets:
        reference, target = shown[t.reference], shown[t.target]
        assert (reference - set(t.remove)) | set(t.add) == target
        assert set(t.add) <= target - reference
        assert set(t.remove) <= reference - target
        assert holders[target] == 1
        assert len(reference & target) >= 1
        assert 1 <= len(t.add) + len(t.remove) <= 3
        assert t.novel == bool({"g", "h"} & {*t.add, *t.remove})
        assert len(t.near_misses) <= 5
        for miss in t.near_misses:
            more, fewer = len(shown[miss] - target), len(target - shown[miss])
            assert (more, fewer) in {(0, 1), (1, 0), (1, 1)}
            assert miss not in (t.reference, t.target)
        assert all(f"a {name}" in t.text or f"an {name}" in t.text for name in t.add)


def test_all_pairs_are_found_that_the_slow_way_finds():
    shown = random_gallery(5, images=60)
    holders = Counter(shown.values())
    expected = {
        (shown[r], t)
        for t in shown
        for r in shown
        if holders[shown[t]] == 1 and shown[r] & shown[t] and 1 <= len(shown[r] ^ shown[t]) <= 3
    }
    found = compose(shown, SENTENCES, rules(1, 3, 10_000, 0), None, seed=0)
    assert {(shown[t.reference], t.target) for t in found} == expected
    assert len(found) == len(expected)


def kinds_of(triplets):
    return Counter((len(t.add), len(t.remove)) for t in triplets)


def test_kinds_of_edit_come_more_evenly_than_their_pairs():
    shown = random_gallery(1, images=400, names="abcdefghijklmnop")
    pairs_there = kinds_of(compose(shown, SENTENCES, rules(1, 3, 10_000, 0), None, 0))
    chosen = kinds_of(compose(shown, SENTENCES, RULES, None, 0))
    assert set(chosen) == set(pairs_there)
    assert pairs_there[2, 1] > 15 * pairs_there[0, 1]
    assert chosen[2, 1] < 3 * chosen[0, 1]


def instances(folder, count=30, **changes):
    """A COCO file: image k shows thing k % 5 large, thing (k + 1 + k // 5) % 5 large, a speck."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    content = {"images": [], "annotations": [], "categories": []}
    for c in range(6):
        content["categories"].append({"id": 10 * c, "name": f"thing {c}" if c < 5 else "speck"})
    for k in range(count):
        name = f"{k}.png"
        Image.new("RGB", (20, 10), (k, 2 * k, 3)).save(folder / "images" / name)
        content["images"].append({"id": k, "file_name": name, "width": 20, "height": 10})
        for category, area in ((k % 5, 100), ((k + 1 + k // 5) % 5, 40), (5, 1)):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": k,
                    "category_id": 10 * category,
                    "area": area,
                    "bbox": [0, 0, 20, 10],
                    "iscrowd": int(area == 40),
                }
            )
    content |= changes
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path, content


def test_what_an_image_shows(tmp_path):
    path, _ = instances(tmp_path, 6)
    found = coco.read(path, tmp_path / "images", min_area=0.01)
    assert found.shown["0.png"] == {"thing 0", "thing 1"}  # a crowd counts, a speck does not
    assert found.shown["5.png"] == {"thing 0", "thing 2"}
    assert found.paths["5.png"] == tmp_path / "images" / "5.png"
    with_specks = coco.read(path, tmp_path / "images", min_area=0.005)
    assert with_specks.shown["0.png"] == {"thing 0", "thing 1", "speck"}
    alone = coco.read(path, tmp_path / "images", min_area=0.3)
    assert alone.shown["0.png"] == {"thing 0"}


def test_instances_add_up_and_boxes_stand_in_for_areas(tmp_path):
    box = {"image_id": 0, "category_id": 50, "bbox": [0, 0, 2, 10]}  # a tenth of the image
    path, _ = instances(tmp_path, 1, annotations=[{**box, "id": 0}, {**box, "id": 1}])
    assert coco.read(path, tmp_path / "images", 0.2).shown["0.png"] == {"speck"}
    assert coco.read(path, tmp_path / "images", 0.21).shown["0.png"] == frozenset()


@pytest.mark.parametrize(
    "sizes",
    [
        {"area": 20, "bbox": None},
        {"area": None, "bbox": [0, 0, 2, 10]},
        {"area": float("nan"), "bbox": [0, 0, 2, 10.0]},
        {"area": 20, "bbox": [0]},
        {"bbox": [None, None, 2, 10]},
    ],
)
def test_either_size_will_do(tmp_path, sizes):
    path, _ = instances(tmp_path, 1, annotations=[{"image_id": 0, "category_id": 50, **sizes}])
    assert coco.read(path, tmp_path / "images", 0.1).shown["0.png"] == {"speck"}
    assert coco.read(path, tmp_path / "images", 0.11).shown["0.png"] == frozenset()


def test_a_name_may_be_spelt_in_other_ways(tmp_path):
    path, content = instances(tmp_path, 1)
    (tmp_path / "images" / "a").mkdir()
    (tmp_path / "images" / "0.png").rename(tmp_path / "images" / "a" / "caf\u00e9.png")
    content["images"][0]["file_name"] = "a\\cafe\u0301.png"
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(content).encode())
    found = coco.read(path, tmp_path / "images", 0.1).paths["a\\cafe\u0301.png"]
    assert found == tmp_path / "images" / "a" / "caf\u00e9.png"


def test_several_wrong_entries_are_counted(tmp_path):
    path, content = instances(tmp_path)
    for number in (5, 6, 7, 8):
        content["annotations"][number] |= {"category_id": None, "image_id": None}
    path.write_text(json.dumps(content))
    sentence = r'4 of 90 annotations cannot be used: annotation 5 has no "image_id"; .* and 1 more$'
    with pytest.raises(UserError, match=sentence):
        coco.read(path, tmp_path / "images", 0.01)


def change(key, number, **values):
    def apply(content):
        content[key][number] = content[key][number] | values

    return apply


def drop(key, number, name):
    return lambda content: content[key][number].pop(name)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            change("annotations", 4, image_id=99),
            r"1 of 90 annotations refer to none of its images: "
            r"image_id 99 of annotation 4",
        ),
        (change("annotations", 4, category_id=7), r"none of its categories: category_id 7"),
        (change("images", 3, file_name="gone.png"), r"lists 30 images, and 1 .*: gone\.png"),
        (change("images", 3, file_name="2.png"), r"1 values of file_name .* in images: 2\.png"),
        (change("images", 3, id=2), r"1 values of id are repeated in images: 2"),
        (change("categories", 3, name="thing 2"), r"values of name .* in categories: thing 2"),
        (drop("annotations", 5, "image_id"), r'1 of 90 .*: annotation 5 has no "image_id"$'),
        (drop("images", 5, "width"), r'image 5 has no "width"$'),
        (change("images", 3, file_name=None), r'1 of 30 images .*: image 3 has no "file_name"$'),
        (
            change("images", 3, file_name=7),
            r"image 3 has the file_name '7': input should be a .*g$",
        ),
        (
            change("images", 3, width="20"),
            r"image 3 has the width '20': input should be a .*number$",
        ),
        (change("images", 3, height=0), r"image 3 has the height '0': input should be greater"),
        (change("images", 3, id=None), r'images\[3\] has no "id"$'),
        (change("images", 3, file_name="x" * 999), r"1 of them are not in"),
        (change("images", 3, file_name="x\0"), r"1 of them are not in .*: x\\x00$"),
        (lambda content: content["images"].append(4), r"images\[30\] is not an object$"),
        (change("categories", 3, name=None), r'category 30 has no "name"$'),
        (change("categories", 3, name=" "), r"category 30 has the name ' ': string should have"),
        (change("categories", 3, name=" thing 2 "), r"values of name .* in categories: thing 2"),
        (change("annotations", 4, image_id=[1]), r"annotation 4 has the image_id '\[1\]': input"),
        (change("annotations", 4, area=None, bbox=None), r"annotation 4 has no area and no bbox"),
        (
            change("annotations", 4, area=10**400, bbox=None),
            r"annotation 4 has no area and no bbox",
        ),
        (
            change("annotations", 4, area="9", bbox=[1, 2]),
            r"annotation 4 has no area and no bbox",
        ),
        (
            change("annotations", 4, area=-1, bbox=[1, 2, "3", 4]),
            r"annotation 4 has no area and no bbox",
        ),
        (lambda content: content.pop("categories"), r'expected a list under "categories"'),
        (lambda content: content["annotations"].clear(), r'expected a list under "annotations"'),
        (
            lambda content: [content["annotations"][8].pop(key) for key in ("area", "bbox")],
            r"annotation 8 has no area and no bbox",
        ),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, spoil, sentence):
    path, content = instances(tmp_path)
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"instances\.json.*{sentence}"):
        coco.read(path, tmp_path / "images", 0.01)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "null"])
def test_another_json_is_refused(tmp_path, text):
    path, _ = instances(tmp_path, 1)
    path.write_text(text)
    with pytest.raises(UserError, match=r"instances\.json"):
        coco.read(path, tmp_path / "images", 0.01)
    with pytest.raises(UserError, match=r"nothing\.json does not exist"):
        coco.read(tmp_path / "nothing.json", tmp_path / "images", 0.01)


def many_sets(folder, count=60):
    """Write images with random sets of twelve categories: some empty, one full."""
    rng = np.random.default_rng(0)
    path, content = instances(folder, count)
    content["categories"] = [{"id": c, "name": f"thing {c}"} for c in range(12)]
    content["annotations"] = [
        {"id": 100 * k + int(c), "image_id": k, "category_id": int(c), "area": 50}
        for k in range(2, count)
        for c in rng.choice(12, 12 if k == 2 else rng.integers(1, 4), replace=False)
    ]
    path.write_text(json.dumps(content))
    return folder


def test_parts_have_their_own_images_and_triplets(tmp_path):
    parts = load(many_sets(tmp_path))
    images = {part: {name: objects for name, _, objects in s.rows} for part, s in parts.items()}
    assert [len(images[part]) for part in PARTS] == [34, 12, 11]  # of 57 with one to six
    assert [split.images for split in parts.values()] == [34, 12, 11]
    assert len(set().union(*images.values())) == 57
    for part, split in parts.items():
        for t in split.triplets:
            assert {t.reference, t.target, *t.near_misses} <= set(images[part])
        uniques = Counter(map(tuple, images[part].values()))
        assert all(uniques[tuple(images[part][t.target])] == 1 for t in split.triplets)
    trained = {name for objects in images["train"].values() for name in objects}
    info = parts["test"].info
    assert info["names"] == sorted(trained)
    assert (info["images_listed"], info["images_showing_nothing"]) == (60, 2)
    assert info["images_with_too_many_objects"] == 1
    for t in parts["test"].triplets:
        assert t.novel == (not trained.issuperset(t.add + t.remove))


def test_same_seed_same_triplets(tmp_path):
    many_sets(tmp_path)
    first, again, other = (load(tmp_path, seed)["train"].triplets for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_corrupt_images_and_empty_parts_are_told(tmp_path):
    many_sets(tmp_path)
    with pytest.raises(UserError, match=r"give no triplet there: .* share 6 and differ by 1 to 3"):
        load(tmp_path, min_shared=6)
    (tmp_path / "images" / "7.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 57 images cannot be used: image 7\.png is empty"):
        load(tmp_path)
