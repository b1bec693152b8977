"""Variation of sentences: still true to their labels, never a held-out template, repeatable."""

import random
import re
from collections import Counter

import pytest
from ruamel.yaml import YAML

from cir.core.english import FUNCTION_WORDS
from cir.core.errors import UserError
from cir.edits.augmentation import Augmenter, Material
from cir.edits.clauses import Clauses, compose, read_clauses
from cir.edits.expansion import expand, read_names
from cir.edits.made_up_names import NameMaker, WordMaker
from cir.edits.models import context_words
from cir.edits.params import ExpandTemplates, TrainTagger, Varied
from cir.edits.reading.templates import Template, load_templates, normal_form
from cir.edits.reading.word_splitter import spans_of, split_words
from cir.edits.training import VariedSentences
from cir.edits.words import Reversal, any_of, read_edit_words
from tests.helpers import ROOT

WORDS = ROOT / "data/edit_words.json"
CLAUSES = ROOT / "data/edit_clauses.json"


@pytest.fixture(scope="module")
def expansion():
    templates = load_templates(ROOT / "prompt_templates.json")
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    recipe = ExpandTemplates(**params["expand_templates"])
    return expand(templates, read_names(ROOT / "data/object_names.txt"), recipe, seed=0)


@pytest.fixture(scope="module")
def material(expansion):
    names = expansion.names
    return Material(
        templates=expansion.templates["train"],
        held_out=expansion.templates["validation"] + expansion.templates["test"],
        names=names["train"],
        words=read_edit_words(WORDS).without(names["train"], held_out=names["test"]),
        clauses=read_clauses(CLAUSES).without(names["test"]),
    )


def strength(share):
    return Varied(**dict.fromkeys(Varied.model_fields, share))


@pytest.fixture(scope="module")
def varied(material):
    rng = random.Random(0)
    augmenter = Augmenter(material, strength(0.4))
    pairs = [rng.sample(list(material.templates), 2) for _ in range(3000)]
    return [augmenter(one, other, random.Random(i)) for i, (one, other) in enumerate(pairs)]


def test_the_labels_still_mark_the_names(varied):
    for item in varied:
        spans = spans_of(item.labels)
        assert Counter(label for label, _, _ in spans) == Counter(
            {"pos": len(item.add), "neg": len(item.remove)}
        ), item.text
        assert all("<" not in word for word in item.words)


def test_some_sentences_have_no_object(varied):
    idle = [item for item in varied if not item.add and not item.remove]
    assert 0.05 < len(idle) / len(varied) < 0.2
    assert all(set(item.labels) == {"other"} for item in idle)


def test_sentences_hardly_ever_repeat(varied):
    assert len({item.text for item in varied}) > 0.9 * len(varied)


def test_without_variation_the_template_stays(material):
    template = material.templates[7]
    item = Augmenter(material, strength(0.0))(template, template, random.Random(1))
    assert item.template == template.template
    assert item.text.lower().startswith(template.pieces[0].lower())
    assert item.text.endswith(template.pieces[-1])


def test_the_same_random_numbers_make_the_same_sentence(material):
    augmenter = Augmenter(material, strength(0.5))
    one, other = material.templates[:2]
    first = [augmenter(one, other, random.Random(n)) for n in range(20)]
    again = [augmenter(one, other, random.Random(n)) for n in reversed(range(20))]
    assert first == again[::-1]


def test_nothing_held_out_is_ever_made(material, expansion):
    """Train on one short template whose variations would otherwise say what is held out."""
    held_out = [Template("erase the <negative_object>", "s"), Template("<positive_object> in", "s")]
    sources = [
        Template("remove the <negative_object>", "s"),
        Template("with <positive_object>", "s"),
    ]
    fields = {**vars(material), "templates": sources, "held_out": held_out}
    augmenter = Augmenter(Material(**fields), strength(0.3))
    made = {augmenter(*sources, random.Random(n)).template for n in range(4000)}
    forms = {normal_form(Template(text, "s")) for text in made}
    assert not forms & {normal_form(template) for template in held_out}
    assert len(forms) > 1000


def test_no_word_of_a_held_out_name_is_used(material, expansion):
    known = {word.lower() for word in context_words(material.templates, *kit(material))}
    known -= FUNCTION_WORDS
    assert not known & {w.lower() for name in expansion.names["test"] for w in split_words(name)}


def kit(material):
    return material.names, material.words, material.clauses


def test_nouns_are_unknown_to_the_tagger(material):
    known = context_words(material.templates, *kit(material))
    assert {"add", "without", "the", "majestic", "teal", "please", "background"} <= known
    assert not known & {"sofa", "kite", "umbrella", "dog"}


