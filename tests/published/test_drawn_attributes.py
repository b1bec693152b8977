"""The drawn task of attribute edits: well-posed, without leaks, the same for the same seed."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.datasets.scenes import COLOURS, OBJECTS
from cir.datasets.scenes.attribute_edits import (
    HELD_OUT_WORDINGS,
    WORDINGS,
    AttributeEdit,
    edit_between,
)
from cir.datasets.scenes.neighbourhoods import sample_neighbourhoods
from cir.published.datasets import DATASETS
from cir.published.datasets.drawn_attributes import DrawnAttributes
from cir.published.experiment.scoring import answer, results

SMALL = DrawnAttributes(seed=5, train_pairs=400, train_images=500, queries=160, gallery=200)
(TEST,), (VAL,) = SMALL.query_sets("test"), SMALL.query_sets("val")
(TRAIN,) = SMALL.training_pairs()


def sets_of(names):
    return [frozenset(SMALL.shown[name]) for name in names]


def read_back(text, wordings):
    """What a sentence asks for, as (kind of edit, old, new): by matching every wording."""
    colour, kind = "|".join(COLOURS), "|".join(OBJECTS)
    name = f"(?:{colour}) (?:{kind})"
    slots = {
        "old": f"(?P<old>{name})",
        "a new": f"(?:an? )?(?P<new>{name})",
        "a kind": f"(?:an? )?(?P<kind>{kind})",
        "colour": f"(?P<colour>{colour})",
    }
    found = set()
    for what, patterns in wordings.items():
        for pattern in patterns:
            match = re.fullmatch(re.sub(r"\{(.*?)\}", lambda m: slots[m[1]], pattern), text)
            if match:
                said = match.groupdict()
                old, new = said.get("old"), said.get("new")
                if "colour" in said:
                    new = f"{said['colour']} {old.split()[1]}"
                if "kind" in said:
                    new = f"{old.split()[0]} {said['kind']}"
                found.add((what, old, new))
    (only,) = found
    return only


def done(names, old, new):
    return (names - {old}) | ({new} if new else set())


def of_kind(kind):
    """The test queries of a kind of edit that are the first of their five: (query, edit)."""
    for query in TEST.queries:
        what, old, new = read_back(query.texts[0], HELD_OUT_WORDINGS)
        if what == kind and query.target.endswith("-1"):
            yield query, old, new


@pytest.mark.parametrize("query_set", [TEST, VAL], ids=["test", "val"])
def test_every_query_has_one_answer(query_set):
    wordings = HELD_OUT_WORDINGS if query_set is TEST else WORDINGS
    gallery = dict(zip(query_set.gallery, sets_of(query_set.gallery), strict=True))
    for query in query_set.queries:
        (text,) = query.texts
        what, old, new = read_back(text, wordings)
        shown = gallery[query.reference]
        assert old is None or old in shown
        assert new not in shown
        wanted = done(shown, old, new)
        assert [name for name, names in gallery.items() if names == wanted] == [query.target]
        assert query.hits == {query.target}
        assert AttributeEdit(old, new).kind == what


def test_sizes_of_everything():
    for query_set in (TEST, VAL):
        assert (len(query_set.queries), len(query_set.gallery)) == (160, 200)
        assert len({(query.reference, query.target) for query in query_set.queries}) == 160
        kinds = Counter(
            edit_between(*sets_of([query.reference, query.target])).kind
            for query in query_set.queries
        )
        assert kinds.keys() == WORDINGS.keys()
        assert min(kinds.values()) > 25  # of 160, and four kinds
    assert {len(names) for names in SMALL.shown.values()} == {2, 3, 4}
    assert len(SMALL.shown) == 900
    assert len(TRAIN) == len(list(TRAIN.epoch(0, 0))) == 400


def test_the_sizes_where_none_are_given():
    (test,) = DrawnAttributes().query_sets("test")
    assert (len(test.queries), len(test.gallery)) == (800, 1000)
    fewer = DrawnAttributes(queries=150).query_sets("test")[0]
    assert fewer.queries == test.queries[:150]
    assert fewer.gallery == test.gallery


def test_the_reference_and_the_near_misses_are_in_the_gallery():
    gallery = set(sets_of(TEST.gallery))
    counts = Counter()
    for what in ("recolour", "exchange"):
        for query, old, new in of_kind(what):
            (shown,) = sets_of([query.reference])
            part = 0 if what == "recolour" else 1  # of a name: what the edit changes of it
            half = {shown - {old}, shown | {new}}
            wrong = {
                done(shown, old, other)
                for other in all_names()
                if other != new and other.split()[1 - part] == old.split()[1 - part]
            }
            others = {
                done(shown, other, swapped(other, new, part)) for other in shown if other != old
            }
            assert shown in gallery  # nothing done
            assert len(gallery & half) == 1  # a part undone
            assert len(gallery & wrong) >= 2  # a wrong colour (or kind), and the reference
            assert gallery & others  # the right change of a wrong object
            counts[what] += 1
    for query, _, new in of_kind("add"):
        (shown,) = sets_of([query.reference])
        wrong = [other for other in all_names() if other != new and shown | {other} in gallery]
        assert shown in gallery
        assert {other.split().index(part) for other in wrong for part in new.split()
                if part in other.split()} == {0, 1}  # fmt: skip
        assert any(done(shown, other, new) in gallery for other in shown)  # instead of another
        counts["add"] += 1
    for query, old, _ in of_kind("remove"):
        (shown,) = sets_of([query.reference])
        assert shown in gallery
        assert sum(shown - {other} in gallery for other in shown) == 3  # two wrong objects
        assert any(done(shown, old, other) in gallery for other in all_names())
        counts["remove"] += 1
    assert counts == {"recolour": 10, "exchange": 10, "add": 10, "remove": 10}


def all_names():
    return [f"{colour} {kind}" for colour in COLOURS for kind in OBJECTS]


def swapped(name, new, part):
    words = name.split()
    words[part] = new.split()[part]
    return " ".join(words)


def test_no_set_of_names_is_shown_twice_in_whatever_split():
    names = [frozenset(shown) for shown in SMALL.shown.values()]
    assert len(set(names)) == len(names)
    splits = [{name.split("-")[0] for name in part} for part in (TEST.gallery, VAL.gallery)]
    assert splits == [{"test"}, {"val"}]
    trained = {name for t in TRAIN.epoch(0, 0) for name in (t.reference, t.target)}
    assert {name.split("-")[0] for name in trained} == {"train"}


def test_training_pairs_say_what_changes():
    wordings, reversed_too = Counter(), set()
    for triplet in (t for epoch in range(3) for t in TRAIN.epoch(1, epoch)):
        what, old, new = read_back(triplet.text, WORDINGS)
        reference, target = sets_of([triplet.reference, triplet.target])
        assert done(reference, old, new) == target
        assert triplet.edit.remove == ((old,) if old else ())
        assert triplet.edit.add == ((new,) if new else ())
        assert not {triplet.reference, triplet.target} & set(triplet.near_misses)
        assert len({triplet.reference, triplet.target, *triplet.near_misses}) == 5
        wordings[what] += 1
        reversed_too.add(triplet.reference.endswith("-0"))
    assert min(wordings.values()) > 0.2 * wordings.total()
    assert reversed_too == {True, False}


def test_two_pairs_in_a_row_are_near_misses_of_each_other():
    triplets = list(TRAIN.epoch(2, 0))
    for first, second in zip(triplets[::2], triplets[1::2], strict=True):
        assert first.target != second.target
        assert first.reference.rsplit("-", 1)[0] == second.reference.rsplit("-", 1)[0]


def test_sentences_of_the_test_split_are_put_in_ways_training_never_sees():
    for kind, held_out in HELD_OUT_WORDINGS.items():
        assert not set(held_out) & set(WORDINGS[kind])
        known = {word for wording in WORDINGS[kind] for word in wording.split()}
        assert {word for wording in held_out for word in wording.split()} <= known
    for query in TEST.queries:
        with pytest.raises(ValueError, match="not enough values"):
            read_back(query.texts[0], WORDINGS)


def test_every_word_of_every_split_is_known_before_training():
    known = {word for text in TRAIN.texts() for word in text.split()}
    texts = [t.text for epoch in range(4) for t in TRAIN.epoch(0, epoch)]
    texts += [text for query in (*TEST.queries, *VAL.queries) for text in query.texts]
    assert {word for text in texts for word in text.split()} <= known
    assert {"a", "an", "red", "orange", "mug", "umbrella", "instead"} <= known


def test_articles_and_things_that_are_many():
    texts = " | ".join(t.text for epoch in range(9) for t in TRAIN.epoch(0, epoch))
    assert "an orange " in texts
    assert "an umbrella" in texts
    assert not re.search(r"\b(a [aeiou]|an [^aeiou])", texts)
    assert re.search(r"(add|with|for) \w+ (scissors|trousers)", texts)
    assert not re.search(r"\ban? (\w+ )?(scissors|trousers)", texts)


def test_the_same_seed_gives_the_same_bytes_in_whatever_order():
    again = replace(SMALL)
    names = [*TEST.gallery[:6], "val-00001-2", "train-00003-4"]
    first = {name: SMALL.picture(name, {}).tobytes() for name in names}
    assert {name: again.picture(name, {}).tobytes() for name in reversed(names)} == first
    assert len(set(first.values())) == len(names)
    other = replace(SMALL, seed=6)
    assert all(other.picture(name, {}).tobytes() != first[name] for name in names)
    assert again.query_sets("test") == (TEST,)
    assert other.query_sets("test") != (TEST,)
    backwards = [again.training_pairs()[0].pair(3, 1, number) for number in reversed(range(400))]
    assert list(TRAIN.epoch(3, 1)) == backwards[::-1]
    assert list(TRAIN.epoch(3, 1)) != list(TRAIN.epoch(3, 2))
    assert list(TRAIN.epoch(3, 1)) != list(TRAIN.epoch(4, 1))


def test_what_there_is_to_train_on_does_not_change_the_test():
    larger = replace(SMALL, train_images=1000, train_pairs=50)
    assert larger.query_sets("test") == (TEST,)
    assert larger.query_sets("val") == (VAL,)
    assert larger.picture("test-00002-3", {}) == SMALL.picture("test-00002-3", {})


def test_pictures_show_what_their_caption_says():
    large = replace(SMALL, image_size=128)
    for name in TEST.gallery[:25]:
        picture = np.asarray(large.picture(name, {})).astype(int)
        assert picture.shape == (128, 128, 3)
        for shown in SMALL.shown[name]:
            colour = np.array(COLOURS[shown.split()[0]])
            assert (np.abs(picture - colour).max(axis=2) < 60).sum() > 60, (name, shown)


def test_places_are_drawn_anew_for_every_image():
    """An object that stays is in the same quarter of both images once in four times."""
    stays = []
    for query in TEST.queries:
        reference, target = sets_of([query.reference, query.target])
        for colour in {"red", "green", "blue", "purple"}:
            shown = [{name for name in names if colour in name} for names in (reference, target)]
            if shown[0] == shown[1] and len(shown[0]) == 1:
                stays.append(quarter(query.reference, colour) == quarter(query.target, colour))
    assert len(stays) > 50
    assert 0.1 < np.mean(stays) < 0.4


def quarter(name, colour):
    picture = np.asarray(SMALL.picture(name, {})).astype(int)
    near = np.abs(picture - COLOURS[colour]).max(axis=2) < 60
    return near.reshape(2, 32, 2, 32).sum(axis=(1, 3)).argmax()


def test_scored_by_captions():
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((200, 16)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    row = {name: place for place, name in enumerate(TEST.gallery)}
    perfect = gallery[[row[query.target] for query in TEST.queries]]
    undone = gallery[[row[query.reference] for query in TEST.queries]]
    for queries, expected in ((perfect, 1.0), (undone, 0.0)):
        (found,) = results([TEST], [answer(TEST, queries, gallery)], "image and sentence", "none")
        assert (found["recall@1"], found["gallery_size"]) == (expected, 200)
        assert {"recall@5", "recall@10"} <= found.keys()
    assert found["protocol"]["dataset"] == "Drawn attributes"
    assert found["protocol"]["reference_kept"]
    without = replace(SMALL, reference_kept=False).query_sets("test")[0]
    assert not without.protocol.reference_kept


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"queries": 801}, "a gallery of 1000 images has answers to 800 queries at most, got 801"),
        ({"queries": 0}, "queries must be at least 1, got 0"),
        ({"gallery": 1001}, "images come in fives, so gallery must be a multiple of 5, got 1001"),
        ({"train_images": 3}, "train_images must be at least 5, got 3"),
        ({"train_pairs": 0}, "train_pairs must be at least 1, got 0"),
        ({"image_size": 8}, "image_size must be at least 16, got 8"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_numbers_that_no_such_data_can_have(options, sentence):
    with pytest.raises(UserError, match=f"^Drawn attributes: {sentence}$"):
        DATASETS["drawn_attributes"](**options)


def test_more_images_than_there_are_sets_of_names():
    rng = np.random.default_rng(0)
    kinds, colours = ["mug", "hat", "cat"], ["red", "blue", "green"]
    few = sample_neighbourhoods(8, kinds, colours, rng)
    assert len({frozenset(names) for one in few for names in one.sets()}) == 40
    with pytest.raises(UserError, match=r"^found only \d+ of 400 different sets .* fewer images$"):
        sample_neighbourhoods(80, kinds, colours, rng)
    with pytest.raises(
        UserError, match=r"at least 3 kinds of objects and as many colours.*3 and 2"
    ):
        sample_neighbourhoods(1, kinds, colours[:2], rng)


def test_images_and_pairs_that_do_not_exist():
    with pytest.raises(UserError, match="Drawn attributes has no image test-99999-0"):
        SMALL.picture("test-99999-0", {})
    with pytest.raises(AssertionError):
        TRAIN.pair(0, 0, 400)


def test_sets_that_no_one_edit_leads_between():
    for others in ({"red mug", "red cat"}, {"red mug", "blue hat"}, {"red mug"} | {"red cat"}):
        assert edit_between(frozenset({"red mug", "blue hat"}), frozenset(others)) is None
    assert edit_between(frozenset({"a b", "a c", "a d"}), frozenset({"a b"})) is None
