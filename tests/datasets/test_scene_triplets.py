"""The sets of names behind queries: edits, near misses, one answer each, nothing held out seen."""

from collections import Counter

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.datasets.scenes import (
    all_names,
    name_images,
    query_sets,
    sample_hard_gallery,
    sample_triplets,
    split_names,
)
from cir.datasets.scenes.triplets import near_misses
from cir.edits.reading.templates import Template

TEMPLATES = [
    Template("add a <positive_object>", "plain"),
    Template("Now a <positive_object>, please", "polite"),
    Template("remove the <negative_object>", "plain"),
    Template("<negative_object> out, <positive_object> in", "terse"),
    Template("add a <positive_object> and a <positive_object>", "plain"),
    Template("no <negative_object>, no <negative_object>", "terse"),
    Template("a <positive_object>, a <positive_object>, no <negative_object>", "terse"),
    Template("a <positive_object> for a <negative_object> and a <negative_object>", "swap"),
    Template("no <negative_object>, <negative_object> or <negative_object>", "terse"),
]
KINDS = {(1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2)}


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def names():
    return split_names(all_names(), 0.1, generator(1))


@pytest.fixture(scope="module")
def queries(names):
    known, novel = names
    return sample_hard_gallery(1200, known, generator(2), TEMPLATES, novel, novel_share=0.25)


def test_an_edit_leads_from_the_reference_to_the_target(queries):
    for query in queries:
        reference, target = set(query.reference_names), set(query.target_names)
        assert reference - set(query.remove) | set(query.add) == target
        assert set(query.remove) <= reference
        assert not set(query.add) & reference
        assert 1 <= len(query.add) + len(query.remove) <= 3
        assert len(set(query.add)) == len(query.add)
        for shown in (query.reference_names, query.target_names):
            assert 2 <= len(set(shown)) == len(shown) <= 4
        for shown in query.near_misses:
            assert 1 <= len(set(shown)) == len(shown) <= 4


def test_the_sentence_names_the_edit_in_its_order(queries):
    for query in queries:
        text = query.text.lower()
        for part in (query.add, query.remove):
            places = [text.index(name) for name in part]
            assert places == sorted(places)
        unchanged = set(query.reference_names) - set(query.remove)
        assert not any(name in text for name in unchanged)


def test_kinds_of_edit_are_equally_frequent(queries, names):
    for sampled in (queries, sample_triplets(700, names[0], generator(), TEMPLATES)):
        counts = Counter((len(q.add), len(q.remove)) for q in sampled)
        assert set(counts) == KINDS
        assert max(counts.values()) - min(counts.values()) <= 1


def test_one_image_alone_shows_a_querys_target(queries):
    gallery = [frozenset(names) for query in queries for names in query.images()]
    for query in queries:
        assert sum(shown == set(query.target_names) for shown in gallery) == 1


def test_near_misses_are_those_of_the_definition(queries, names):
    pool = set(all_names())
    for query in queries:
        reference, target = frozenset(query.reference_names), frozenset(query.target_names)
        add, remove = frozenset(query.add), frozenset(query.remove)
        strangers = pool - reference - add
        required = {
            "additions only": [reference | add] if add and remove else [],
            "removals only": [reference - remove] if add and remove else [],
            "wrong object": [
                target - {a} | {w} for a in add for w in strangers if a.split()[1] != w.split()[1]
            ],
            "wrong colour": [
                target - {a} | {w} for a in add for w in strangers if a.split()[1] == w.split()[1]
            ],
            "wrong removal": [target - {k} | {r} for r in remove for k in reference - remove],
            "addition undone": [target - {a} for a in add if len(add) > 1],
            "removal undone": [target | {r} for r in remove if len(remove) > 1],
            "unasked": [target | {w} for w in strangers if not add],
        }
        found = [frozenset(shown) for shown in query.near_misses]
        assert len(set(found)) == len(found)
        assert not {reference, target} & set(found)
        expected = {case: sets for case, sets in required.items() if sets}
        assert len(found) == len(expected)
        for case, sets in expected.items():
            assert sum(shown in sets for shown in found) >= 1, (case, query)


