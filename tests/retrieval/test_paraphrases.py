"""Edits asked in other words: which ways there are, what is asked, and the figures by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.records import Edit, Triplet
from cir.edits.expansion import split_templates
from cir.edits.reading.templates import Template, load_templates
from cir.retrieval.measuring import Measure
from cir.retrieval.paraphrases import WAYS, ask, measure_paraphrases, read_held_out, ways_to_ask
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.set_world import OBJECTS, LiteralTagger, SetEncoder

ADD, REMOVE = "<positive_object>", "<negative_object>"
TEMPLATES = [
    Template(f"Add a {ADD}.", "plain"),
    Template(f"{ADD} in", "terse"),
    Template(f"Could you add an {ADD}?", "question"),
    Template(f"Drop the {REMOVE}", "terse"),
    Template(f"{ADD} for {REMOVE}", "swap"),
]


def texts(ways):
    return [" ".join(template.template for template in way) for way in ways]


def test_every_template_that_fits_is_a_way_and_pairs_fill_up():
    found = ways_to_ask(TEMPLATES, [(1, 0), (1, 1), (2, 0), (0, 2), (0, 0)], 3, seed=0)
    assert list(found) == [(1, 0), (1, 1), (2, 0)]  # (0, 2) has one pair alone, (0, 0) nothing
    assert texts(found[1, 0]) == [t.template for t in TEMPLATES[:3]]
    assert texts(found[1, 1])[0] == TEMPLATES[4].template
    pairs = {frozenset(t.slots for t in way) for way in found[1, 1][1:]}
    assert pairs == {frozenset({("pos",), ("neg",)})}
    assert len(set(texts(found[1, 1]))) == 3
    assert all(len(way) == 2 for way in found[2, 0])


def test_the_ways_depend_on_the_seed_alone():
    one, same = (ways_to_ask(TEMPLATES, [(2, 0)], 4, seed) for seed in (1, 1))
    assert one == same
    assert ways_to_ask(TEMPLATES, [(2, 0)], 4, 2) != one


def test_what_is_asked():
    edit = Edit("as written", ("apple", "red mug"), ("hat",))
    assert ask((TEMPLATES[0], TEMPLATES[4]), edit) == "Add an apple. Red mug for hat"
    assert ask((TEMPLATES[4], TEMPLATES[2]), edit) == "Apple for hat. Could you add a red mug?"
    assert ask((TEMPLATES[3],), Edit("", (), ("hat",))) == "Drop the hat"
    with pytest.raises(AssertionError, match="leaves objects to add"):
        ask((TEMPLATES[4],), edit)


def test_only_test_templates_are_read(tmp_path):
    path = tmp_path / "templates.json"
    content = {
        part: [{"template": f"{part} {ADD}", "style": "plain"}]
        for part in ("train", "validation", "test")
    }
    path.write_text(json.dumps(content))
    assert read_held_out(path) == [Template(f"test {ADD}", "plain")]
    for bad in ("[]", '{"train": []}', '{"test": [{"words": 1}]}', '{"test": [3]}'):
        path.write_text(bad)
        with pytest.raises(UserError, match=r"make it with dvc repro expand_templates"):
            read_held_out(path)
    with pytest.raises(UserError, match=r"not in .*none\.json: make them with dvc repro"):
        read_held_out(tmp_path / "none.json")


def test_the_projects_test_templates_ask_for_every_edit_of_the_scenes():
    templates = load_templates(ROOT / "prompt_templates.json")
    parts = split_templates(templates, 0.07, 0.12, 17)
    kinds = [(a, r) for a in range(4) for r in range(4) if a + r]
    found = ways_to_ask(parts["test"], kinds, WAYS, seed=17)
    assert list(found) == sorted(kinds)
    held_out = {template.template for template in parts["test"]}
    for kind, ways in found.items():
        assert len(ways) >= WAYS
        assert len(set(texts(ways))) == len(ways)
        for way in ways:
            assert {template.template for template in way} <= held_out
            names = [f"thing{number}" for number in range(sum(kind))]
            sentence = ask(way, Edit("", tuple(names[: kind[0]]), tuple(names[kind[0] :])))
            assert all(name in sentence.lower() for name in names)


IMAGES = {"i0": "ab", "i1": "abc", "i2": "abd", "i3": "bc", "i4": "ce", "i5": "e", "i6": "ce"}
TRIPLETS = [
    Triplet("q0", "i0", "add c", "i1", ("c",), ()),
    Triplet("q1", "i1", "remove a", "i3", (), ("a",)),
    Triplet("q2", "i0", "please c", "i1", ("c",), ()),
    Triplet("q3", "i5", "add c", "i4", ("c",), ()),
]
# Of the two verbs, the tagger takes "please c" for "add d".
VERBS = [
    Template(f"add {ADD}", ""),
    Template(f"please {ADD}", ""),
    Template(f"remove {REMOVE}", ""),
]


@pytest.fixture
def world():
    features = torch.tensor([[float(o in shown) for o in OBJECTS] for shown in IMAGES.values()])
    vectors = torch.nn.functional.normalize(features).numpy()
    model = EncodedComposer(SetEncoder(), arithmetic())
    return SimpleNamespace(
        retriever=Retriever(model, LiteralTagger(), batch_size=2),
        features=features,
        embeddings=Embeddings(tuple(IMAGES), vectors, "sets"),
    )


def measured(world, triplets, templates, least):
    task = Task(triplets, world.embeddings)
    tagged = world.retriever.tagger.tag([triplet.text for triplet in triplets])
    return measure_paraphrases(
        world.retriever,
        task,
        world.features[task.references],
        tagged,
        np.array([True, True, False, False]),
        Protocol("contest-like"),
        templates,
        Measure(0),
        least,
    )


def test_figures_by_hand(world):
    everything, additions = measured(world, TRIPLETS, VERBS, least=2)
    # "add c" finds i1 for q0 and q2, and ties for q3; "please c" finds nothing. q1 has one way.
    assert (everything.what, everything.queries, everything.ways) == ("all queries", 3, 2)
    for row in (everything, additions):
        assert row.as_written == pytest.approx(1 / 3)
        assert row.mean == pytest.approx(1 / 3)
        assert (row.worst, row.every_way) == (0.0, 0.0)
        assert row.best == row.spread == pytest.approx(2 / 3)
        assert row.deviation == pytest.approx(1 / 3)
    assert additions.what == "+1 -0"
    assert [(way.asked, way.accuracy) for way in additions.by_way] == [
        (f"add {ADD}", pytest.approx(2 / 3)),
        (f"please {ADD}", 0.0),
    ]
    assert everything.protocol["sentences"] == "held-out templates with the true objects"
    left_out = "1 of 4 queries, whose edits cannot be asked in 2 ways"
    assert everything.protocol["left_out"] == left_out


def test_kinds_of_edit_count_by_their_queries(world):
    everything, removals, additions = measured(world, TRIPLETS, VERBS, least=1)
    assert (removals.what, removals.queries, removals.mean) == ("+0 -1", 1, 1.0)
    assert additions.ways == 2
    assert (everything.queries, everything.ways) == (4, 1)
    assert everything.mean == pytest.approx((1 + 1 / 2 + 1 / 2 + 0) / 4)
    assert everything.worst == pytest.approx(1 / 4)
    assert everything.best == pytest.approx(3 / 4)
    assert everything.every_way == pytest.approx(1 / 4)
    assert everything.deviation == pytest.approx((3 / 4 * (1 / 3) ** 2) ** 0.5)
    assert "left_out" not in everything.protocol


def test_without_true_edits_the_tagged_objects_are_asked_for(world):
    plain = [Triplet(t.id, t.reference, t.text, t.target) for t in TRIPLETS]
    everything, *_ = measured(world, plain, VERBS, least=1)
    # q2 is read as "add d", so even "add d" misses its target.
    assert everything.mean == pytest.approx((1 + 1 / 2 + 0 + 0) / 4)
    assert "that the tagger reads" in everything.protocol["sentences"]


def test_no_templates_that_fit_give_nothing(world):
    assert measured(world, TRIPLETS, VERBS, least=3) == []
