"""Loaders of the published datasets, on miniatures in their layouts."""

import ast
import json
from collections import Counter

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.published.datasets import DATASETS, Query, QuerySet
from cir.published.datasets.circo import CIRCO
from cir.published.datasets.cirr import CIRR
from cir.published.datasets.fashion200k import Fashion200k
from cir.published.datasets.fashioniq import CATEGORIES, FashionIQ, query_texts, training_texts
from cir.published.datasets.mit_states import TEST_NOUNS, MITStates
from cir.published.datasets.options import with_options
from cir.published.datasets.pairs import drawn
from cir.published.datasets.word_exchange import parents, replacement
from cir.retrieval.ranking.protocol import Protocol
from tests.helpers import ROOT
from tests.helpers import miniature_datasets as mini

TWO = ("Is longer.", "has no sleeves? ")


def edit(path, change):
    """Change the content of a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    mini.dump(path, content)


def only(items):
    (item,) = items
    return item


def sampled(pairs, epochs, seed=0):
    return [pair for epoch in range(epochs) for pair in pairs.epoch(seed, epoch)]


@pytest.mark.parametrize("name", mini.WRITERS)
def test_every_part_of_every_layout_is_read(tmp_path, name):
    dataset = DATASETS[name](mini.WRITERS[name](tmp_path))
    for part in dataset.parts():
        content = part.read()
        assert all(path.is_file() for path in content.images.values())
        if part.use == "train":
            assert len(content) > 0
            continue
        assert {q.reference for q in content.queries} | {*content.gallery} <= content.images.keys()
        assert content.labelled == (part.use in ("val", "test"))
        stored = content.protocol.to_dict()
        assert json.loads(json.dumps(stored)) == stored
        assert stored["dataset"] == dataset.title
        assert "left_out" not in stored


@pytest.mark.parametrize("name", [n for n in mini.WRITERS if n != "circo"])
def test_pairs_depend_on_the_seed_alone(tmp_path, name):
    dataset = DATASETS[name](mini.WRITERS[name](tmp_path))
    for first, again in zip(dataset.training_pairs(), dataset.training_pairs(), strict=True):
        backwards = [again.pair(3, 1, number) for number in reversed(range(len(again)))]
        assert list(first.epoch(3, 1)) == backwards[::-1]
        assert sampled(first, 5, seed=3) != sampled(first, 5, seed=4)
        assert list(first.epoch(3, 1)) != list(first.epoch(3, 2))
        for triplet in sampled(first, 3):
            assert {triplet.reference, triplet.target} <= first.images.keys()
        with pytest.raises(AssertionError):
            first.pair(3, 1, len(first))


def test_every_stored_dataset_has_a_miniature():
    assert mini.WRITERS.keys() == {name for name, kind in DATASETS.items() if kind.stored}


def test_an_epoch_takes_each_once():
    assert sorted(drawn(50, 1, 2, number) for number in range(50)) == list(range(50))


# MIT-States


def test_mit_states_queries_by_hand(tmp_path):
    test = only(MITStates(mini.mit_states(tmp_path)).query_sets("test"))
    assert set(test.gallery) == {
        *(f"ripe tomato/{n}.jpg" for n in (0, 1)),
        "sliced tomato/0.jpg",
        "old castle/0.jpg",
        *(f"huge castle/{n}.jpg" for n in (0, 1, 2)),
    }
    found = {(q.reference, only(q.texts)): q.hits for q in test.queries}
    assert len(found) == len(test.queries) == 7  # every image, and one other state of its noun
    assert found["old castle/0.jpg", "huge"] == {f"huge castle/{n}.jpg" for n in (0, 1, 2)}
    assert found["ripe tomato/1.jpg", "sliced"] == {"sliced tomato/0.jpg"}
    assert test.protocol.to_dict() | {"query": 0, "edit": 0} == {
        "gallery": "all test images",
        "query": 0,
        "edit": 0,
        "reference_kept": False,
        "hit": "any image of its caption",
        "ties": "against the target",
        "similarity": "cosine",
        "dataset": "MIT-States",
        "split": "test",
        "text": "the change",
    }
    assert any("adj tomato" in note for note in test.notes)


def test_mit_states_pairs_share_their_reference_and_are_uniform_over_states(tmp_path):
    pairs = only(MITStates(mini.mit_states(tmp_path)).training_pairs())
    assert len(pairs) == 10
    assert "Thumbs.db" in pairs.notes[-1]
    counts, own = Counter(), 0
    triplets = sampled(pairs, 600)
    for first, second in zip(triplets[::2], triplets[1::2], strict=True):
        assert first.reference == second.reference
        assert first.text != second.text
        for triplet in (first, second):
            adjective, noun = triplet.target.split("/")[0].split()
            assert triplet.text == adjective
            assert triplet.reference.split("/")[0].split()[1] == noun
            counts[noun, adjective] += 1
            own += triplet.reference.split("/")[0] == triplet.target.split("/")[0]
    cars = [counts["car", adjective] for adjective in ("red", "old", "rusty")]
    assert max(cars) - min(cars) < 0.12 * sum(cars)  # not in the proportion of images, 3:2:1
    assert own > 0  # a state may be asked for that the reference has


def test_mit_states_complete_texts(tmp_path):
    dataset = MITStates(mini.mit_states(tmp_path), text="the target's caption")
    for triplet in sampled(only(dataset.training_pairs()), 1):
        assert triplet.text == triplet.target.split("/")[0]
    test = only(dataset.query_sets("test"))
    assert test.protocol.text == "the target's caption"
    assert {q.texts[0] for q in test.queries} == {
        "ripe tomato",
        "sliced tomato",
        "old castle",
        "huge castle",
    }


def test_a_noun_with_one_state_and_a_folder_of_three_words(tmp_path):
    root = mini.mit_states(tmp_path)
    mini.draw(root / "images" / "wet dog" / "0.jpg")
    with pytest.raises(UserError, match=r"train: 1 of 3 nouns have images of one adjective.*: dog"):
        MITStates(root).training_pairs()
    mini.draw(root / "images" / "very wet dog" / "0.jpg")
    with pytest.raises(UserError, match=r"1 of 13 folders in .*images .*: very wet dog"):
        MITStates(root).query_sets("test")


def test_mit_states_folders_without_photos_are_told(tmp_path):
    root = mini.mit_states(tmp_path)
    (root / "images" / "blue car").mkdir()
    (root / "images" / "old tomato").mkdir()
    (root / "images" / "old tomato" / "0.png").write_bytes(b"")
    dataset = MITStates(root)
    assert only(dataset.training_pairs()).notes[-1] == "1 folders hold no .jpg: blue car"
    assert only(dataset.query_sets("test")).notes[-1] == "1 folders hold no .jpg: old tomato"


def test_mit_states_of_a_nas_have_the_same_images(tmp_path):
    dataset = MITStates(mini.mit_states(tmp_path))
    before = only(dataset.query_sets("test"))
    for name in ("System Volume Information", "Temporary Items", "ripe tomato/@eaDir"):
        mini.draw(tmp_path / "images" / name / "0.jpg")
    (tmp_path / "images" / "ripe tomato" / "._0.jpg").write_bytes(b"\0\5\x16\7")
    after = only(dataset.query_sets("test"))
    assert (after.queries, after.images) == (before.queries, before.images)
    note = "2 files are no .jpg and are left out: ripe tomato/._0.jpg, ripe tomato/@eaDir"
    assert after.notes[-1] == note
    only(dataset.training_pairs())


def test_there_are_49_test_nouns():
    assert len(TEST_NOUNS) == 49


# Fashion200k


def test_parents_of_a_caption_the_published_way_and_mended():
    assert parents("a black cat", "legacy") == ["blck ct", "a cat", "a black"]
    assert parents("a black cat", "fixed") == ["black cat", "a cat", "a black"]
    assert parents("red red dress", "legacy") == ["dress", "red red"]
    assert parents("red red dress", "fixed") == ["red dress", "red red"]


def test_the_words_that_are_replaced():
    assert replacement("red cotton dress", "blue cotton dress") == "replace red with blue"
    assert replacement("dress", "red dress") == "replace dress with red"
    assert replacement("red dress", "dress") == "replace red with dress"


def test_fashion200k_by_hand(tmp_path):
    test = only(Fashion200k(mini.fashion200k(tmp_path)).query_sets("test"))
    assert set(test.gallery) == {f"women/c/{n}.jpeg" for n in (1, 2, 3, 4)}
    assert [(q.reference, q.texts, set(q.hits)) for q in test.queries] == [
        ("women/c/1.jpeg", ("replace red with green",), {"women/c/2.jpeg", "women/c/3.jpeg"}),
        ("women/c/3.jpeg", ("replace green with red",), {"women/c/1.jpeg", "women/c/4.jpeg"}),
    ]
    assert not test.protocol.reference_kept
    assert test.protocol.deletion == "legacy"


def test_fashion200k_captions_are_mapped_and_pairs_exchange_a_word(tmp_path):
    pairs = only(Fashion200k(mini.fashion200k(tmp_path), deletion="fixed").training_pairs())
    assert pairs.captions["women/b/2.jpeg"] == "long a-line vdotmarkneck gown andmark belt"
    captions = pairs.captions
    seen = {(captions[t.reference], t.text, captions[t.target]) for t in sampled(pairs, 100)}
    assert seen == {  # the gown has no sibling and is never a reference
        ("red cotton dress", "replace red with blue", "blue cotton dress"),
        ("blue cotton dress", "replace blue with red", "red cotton dress"),
        ("blue cotton dress", "replace cotton with silk", "blue silk dress"),
        ("blue silk dress", "replace silk with cotton", "blue cotton dress"),
    }
    targets = Counter(t.target for t in sampled(pairs, 300) if t.text == "replace red with blue")
    assert 0.8 < targets["women/a/2.jpeg"] / targets["women/a/3.jpeg"] < 1.25


def test_fashion200k_without_siblings_and_with_repeated_images(tmp_path):
    root = mini.fashion200k(tmp_path)
    path = root / "labels" / "dress_train_detect_all.txt"
    path.write_text(path.read_text() * 2, encoding="utf-8")
    assert "2 images are listed again" in only(Fashion200k(root).training_pairs()).notes[0]
    path.write_text("women/a/1.jpeg\t1\tred cotton dress\n", encoding="utf-8")
    (root / "labels" / "skirt_train_detect_all.txt").write_text("women/b/2.jpeg\t1\tlong gown\n")
    with pytest.raises(UserError, match="none of 2 captions becomes another"):
        Fashion200k(root).training_pairs()


def test_fashion200k_complete_texts(tmp_path):
    dataset = Fashion200k(mini.fashion200k(tmp_path), text="the target's caption")
    assert only(dataset.query_sets("test")).queries[0].texts == ("green skirt",)
    pairs = only(dataset.training_pairs())
    assert all(t.text == pairs.captions[t.target] for t in sampled(pairs, 2))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("test_queries.txt", "women/c/1.jpeg\nb c\n", r"1 of 2 lines are not a source and .*: li"),
        ("test_queries.txt", "women/c/1.jpeg no.jpeg\n", r"1 of 2 images .*not in the gallery: no"),
        ("labels/dress_test_detect_all.txt", "a.jpeg\t0.9\n", r"1 of 1 lines are not a path, a sc"),
        ("labels/dress_test_detect_all.txt", "", r"dress_test_detect_all.txt is empty"),
    ],
)
def test_fashion200k_bad_files(tmp_path, file, text, sentence):
    root = mini.fashion200k(tmp_path)
    (root / file).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        Fashion200k(root).query_sets("test")


def test_fashion200k_needs_the_published_queries_and_skips_hidden_files(tmp_path):
    root = mini.fashion200k(tmp_path)
    (root / "labels" / "._dress_test_detect_all.txt").write_bytes(b"\0\xff")
    assert len(only(Fashion200k(root).query_sets("test")).gallery) == 4
    (root / "test_queries.txt").unlink()
    with pytest.raises(UserError, match=r"test_queries\.txt does not exist: .* with TIRG's code"):
        Fashion200k(root).query_sets("test")


# FashionIQ


def test_captions_are_joined_as_each_paper_does():
    assert query_texts("dress", TWO, "clip4cir") == [("Is longer and has no sleeves",)]
    assert query_texts("dress", TWO, "composeae") == [("dress is longer. and it has no sleeves? ",)]
    assert query_texts("dress", TWO, "searle") == [
        ("Is longer and has no sleeves", "has no sleeves and Is longer")
    ]
    assert query_texts("dress", TWO, "separate") == [("Is longer.",), ("has no sleeves? ",)]
    assert training_texts("dress", TWO, "clip4cir") == (
        "Is longer and has no sleeves",
        "Has no sleeves and Is longer",
        "Is longer",
        "Has no sleeves",
    )
    assert len(training_texts("dress", TWO, "composeae")) == 1
    assert training_texts("dress", TWO, "separate") == TWO


def test_fashioniq_by_hand(tmp_path):
    root = mini.fashioniq(tmp_path)
    dress, shirt, toptee = FashionIQ(root).query_sets("val")
    assert [b.name for b in (dress, shirt, toptee)] == [f"FashionIQ val {c}" for c in CATEGORIES]
    assert dress.gallery == tuple(f"dval{n}" for n in range(6))
    assert [(q.reference, q.target) for q in dress.queries] == [
        ("dval0", "dval1"),
        ("dval1", "dval2"),
        ("dval2", "dval3"),
    ]
    assert dress.images["dval0"].suffix == ".png"
    assert dress.images["dval1"].suffix == ".jpg"
    assert dress.protocol.reference_kept
    assert dress.protocol.captions == "clip4cir"


def test_fashioniq_galleries_and_separate_captions(tmp_path):
    root = mini.fashioniq(tmp_path)
    val = FashionIQ(root, gallery="val", captions="separate").query_sets("val")[0]
    assert set(val.gallery) == {f"dval{n}" for n in range(4)}
    assert len(val.queries) == 6
    assert val.protocol.gallery == "references and targets"
    pooled = FashionIQ(root, gallery="pooled").query_sets("val")[1]
    assert len(pooled.gallery) == 18
    with pytest.raises(UserError, match="test dress: 3 queries have no target, so there is no gal"):
        FashionIQ(root, gallery="val").query_sets("test")


def test_fashioniq_training_texts_are_one_of_four_at_random(tmp_path):
    pairs = FashionIQ(mini.fashioniq(tmp_path)).training_pairs()[0]
    assert len(pairs) == 3
    texts = Counter(t.text for t in sampled(pairs, 400) if t.reference == "dtrain0")
    assert len(texts) == 4
    assert min(texts.values()) > 70  # of 400


def test_a_category_without_a_validation_split(tmp_path):
    root = mini.fashioniq(tmp_path)
    (root / "captions" / "cap.shirt.val.json").unlink()
    with pytest.raises(UserError, match=r"shirt has no val split in .*: captions/cap\.shirt\.val"):
        FashionIQ(root).query_sets("val")
    assert len(FashionIQ(root, categories=("dress", "toptee")).query_sets("val")) == 2


def test_fashioniq_empty_captions_are_told(tmp_path):
    root = mini.fashioniq(tmp_path)
    edit(root / "captions" / "cap.dress.val.json", lambda c: c[1].update(captions=["", "red"]))
    assert "1 of 3 queries have an empty caption" in FashionIQ(root).query_sets("val")[0].notes[0]


# CIRR


@pytest.mark.parametrize("place", ["", "cirr/img_raw"])
def test_cirr_by_hand_in_both_places(tmp_path, place):
    val = only(CIRR(mini.cirr(tmp_path, place)).query_sets("val"))
    assert len(val.gallery) == 12
    query = val.queries[0]
    assert (query.id, query.reference, query.target) == ("100", "dev-0-img0", "dev-5-img1")
    assert query.members == val.gallery[:6]
    assert not val.protocol.reference_kept
    test = only(CIRR(tmp_path).query_sets("test1"))
    assert not test.labelled
    assert all(len(q.members) == 6 for q in test.queries)
    assert len(only(CIRR(tmp_path).training_pairs())) == 4


def test_cirr_image_sets_of_another_size(tmp_path):
    root = mini.cirr(tmp_path)
    path = root / "cirr" / "captions" / "cap.rc2.val.json"
    edit(path, lambda c: c[2]["img_set"].update(members=["dev-0-img0"]))
    with pytest.raises(UserError, match=r"1 of 4 entries lack a value .*: entry 2 \(img_set\)"):
        CIRR(root).query_sets("val")


def test_cirr_target_outside_its_image_set(tmp_path):
    root = mini.cirr(tmp_path)
    path = root / "cirr" / "captions" / "cap.rc2.val.json"
    edit(path, lambda c: c[1].update(target_hard="dev-9-img1"))
    sentence = r"1 of 4 queries have a target outside their own image set: 101 \(dev-9-img1\)"
    with pytest.raises(UserError, match=sentence):
        CIRR(root).query_sets("val")


def test_cirr_without_its_outer_folder(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path} has them: pass this folder"):
        CIRR(mini.cirr(tmp_path) / "cirr").query_sets("val")


# CIRCO


def test_circo_by_hand(tmp_path):
    val = only(CIRCO(mini.circo(tmp_path)).query_sets("val"))
    query = val.queries[2]
    assert (query.reference, query.texts, query.target) == ("1002", ("shows 2 people",), "1030")
    assert query.hits == {"1030", "1031", "1032"}
    assert query.aspects == ("viewpoint",)
    assert (len(val.gallery), val.protocol.reference_kept) == (60, True)
    assert not only(CIRCO(tmp_path).query_sets("test")).labelled
    with pytest.raises(UserError, match="CIRCO has no split train: it has val, test"):
        CIRCO(tmp_path).training_pairs()


def test_circo_target_that_is_no_right_answer(tmp_path):
    root = mini.circo(tmp_path)
    edit(root / "annotations" / "val.json", lambda c: c[0].update(target_img_id=1))
    with pytest.raises(UserError, match="1 of 3 queries have a target that is not among"):
        CIRCO(root).query_sets("val")


# What is wrong in the same way everywhere


@pytest.mark.parametrize("wanted", mini.WRITERS)
@pytest.mark.parametrize("given", mini.WRITERS)
def test_a_root_of_another_layout_is_named(tmp_path, wanted, given):
    if wanted == given:
        return
    root = mini.WRITERS[given](tmp_path)
    dataset = DATASETS[wanted](root)
    title = DATASETS[given].title
    with pytest.raises(UserError, match=rf"layout of {dataset.title}: .* it looks like {title}$"):
        dataset.query_sets(dataset.parts()[-1].name.split()[0])


def test_a_root_one_level_off_and_none(tmp_path):
    mini.fashioniq(tmp_path / "fashionIQ")
    with pytest.raises(UserError, match=r"/fashionIQ has them: pass this folder"):
        FashionIQ(tmp_path).query_sets("val")
    with pytest.raises(UserError, match="nowhere is not a folder: expected the root of CIRR"):
        CIRR(tmp_path / "nowhere").query_sets("val")


FILES = {
    "fashioniq": ("captions/cap.dress.val.json", "image_splits/split.dress.val.json"),
    "cirr": ("cirr/captions/cap.rc2.val.json", "cirr/image_splits/split.rc2.val.json"),
    "circo": (
        "annotations/val.json",
        "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json",
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("which", [0, 1])
def test_a_truncated_json_is_named_with_its_size(tmp_path, name, which):
    root = mini.WRITERS[name](tmp_path)
    path = root / FILES[name][which]
    path.write_bytes(path.read_bytes()[:-40])
    size = path.stat().st_size
    with pytest.raises(UserError, match=rf"{path} is not a JSON file: .* {size:,} bytes: is it wh"):
        DATASETS[name](root).query_sets("val")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [[], {}, "x", None, [1], {"images": [1]}, [{}], {"a": 1}])
def test_json_of_another_form_is_one_sentence(tmp_path, name, which, content):
    root = mini.WRITERS[name](tmp_path)
    mini.dump(root / FILES[name][which], content)
    with pytest.raises(UserError, match=str(root / FILES[name][which])):
        DATASETS[name](root).query_sets("val")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("which", [0, 1])
def test_a_folder_in_the_place_of_a_file_is_one_sentence(tmp_path, name, which):
    root = mini.WRITERS[name](tmp_path)
    path = root / FILES[name][which]
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=str(path)):
        DATASETS[name](root).query_sets("val")


@pytest.mark.parametrize("gallery", ["full", "val", "pooled"])
@pytest.mark.parametrize("lost", ["dval0", "dval3"])  # a reference alone, a target alone
def test_fashioniq_ids_that_the_split_does_not_list(tmp_path, gallery, lost):
    root = mini.fashioniq(tmp_path)
    edit(root / "image_splits" / "split.dress.val.json", lambda names: names.remove(lost))
    sentence = rf"1 of 4 images .* not in split\.dress\.val\.json, which has 5: {lost}$"
    with pytest.raises(UserError, match=sentence):
        FashionIQ(root, gallery=gallery).query_sets("val")


def test_fashioniq_training_ids_that_the_split_does_not_list_are_told(tmp_path):
    root = mini.fashioniq(tmp_path)
    edit(root / "image_splits" / "split.dress.train.json", lambda names: names.remove("dtrain2"))
    dress, shirt, _ = FashionIQ(root).training_pairs()
    sentence = "1 of 4 images of the captions are not in split.dress.train.json, which has 5: "
    assert dress.notes == (sentence + "dtrain2; they are trained on all the same",)
    assert "dtrain2" in dress.images
    assert shirt.notes == ()


@pytest.mark.parametrize(
    ("categories", "sentence"),
    [
        ((), "categories is empty; expected any of dress, shirt, toptee, each once"),
        (("dress", "hat"), "1 of 2 categories are unknown or repeated: hat; expected any of"),
        (("shirt", "dress", "shirt"), "1 of 3 categories are unknown or repeated: shirt; exp"),
    ],
)
def test_fashioniq_categories(tmp_path, categories, sentence):
    with pytest.raises(UserError, match=sentence):
        FashionIQ(tmp_path, categories=categories)


def test_a_target_that_is_not_in_the_gallery(tmp_path):
    root = mini.cirr(tmp_path / "c")
    edit(root / "cirr/image_splits/split.rc2.val.json", lambda names: names.pop("dev-5-img1"))
    with pytest.raises(UserError, match="2 of 4 queries have a target that is not in the gallery"):
        CIRR(root).query_sets("val")
    root = mini.circo(tmp_path / "o")
    edit(root / "annotations" / "val.json", lambda c: c[1]["gt_img_ids"].append(7))
    with pytest.raises(UserError, match=r"1 of 3 queries have a target .* of 60 images: 1 \(7\)"):
        CIRCO(root).query_sets("val")


def test_references_outside_the_lists(tmp_path):
    root = mini.cirr(tmp_path / "c")
    edit(root / "cirr/image_splits/split.rc2.val.json", lambda names: names.pop("dev-1-img1"))
    with pytest.raises(UserError, match=r"1 of 4 images .* not in split\.rc2\.val\.json, which ha"):
        CIRR(root).query_sets("val")
    root = mini.circo(tmp_path / "o")
    edit(root / "annotations" / "val.json", lambda c: c[1].update(reference_img_id=7))
    with pytest.raises(UserError, match="1 reference images are not among the 60"):
        CIRCO(root).query_sets("val")


def query(name="q", reference="a", hits="b", members=""):
    return Query(name, reference, ("x",), frozenset(hits), members=tuple(members))


@pytest.mark.parametrize(
    ("queries", "gallery", "sentence"),
    [
        ([], "ab", "a test has no queries"),
        ([query(), query()], "ab", "1 of 2 query ids come more than once: q"),
        ([query()], "aba", "1 of 3 gallery images come more than once: a"),
        ([query(), query("r", hits="")], "ab", "1 of 2 queries have no target, but others do: r"),
        ([query(members="bc")], "abc", "1 of 1 queries have a reference outside their own image"),
        ([query(members="abz")], "abc", r"1 of 1 .* not in the gallery of 3 images: q \(z\)"),
        (
            [query(hits="b", members="acdefg")],
            "abcdefg",
            r"1 of 1 queries have a target outside their own image set: q \(b\)",
        ),
        ([query(hits="ab")], "ab", "1 of 1 queries have their own reference, which is taken out,"),
    ],
)
def test_queries_that_cannot_be_measured(queries, gallery, sentence):
    protocol = Protocol("the whole split", reference_kept=False)
    with pytest.raises(UserError, match=sentence):
        QuerySet("a test", tuple(queries), tuple(gallery), {}, protocol)


def test_lists_with_repeated_ids(tmp_path):
    root = mini.fashioniq(tmp_path / "f")
    edit(root / "image_splits" / "split.dress.val.json", lambda names: names.append("dval0"))
    with pytest.raises(UserError, match=r"split\.dress\.val\.json: 1 of 7 ids repeat"):
        FashionIQ(root).query_sets("val")
    root = mini.circo(tmp_path / "o")
    path = root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"
    edit(path, lambda c: c["images"].append(c["images"][0]))
    with pytest.raises(UserError, match="1 ids of 61 repeat"):
        CIRCO(root).query_sets("val")


def test_cirr_training_images_outside_the_list(tmp_path):
    root = mini.cirr(tmp_path)
    edit(root / "cirr/image_splits/split.rc2.train.json", lambda names: names.pop("train-1-img1"))
    with pytest.raises(UserError, match=r"CIRR train: 1 of 6 images .*: train-1-img1"):
        CIRR(root).training_pairs()


def test_fashion200k_query_within_a_caption_does_not_find_itself(tmp_path):
    root = mini.fashion200k(tmp_path)
    (root / "test_queries.txt").write_text("women/c/2.jpeg women/c/3.jpeg\n")
    assert only(Fashion200k(root).query_sets("test")).queries[0].hits == {"women/c/3.jpeg"}
    kept = only(Fashion200k(root, reference_kept=True).query_sets("test"))
    assert kept.queries[0].hits == {"women/c/2.jpeg", "women/c/3.jpeg"}


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("fashion200k", "women/c/2.jpeg"),
        ("fashioniq", "images/dval1.jpg"),
        ("cirr", "dev/dev-5-img1.png"),
        ("circo", "COCO2017_unlabeled/unlabeled2017/000000001031.jpg"),
    ],
)
def test_absent_images_are_refused_or_left_out_and_told(tmp_path, name, gone):
    root = mini.WRITERS[name](tmp_path)
    (root / gone).unlink()
    dataset = DATASETS[name](root)
    split = "test" if name == "fashion200k" else "val"
    with pytest.raises(UserError, match=rf"1 of \d+ images are not there: .*{gone}"):
        dataset.query_sets(split)
    part = dataset.query_sets(split, absent="leave out")[0]
    queries, size = {
        "fashion200k": ("0 of 2", "1 of 4"),
        "fashioniq": ("2 of 3", "1 of 6"),
        "cirr": ("2 of 4", "1 of 12"),
        "circo": ("1 of 3", "1 of 60"),
    }[name]
    left_out = f"{queries} queries and {size} gallery images"
    assert part.protocol.left_out == left_out
    assert part.notes == (f"{left_out} are left out: their images are absent or broken",)
    assert all(path.is_file() for path in part.images.values())
    assert all(q.target is None or q.target in q.hits for q in part.queries)


@pytest.mark.parametrize("name", ["fashion200k", "fashioniq", "cirr"])
def test_leaving_out_everything_blames_the_absent_images(tmp_path, name):
    root = mini.WRITERS[name](tmp_path)
    for path in [p for p in root.rglob("*") if p.suffix in (".jpg", ".jpeg", ".png")]:
        path.unlink()
    dataset, size = DATASETS[name](root), {"fashion200k": 5, "fashioniq": 4, "cirr": 12}[name]
    sentence = rf"train.*: {size} of {size} images are not there: .*; without them nothing is left$"
    with pytest.raises(UserError, match=sentence):
        dataset.training_pairs("leave out")
    split = "test" if name == "fashion200k" else "val"
    with pytest.raises(UserError, match=r"(\d+) of \1 images .*; without them nothing is left$"):
        dataset.query_sets(split, "leave out")


def test_a_part_is_asked_for_by_its_name_or_its_split(tmp_path):
    dataset = FashionIQ(mini.fashioniq(tmp_path))
    assert [b.name for b in dataset.query_sets("val shirt")] == ["FashionIQ val shirt"]
    assert dataset.query_sets("val")[1] == dataset.query_sets("val shirt")[0]
    with pytest.raises(UserError, match="no split train to be measured by: it has val, test"):
        dataset.query_sets("train")


def test_options_in_text(tmp_path):
    options = {"gallery": "val", "reference_kept": "false", "categories": "dress,shirt"}
    expected = FashionIQ(tmp_path, "val", reference_kept=False, categories=("dress", "shirt"))
    assert with_options(FashionIQ, tmp_path, options) == expected
    for name, value, sentence in (
        ("gallery", "vall", "the option gallery should be 'full', 'val' or 'pooled', got \"vall\""),
        ("galery", "val", "FashionIQ has no option galery: it has gallery, captions, reference_"),
        ("root", "x", "FashionIQ has no option root"),
        ("categories", "hat", "1 of 1 categories are unknown or repeated: hat"),
    ):
        with pytest.raises(UserError, match=sentence):
            with_options(FashionIQ, tmp_path, {name: value})
    drawn = with_options(DATASETS["drawn_attributes"], None, {"queries": "8"})
    assert drawn == DATASETS["drawn_attributes"](queries=8)


def test_training_without_absent_images(tmp_path):
    root = mini.fashion200k(tmp_path / "2")
    (root / "women" / "a" / "1.jpeg").unlink()
    pairs = only(Fashion200k(root).training_pairs(absent="leave out"))
    assert len(pairs) == 4
    assert "women/a/1.jpeg" not in {t.target for t in sampled(pairs, 20)}
    root = mini.fashioniq(tmp_path / "q")
    (root / "images" / "dtrain0.png").unlink()
    with pytest.raises(UserError, match=r"train dress: 1 of 4 images are not there"):
        FashionIQ(root).training_pairs()
    pairs = FashionIQ(root).training_pairs(absent="leave out")[0]
    assert len(pairs) == 2
    assert "1 of 3 triplets are left out" in pairs.notes[-1]


def test_the_datasets_do_not_know_each_other():
    folder = ROOT / "cir/published/datasets"
    for name in DATASETS:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        others = {f"cir.published.datasets.{other}" for other in DATASETS if other != name}
        assert not imported & others


def test_epochs_are_shuffled_evenly():
    firsts = Counter(drawn(5, 0, epoch, 0) for epoch in range(1000))
    assert np.std([firsts[k] for k in range(5)]) < 40