def test_near_misses_worked_by_hand():
    pool = ["red mug", "blue mug", "red cat", "red bus"]
    swap = near_misses(["red cat", "red bus"], ["red mug"], ["red cat"], pool, generator())
    assert [set(shown) for shown in swap] == [
        {"red cat", "red bus", "red mug"},  # only the addition
        {"red bus"},  # only the removal
        {"red bus", "blue mug"},  # the right object in a wrong colour; no other kind is left
        {"red cat", "red mug"},  # the bus removed in place of the cat
    ]


def test_novel_names_appear_in_novel_queries_alone(queries, names):
    known, novel = map(set, names)
    assert sum(query.novel for query in queries) == 300
    for query in queries:
        shown = {name for image in query.images() for name in image}
        edited = {*query.add, *query.remove}
        if query.novel:
            assert len(edited & novel) == 1
            assert {*query.reference_names, *query.target_names} - edited <= known
        else:
            assert shown <= known
    met = {name for query in queries for name in (*query.add, *query.remove)} & novel
    assert len(met) > 0.9 * len(novel)


def test_training_never_sees_a_tested_set_or_a_novel_name(queries, names):
    known, novel = names
    tested = query_sets(queries)
    training = sample_triplets(5000, known, generator(3), TEMPLATES, tested, near_misses_each=2)
    shown = {frozenset(image) for triplet in training for image in triplet.images()}
    assert not shown & tested
    assert not set().union(*shown) & set(novel)
    assert all(len(triplet.near_misses) == 2 for triplet in training)
    validation = sample_hard_gallery(400, known, generator(4), TEMPLATES, avoid=tested)
    assert not query_sets(validation) & tested
    assert not any(query.novel for query in validation)


def test_avoided_sets_are_really_avoided():
    """Nearly every pair of a small world is tested, so unguarded sampling would hit them."""
    few = all_names()[:12]
    tested = query_sets(sample_triplets(60, few, generator(0), TEMPLATES))
    unguarded = query_sets(sample_triplets(60, few, generator(1), TEMPLATES))
    guarded = query_sets(sample_triplets(60, few, generator(1), TEMPLATES, tested))
    assert unguarded & tested
    assert not guarded & tested


def test_split_is_spread_over_objects_and_colours(names):
    known, novel = names
    assert len(novel) == 42
    assert sorted(known + novel) == sorted(all_names())
    assert set(Counter(name.split()[1] for name in novel).values()) == {1}
    by_colour = Counter(name.split()[0] for name in novel)
    assert len(by_colour) == 10
    assert max(by_colour.values()) - min(by_colour.values()) <= 1
    assert split_names(all_names(), 0.1, generator(1)) == names
    assert split_names(all_names(), 0.0, generator()) == (all_names(), [])


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_that_leaves_nothing_known_is_refused(share):
    with pytest.raises(UserError, match="novel names"):
        split_names(all_names(), share, generator())


def test_the_same_seed_samples_the_same(names):
    known, novel = names
    one, two = (
        sample_hard_gallery(50, known, generator(9), TEMPLATES, novel, 0.2) for _ in range(2)
    )
    assert one == two


def test_impossible_requests_are_sentences(names):
    with pytest.raises(UserError, match="of 5000 queries"):
        sample_hard_gallery(5000, all_names()[:8], generator(), TEMPLATES)
    with pytest.raises(UserError, match="2 additions and 0 removals"):
        sample_triplets(5, names[0], generator(), TEMPLATES[:4])
    with pytest.raises(UserError, match="more than 4 names"):
        sample_triplets(5, all_names()[:4], generator(), TEMPLATES)
    with pytest.raises(UserError, match="no name is novel"):
        sample_hard_gallery(5, names[0], generator(), TEMPLATES, novel_share=0.5)


def test_named_images_are_those_of_the_queries(queries):
    shown, records = name_images(queries, "test")
    assert len(shown) == sum(len(query.images()) for query in queries)
    assert len({record.id for record in records}) == len(records) == len(queries)
    for query, record in zip(queries, records, strict=True):
        ids = [record.reference, record.target, *record.near_misses]
        assert [shown[i] for i in ids] == query.images()
        assert (record.add, record.remove) == (query.add, query.remove)
        assert (record.text, record.novel) == (query.text, query.novel)
