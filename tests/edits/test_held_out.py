"""Families and other people's sentences: held out of everything that training sees."""

import json
import random
import re
from collections import Counter

import pytest
from ruamel.yaml import YAML

from cir.core.errors import UserError
from cir.edits.augmentation import Augmenter, Material
from cir.edits.clauses import read_clauses
from cir.edits.expansion import expand, read_names
from cir.edits.held_out import PEOPLE, of_families, people_sentences, read_families
from cir.edits.params import ExpandTemplates, Varied
from cir.edits.reading.templates import Template, load_templates, normal_form
from cir.edits.reading.word_splitter import spans_of, split_words
from cir.edits.words import read_edit_words
from tests.helpers import ROOT

FAMILIES = ROOT / "data/held_out_families.json"
PEOPLES = ROOT / "data/people_sentences.json"


@pytest.fixture(scope="module")
def families():
    return read_families(FAMILIES)


@pytest.fixture(scope="module")
def templates():
    return load_templates(ROOT / "prompt_templates.json")


@pytest.fixture(scope="module")
def expansion(families, templates):
    names = [name for family in families for name in family.names]
    apart = (of_families(families, templates), names)
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    recipe = ExpandTemplates(**params["expand_templates"])
    return expand(templates, read_names(ROOT / "data/object_names.txt"), recipe, 0, apart)


@pytest.fixture(scope="module")
def made(expansion):
    """What training sees: thousands of sentences, with all the variations."""
    names = expansion.names
    held_out = [
        item for key, some in expansion.templates.items() if key != "train" for item in some
    ]
    material = Material(
        templates=expansion.templates["train"],
        held_out=held_out,
        names=names["train"],
        words=read_edit_words(ROOT / "data/edit_words.json").without(names["train"], names["test"]),
        clauses=read_clauses(ROOT / "data/edit_clauses.json").without(names["test"]),
    )
    strength = Varied(**dict.fromkeys(Varied.model_fields, 0.4) | {"typed": 0.0, "hidden": 0.0})
    augmenter, rng = Augmenter(material, strength), random.Random(0)
    pairs = [rng.sample(material.templates, 2) for _ in range(6000)]
    return [augmenter(one, other, random.Random(n)) for n, (one, other) in enumerate(pairs)]


def test_there_are_families_of_templates_verbs_and_names(families, templates, expansion):
    assert len(families) >= 8
    assert len(expansion.templates["families"]) == len(of_families(families, templates)) >= 70
    assert all(family.verbs and family.names for family in families)
    assert len(expansion.sentences["unseen_families"]) == 15 * len(expansion.templates["families"])


def test_no_verb_phrase_or_name_of_a_family_is_in_training(families, expansion, made):
    """Sentences are made of the lists, where invented names may join any letters by chance."""
    sentences = "\n".join(" ".join(item.words).lower() for item in made)
    around_names = "\n".join(
        " ".join(
            word if label == "other" else "|"
            for word, label in zip(item.words, item.labels, strict=True)
        ).lower()
        for item in made
    )
    files = ("edit_words.json", "edit_clauses.json", "object_names.txt")
    lists = "\n".join((ROOT / "data" / name).read_text().lower() for name in files)
    for family in families:
        verbs = [form for verb in family.verbs for form in verb]
        for text, source in (
            *((text, around_names) for text in verbs),
            *((text, sentences) for text in family.names),
            *((text, lists) for text in family.texts()),
        ):
            assert not re.search(rf"(?<![\w'-]){re.escape(text.lower())}(?![\w'-])", source), text


def test_families_are_told_by_whole_words(families):
    assert of_families(families, [Template("Add a <positive_object>.", "plain")]) == []
    verb = families[0].verbs[0][0]
    found = Template(f"{verb.title()} it: <positive_object>", "plain")
    longer = Template(f"{verb}er <positive_object>", "plain")
    assert of_families(families, [longer, found]) == [found]


def test_every_form_of_every_verb_is_seen(made):
    """The lists are long, so each form is rare; none may be missing from what training sees."""
    words = read_edit_words(ROOT / "data/edit_words.json").verbs
    counts = Counter(word for item in made for word in map(str.lower, item.words))
    for sense in ("adding", "removing"):
        for form in range(3):
            single = [verb[form] for verb in words[sense] if " " not in verb[form]]
            seen = sum(counts[word] > 0 for word in single)
            assert seen / len(single) > 0.75, (sense, form)
    gerunds = [verb[1] for sense in words.values() for verb in sense if " " not in verb[1]]
    with_gerund = sum(any(w.lower() in gerunds for w in item.words) for item in made)
    assert with_gerund / len(made) > 0.1


def test_people_s_sentences_share_no_template_with_ours(templates):
    ours = {normal_form(template) for template in templates}
    theirs = people_sentences(PEOPLES, seed=0)
    assert list(theirs) == list(PEOPLE)
    forms = [{normal_form(Template(s.template, s.style)) for s in some} for some in theirs.values()]
    assert not forms[0] & forms[1]
    assert not (forms[0] | forms[1]) & ours
    for some in theirs.values():
        assert len(some) >= 700
        for item in some:
            spans = Counter(label for label, _, _ in spans_of(item.labels))
            assert (spans["pos"], spans["neg"]) == (len(item.add), len(item.remove)), item.text


def test_people_s_templates_are_never_made(made):
    theirs = {
        normal_form(Template(s.template, s.style))
        for some in people_sentences(PEOPLES, seed=0).values()
        for s in some
        if len(split_words(s.template)) > 12
    }
    assert not theirs & {normal_form(Template(item.template, item.style)) for item in made}


@pytest.mark.parametrize("read", [read_families, lambda path: people_sentences(path, 0)])
def test_another_form_is_refused(read, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"development": [{"famly": "x"}]}))
    with pytest.raises(UserError, match=r"file\.json"):
        read(path)
