"""The expansion of the project's own templates and names, and of small ones made here."""

from collections import Counter

import pytest

from cir.core.english import FUNCTION_WORDS
from cir.core.errors import UserError
from cir.edits.expansion import (
    COLOURS,
    SPLITS,
    expand,
    fill_in_order,
    from_dataset,
    read_names,
    split_names,
    split_templates,
    to_dataset,
)
from cir.edits.params import ExpandTemplates
from cir.edits.reading.templates import Template, load_templates
from cir.edits.reading.word_splitter import spans_of, split_words
from tests.helpers import ROOT

RECIPE = ExpandTemplates(
    fillings=15,
    seen=0.07,
    unseen_objects=0.13,
    both_unseen=0.47,
    validation_templates=0.05,
    test_templates=0.15,
    test_names=0.2,
    coloured=0.25,
)


@pytest.fixture(scope="module")
def project():
    templates = load_templates(ROOT / "prompt_templates.json")
    return templates, read_names(ROOT / "data/object_names.txt")


@pytest.fixture(scope="module")
def expansion(project):
    return expand(*project, RECIPE, seed=0)


def lower_words(texts):
    return {word.lower() for text in texts for word in split_words(text)}


def test_fifteen_sentences_for_each_template(project, expansion):
    templates, _ = project
    everything = [item for name in SPLITS for item in expansion.sentences[name]]
    assert len(everything) == len(templates) * 15 == 9525
    assert set(Counter(item.template for item in everything).values()) == {15}
    assert len({item.text for item in everything}) == len(everything)


def test_templates_are_split_without_remainder(project, expansion):
    parts = expansion.templates
    assert sorted(t.template for some in parts.values() for t in some) == sorted(
        t.template for t in project[0]
    )
    assert [round(len(parts[name]) / 635, 2) for name in ("validation", "test")] == [0.05, 0.15]
    styles = Counter(t.style for t in project[0])
    held = Counter(t.style for t in parts["test"])
    assert all(abs(held[style] - 0.15 * count) <= 4 for style, count in styles.items())


def test_each_split_keeps_to_its_templates(expansion):
    texts = {kind: {t.template for t in some} for kind, some in expansion.templates.items()}
    kinds = {"validation": "validation", "unseen_templates": "test", "both_unseen": "test"}
    for split in SPLITS:
        used = {item.template for item in expansion.sentences[split]}
        assert used <= texts[kinds.get(split, "train")]


def test_nothing_held_out_is_in_the_training_sentences(expansion):
    train = expansion.sentences["train"]
    seen_words = lower_words(item.text for item in train)
    assert len(expansion.names["test"]) == round(0.2 * sum(map(len, expansion.names.values())))
    assert not seen_words & lower_words(expansion.names["test"]) - FUNCTION_WORDS
    assert any(" " in name for name in expansion.names["test"])
    held_out = {t.template for kind in ("validation", "test") for t in expansion.templates[kind]}
    assert not held_out & {item.template for item in train}


def test_unseen_objects_are_all_unseen(expansion):
    known = lower_words(expansion.names["train"]) - set(COLOURS)
    for split in ("unseen_objects", "both_unseen"):
        for item in expansion.sentences[split]:
            for name in (*item.add, *item.remove):
                words = [word.lower() for word in split_words(name)]
                assert words[-1] not in known, name


def test_labels_mark_exactly_the_names(expansion):
    for item in expansion.sentences["train"]:
        spans = spans_of(item.labels)
        found = {
            label: [
                " ".join(item.words[first:after]) for kind, first, after in spans if kind == label
            ]
            for label in ("pos", "neg")
        }
        assert [name.lower() for name in found["pos"]] == [name.lower() for name in item.add]
        assert [name.lower() for name in found["neg"]] == [name.lower() for name in item.remove]


def test_a_quarter_of_the_names_has_a_colour(expansion):
    names = [name for s in expansion.sentences["train"] for name in (*s.add, *s.remove)]
    coloured = [name for name in names if name.split()[0] in {*COLOURS, "light", "dark"}]
    assert 0.2 < len(coloured) / len(names) < 0.3


def test_same_seed_same_sentences(project, expansion):
    assert expand(*project, RECIPE, seed=0) == expansion
    assert expand(*project, RECIPE, seed=1).sentences != expansion.sentences


def test_a_change_of_one_template_leaves_the_sentences_of_others():
    names = [f"thing{number}" for number in range(100)]
    templates = [Template(f"way{n} add <positive_object>", "s") for n in range(40)]
    changed = [*templates[:-1], Template("other way <positive_object>", "s")]
    kept = {t.template for t in templates[:-1]}
    before, after = (expand(t, names, RECIPE, seed=3) for t in (templates, changed))
    first, second = (
        {item.text for some in e.sentences.values() for item in some if item.template in kept}
        for e in (before, after)
    )
    assert len(first & second) > 0.9 * len(first)