@pytest.mark.parametrize(
    ("text", "verbs", "shape"),
    [
        ("Remove the <negative_object>.", "adding", "{0} the <positive_object>."),
        ("the <positive_object> is added", "removing", "the <negative_object> is {2}"),
    ],
)
def test_reversal_of_a_verb(text, verbs, shape):
    words = read_edit_words(WORDS)
    forms = {shape.format(*verb).lower() for verb in words.verbs[verbs]}
    made = {Reversal(words)(text, random.Random(n)).lower() for n in range(300)}
    assert made <= forms
    assert len(made) > 10


@pytest.mark.parametrize(
    ("text", "opposite"),
    [
        ("with <positive_object>, without <negative_object>",
         "without <negative_object>, with <positive_object>"),
        ("- <negative_object> + <positive_object>", "+ <positive_object> - <negative_object>"),
        ("the <negative_object> is gone", "the <positive_object> is there"),
    ],
)  # fmt: skip
def test_reversal_of_states(text, opposite):
    assert Reversal(read_edit_words(WORDS))(text, random.Random(0)) == opposite


@pytest.mark.parametrize(
    "text",
    [
        "replace the <negative_object> with a <positive_object>",
        "remove nothing but the <negative_object>",
        "a <positive_object> instead of the <negative_object>",
        "I want a <positive_object> and the <negative_object> removed",
        "stick in a <positive_object>",
    ],
)
def test_what_is_not_clear_is_not_reversed(text):
    assert Reversal(read_edit_words(WORDS))(text, random.Random(0)) == text


def test_clauses_agree_with_their_objects():
    clauses = Clauses(["{A} {is} here, keep {it}"], ["{r} {goes}"], ["{R} {is} {a}"], [], [" and "])
    made = {compose(clauses, {}, random.Random(n)).rstrip(".!").lower() for n in range(500)}
    single = {text for text in made if text.count("<") == 1}
    assert "the <positive_object> is here, keep it" in single
    assert "<negative_object> goes" in single
    assert "<negative_object> and <negative_object> go" in made
    assert not any(" are " in text or "them" in text for text in single)


def test_clauses_take_verbs_in_the_form_they_name():
    both = "{add} {a} after {removing} {r}, once {added}"
    clauses = Clauses(["{a}"], ["{r}"], [both], [], [" and "])
    verbs = {
        "adding": [["add", "adding", "added"], ["draw", "drawing", "drawn"]],
        "removing": [["cut", "cutting", "cut"]],
    }
    made = {compose(clauses, verbs, random.Random(n)).lower() for n in range(300)}
    plain = {text for text in made if text.count("<") == 2 and text.endswith("n")}
    assert plain == {
        f"{verb} <positive_object> after cutting <negative_object>, once drawn"
        for verb in ("add", "draw")
    }


def test_made_up_words_look_like_words_and_are_new():
    real = "umbrella cabinet lantern barrel candle saddle marble table banana lamp camera".split()
    maker = WordMaker(real)
    made = {maker(random.Random(n)) for n in range(200)}
    assert all(word.isalpha() and 4 <= len(word) <= 13 for word in made)
    assert len(made - set(real)) > len(made) / 2


def test_the_lists_keep_to_the_rule_on_names():
    """What belongs to a name in one list is not outside of names in another."""
    words = read_edit_words(WORDS)
    parts = {kind: set(some) for kind, some in words.name_parts.items()}
    places = {place for some in words.places.values() for place in some}
    assert not (parts["participles"] | parts["doing"]) & places
    assert not parts["modifiers"] & set(words.describing)
    outside = {*words.describing, *words.determiners, "pair", "trio", "dozen", "bunch"}
    assert not {name.split()[0] for name in parts["whole"]} & outside
    assert not parts["holders"] & {"pair", "couple", "trio", "dozen", "bunch", "handful", "group"}
    assert all(len(forms) == 4 for some in words.moves.values() for forms in some)


def test_long_names_have_parts_of_all_kinds(material):
    everything = Varied(**dict.fromkeys(Varied.model_fields, 0.0) | {"extended": 1.0})
    make = NameMaker(material.names, [], material.words, everything)
    made = [make(random.Random(n)) for n in range(3000)]
    lengths = Counter(min(len(name.split()), 7) for name in made)
    assert all(lengths[length] > 100 for length in range(2, 8))
    parts = material.words.name_parts
    for kind in ("modifiers", "doing", "participles", "does", "holders"):
        seen = sum(any(f" {part} " in f" {name} " for part in parts[kind]) for name in made)
        assert seen > 100, kind
    assert any(f" {verb} a " in name for name in made for verb in parts["doing"])
    whole = sum(name in parts["whole"] for name in made)
    assert 0.1 < whole / len(made) < 0.2
    between = [make(random.Random(n), with_between=True) for n in range(3000)]
    assert not any(" with" in name for name in between if name in parts["whole"])


def test_a_pattern_of_phrases_finds_the_longest_as_whole_words():
    rng = random.Random(0)
    words = "take takes ta-ke out of off".split()
    for _ in range(200):
        phrases = {" ".join(rng.choices(words, k=rng.choice((1, 1, 2, 3)))) for _ in range(6)}
        longest_first = sorted(phrases, key=len, reverse=True)
        slow = "|".join(rf"(?<![\w'<]){re.escape(one)}(?![\w'>])" for one in longest_first)
        text = " ".join(rng.choices([*words, "taken", "<of>", "it's", "of,"], k=30))
        assert re.findall(any_of(phrases), text) == re.findall(slow, text)


def test_words_that_all_sentences_have_are_not_held_out():
    words, clauses = read_edit_words(WORDS), read_clauses(CLAUSES)
    assert "substitute {A} for {R}" in clauses.without(["toy for cats"]).exchanging
    assert "substitute {A} for {R}" not in clauses.without(["substitute teacher"]).exchanging
    kept = words.without([], held_out=["lamp with a shade", "tidy desk"])
    assert "trimmed with" in kept.name_parts["participles"]
    assert "tidy" in words.describing
    assert "tidy" not in kept.describing


@pytest.mark.parametrize("content", ["[]", "{}", '{"adding": ["{B}"]}'])
def test_a_bad_file_of_words(tmp_path, content):
    path = tmp_path / "words.json"
    path.write_text(content)
    for read in (read_edit_words, read_clauses):
        with pytest.raises(UserError, match=r"words\.json: expected an object with the keys"):
            read(path)


def test_an_unknown_field_in_a_clause(tmp_path):
    path = tmp_path / "clauses.json"
    path.write_text(
        '{"adding": ["add {B}"], "removing": [], "exchanging": [], "idle": [], "joints": []}'
    )
    with pytest.raises(UserError, match=r"unknown field \{B\}"):
        read_clauses(path)


def recipe(**changes):
    fields = dict.fromkeys(TrainTagger.model_fields, 0.0)
    fields |= {"steps": 40, "batch_size": 8, "learning_rate": 0.001, "evaluations": 4}
    return TrainTagger(**{**fields, "varied": strength(0.3), **changes})


def test_training_sentences_depend_on_seed_and_place_alone(material, expansion):
    sentences = expansion.sentences["train"][:100]
    augmenter = Augmenter(material, strength(0.3))
    data = VariedSentences(sentences, augmenter, recipe(), seed=4)
    forwards = [data[n] for n in range(len(data))]
    assert len(forwards) == 320
    other = VariedSentences(sentences, augmenter, recipe(), seed=4)
    some = (319, 0, 200, 130, 1)
    assert [other[n] for n in some] == [forwards[n] for n in some]
    assert VariedSentences(sentences, augmenter, recipe(), seed=5)[0] != forwards[0]


def test_each_sentence_is_used_once_before_any_is_used_again(material, expansion):
    sentences = expansion.sentences["train"][:64]
    written = VariedSentences(
        sentences, Augmenter(material, strength(0)), recipe(steps=320, as_written=1.0), seed=4
    )
    assert Counter(written[n].text for n in range(2048)) == {s.text: 32 for s in sentences}
    assert Counter(written[n].text for n in range(2560)) == {s.text: 40 for s in sentences}


def test_processes_that_share_the_batches_make_no_pool_twice(material, expansion, monkeypatch):
    augmenter = Augmenter(material, strength(0.3))
    made = []
    make = VariedSentences._make_pool
    monkeypatch.setattr(
        VariedSentences, "_make_pool", lambda self, n: made.append(n) or make(self, n)
    )
    for process in range(4):  # as torch's loader shares the batches
        data = VariedSentences(expansion.sentences["train"], augmenter, recipe(steps=512), seed=4)
        for batch in range(process, 512, 4):
            data[batch * 8]
    assert sorted(made) == list(range(16))


class PiecesOfThreeLetters:
    """Stands for the pieces of a tokenizer."""

    def count(self, words):
        return sum(-(-len(word) // 3) for word in words)


@pytest.mark.parametrize(
    ("pieces", "count"), [(None, len), (PiecesOfThreeLetters(), PiecesOfThreeLetters().count)]
)
def test_batches_hold_sentences_of_about_one_length(material, expansion, pieces, count):
    augmenter = Augmenter(material, strength(0.3))
    training = expansion.sentences["train"]
    data = VariedSentences(training, augmenter, recipe(steps=128), 4, pieces)
    lengths = [count(data[n].words) for n in range(len(data))]
    batches = [lengths[start : start + 8] for start in range(0, len(lengths), 8)]
    padding = sum(max(batch) * len(batch) for batch in batches) / sum(lengths)
    assert padding < 1.1