def test_names_that_share_a_word_stay_on_one_side():
    names = ["bottle", "wine bottle", "wine", "cats", "cat", *[f"x{n}" for n in range(15)]]
    for seed in range(20):
        sides = split_names(names, ["on the x3"], 0.3, seed)
        test = set(sides["test"])
        assert len({name in test for name in ("bottle", "wine bottle", "wine")}) == 1
        assert ("cat" in test) == ("cats" in test)
        assert "x3" not in test
        assert sorted(sides["train"] + sides["test"]) == sorted(names)


def test_held_out_templates_have_every_style():
    templates = [Template(f"w{n} <positive_object>", f"style{n % 4}") for n in range(80)]
    for seed in range(5):
        parts = split_templates(templates, 0.05, 0.25, seed)
        assert Counter(t.style for t in parts["test"]) == {f"style{n}": 5 for n in range(4)}
        assert [len(parts[kind]) for kind in ("train", "validation", "test")] == [56, 4, 20]


def test_number_words_ask_for_the_plural():
    template = Template(
        "add two <positive_object>, a <positive_object>, all the <negative_object>", "s"
    )
    filled = fill_in_order(template, ["teal cherry", "hat", "wolf"])
    assert filled.text == "add two teal cherries, a hat, all the wolves"
    assert (filled.add, filled.remove) == (("teal cherries", "hat"), ("wolves",))


def test_too_few_names_for_a_template():
    templates = [Template(f"w{n}" + " <positive_object>," * 3, "s") for n in range(20)]
    with pytest.raises(UserError, match="needs 3 different object names"):
        expand(templates, ["hat", "cat", "bat", "mat"], RECIPE, seed=0)


@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        ({"fillings": 2}, "2 fillings, but seen takes 1 and unseen_objects takes 1"),
        ({"both_unseen": 0.98}, "15 fillings, but both_unseen takes 15"),
    ],
)
def test_a_recipe_that_does_not_add_up(changes, takes):
    recipe = RECIPE.model_copy(update=changes)
    with pytest.raises(UserError, match=takes):
        expand([Template("add <positive_object>", "s")] * 9, ["hat"] * 99, recipe, seed=0)


TRAINING, TEST = ("train", "seen", "unseen_objects"), ("unseen_templates", "both_unseen")


@pytest.mark.parametrize(
    ("fillings", "training", "test"),
    [
        (3, (1, 1, 1), (2, 1)),
        (5, (3, 1, 1), (3, 2)),
        (15, (12, 1, 2), (8, 7)),
        (30, (24, 2, 4), (16, 14)),
    ],
)
def test_any_number_of_fillings_gives_every_split_its_share(project, fillings, training, test):
    expansion = expand(*project, RECIPE.model_copy(update={"fillings": fillings}), seed=0)
    sizes = {name: len(some) for name, some in expansion.sentences.items()}
    templates = {name: len(some) for name, some in expansion.templates.items()}
    assert [sizes[name] for name in TRAINING] == [n * templates["train"] for n in training]
    assert [sizes[name] for name in TEST] == [n * templates["test"] for n in test]
    assert sizes["validation"] == fillings * templates["validation"]
    assert sum(sizes.values()) == 635 * fillings


def test_there_and_back_through_a_dataset(expansion):
    sentences = expansion.sentences["seen"][:50]
    dataset = to_dataset(sentences)
    assert dataset.features["labels"].feature.names == ["other", "pos", "neg"]
    assert from_dataset(dataset) == sentences


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("hat\ncap\nHat\n", "line 3: 'Hat' is on line 1"),
        ("hat\nhat, cap\n", "line 2"),
        ("# only a comment\n\n", "at least one"),
    ],
)
def test_a_bad_list_of_names(tmp_path, content, complaint):
    path = tmp_path / "names.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_names(path)
    with pytest.raises(UserError, match="does not exist"):
        read_names(tmp_path / "none.txt")


def test_every_part_has_every_kind_of_edit():
    """Scenes of each split need sentences of every kind; 15 kinds with 18 templates at least."""
    templates = load_templates(ROOT / "prompt_templates.json")
    kinds = {(template.additions, template.removals) for template in templates}
    for seed in range(20):
        parts = split_templates(templates, 0.07, 0.12, seed)
        for part in parts.values():
            assert {(template.additions, template.removals) for template in part} == kinds
