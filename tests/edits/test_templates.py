"""Filling, splitting and reading templates."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cir.core.english import article, plural
from cir.core.errors import UserError
from cir.edits.reading.templates import Template, fill, load_templates, normal_form
from cir.edits.reading.word_splitter import spans_of, split_words, word_spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Add a hat, please!", ["Add", "a", "hat", ",", "please", "!"]),
        ("Don't drop the T-shirt.", ["Don't", "drop", "the", "T-shirt", "."]),
        ("the jack-o'-lantern", ["the", "jack-o'-lantern"]),
        ("- hat + scarf", ["-", "hat", "+", "scarf"]),
        ("no hat/cap", ["no", "hat", "/", "cap"]),
        ("hat—scarf", ["hat", "-", "scarf"]),
        ("hat -- scarf", ["hat", "-", "scarf"]),
        ("\u2212 hat \u2013 scarf", ["-", "hat", "-", "scarf"]),
        ("hand\u2010painted", ["hand-painted"]),
        ("Re\u00admove the hat\u200b.", ["Remove", "the", "hat", "."]),
        ("I don\u2019t", ["I", "don't"]),
        ('a "red mug", \u201chat\u201d', ["a", "red", "mug", ",", "hat"]),
        ("**hat** & `cap`\u2026", ["hat", "and", "cap", "."]),
        (
            "\uff46\uff55\uff4c\uff4c\uff0c \U0001d41b\U0001d428 \ufb01sh",
            ["full", ",", "bo", "fish"],
        ),
        ("cafe\u0301 \U0001f642 \u00bd", ["caf\u00e9", "\u00bd"]),
        ("टोपी हटाओ", ["टोपी", "हटाओ"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ("", []),
        (" \n\t", []),
        ("➖ hat ➕ red scarf", ["-", "hat", "+", "red", "scarf"]),
        ("✅hat ❌cap", ["+", "hat", "-", "cap"]),
        ("Add <b>a hat</b>,<br/>no <i class='x'>cap", ["Add", "a", "hat", ",", "no", "cap"]),
        ("a < b > c, <3", ["a", "<", "b", ">", "c", ",", "<", "3"]),
    ],
)
def test_words_and_marks(text, words):
    assert split_words(text) == words


@given(st.text())
def test_words_stand_in_order_in_the_text(text):
    spans = word_spans(text)
    assert len(spans) == len(split_words(text))
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert all(start < end for start, end in spans)


@given(st.text(alphabet="aB é1.,;:!?()+/-\n", max_size=30))
def test_words_of_plain_text_are_the_text_without_its_spaces(text):
    text = re.sub("-+", "-", text)
    spans = word_spans(text)
    assert [text[start:end] for start, end in spans] == split_words(text)
    covered = {position for start, end in spans for position in range(start, end)}
    assert all(letter.isspace() for index, letter in enumerate(text) if index not in covered)


@given(st.lists(st.sampled_from(["other", "pos", "neg"])))
def test_spans_against_a_slow_reading(labels):
    slow = []
    for start in range(len(labels)):
        for end in range(start + 1, len(labels) + 1):
            inside = set(labels[start:end])
            before = labels[start - 1] if start else None
            after = labels[end] if end < len(labels) else None
            if len(inside) == 1 and inside != {"other"} and not inside & {before, after}:
                slow.append((labels[start], start, end))
    assert spans_of(labels) == slow


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, "an") for name in ("umbrella", "hourglass", "honest man", "X-ray", "MP3 player")],
        *[(name, "an") for name in ("heirloom", "oven", "urn", "8-ball", "uninvited guest", "SUV")],
        *[(name, "a") for name in ("uniform", "ukulele", "unicorn", "one-man band", "ewe", "hat")],
        *[(name, "a") for name in ("UFO", "USB stick", "eucalyptus", "teal umbrella", "utensil")],
    ],
)
def test_article(name, expected):
    assert article(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cats"),
        ("box", "boxes"),
        ("cherry", "cherries"),
        ("toy", "toys"),
        ("tomato", "tomatoes"),
        ("piano", "pianos"),
        ("bookshelf", "bookshelves"),
        ("fire truck", "fire trucks"),
        ("mongoose", "mongooses"),
        ("snowman", "snowmen"),
        ("human", "humans"),
        ("sheep", "sheep"),
        ("scissors", "scissors"),
        ("bus", "buses"),
        ("glass", "glasses"),
        ("bowl of rice", "bowls of rice"),
        ("T-shirt", "T-shirts"),
    ],
)
def test_plural(name, expected):
    assert plural(name) == expected


def test_fill_labels_every_word_and_mends_the_article():
    template = Template(
        "Swap a <negative_object> for an <positive_object>, a <positive_object>.", "s"
    )
    filled = fill(template, ["watering can", "oak"], ["hourglass"])
    assert filled.text == "Swap an hourglass for a watering can, an oak."
    assert filled.words == tuple(split_words(filled.text))
    told = dict(zip(filled.words, filled.labels, strict=True))
    assert {word for word, label in told.items() if label == "pos"} == {"watering", "can", "oak"}
    assert {word for word, label in told.items() if label == "neg"} == {"hourglass"}
    assert (filled.add, filled.remove) == (("watering can", "oak"), ("hourglass",))


def test_fill_begins_with_a_capital_only_where_a_slot_begins():
    assert fill(Template("<negative_object> out", "s"), [], ["iPad"]).text == "IPad out"
    assert fill(Template("no <negative_object>", "s"), [], ["hat"]).text == "no hat"


def test_an_article_further_away_stays():
    filled = fill(Template("a big <positive_object>", "s"), ["apple"], [])
    assert filled.text == "a big apple"


def test_template_counts_its_slots():
    template = Template("<negative_object>, <negative_object> to <positive_object>", "s")
    assert (template.additions, template.removals) == (1, 2)
    assert template.slots == ("neg", "neg", "pos")


def test_normal_form_keeps_words_and_slots_only():
    first = Template("Add  a <positive_object>!", "s")
    second = Template("add a, <positive_object>", "t")
    other = Template("add a <negative_object>", "s")
    assert normal_form(first) == normal_form(second) != normal_form(other)


def write(tmp_path, *texts):
    path = tmp_path / "templates.json"
    path.write_text(json.dumps([{"template": text, "style": "plain"} for text in texts]))
    return path


def test_load(tmp_path):
    path = write(tmp_path, "add <positive_object>", "remove <negative_object>")
    assert load_templates(path)[1] == Template("remove <negative_object>", "plain")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("add a hat", "no slot"),
        ("add <positive_objekt>", "unknown slot <positive_objekt>"),
        ("add <positive_object>s", "touches a word"),
        ("add <positive_object><positive_object>", "touches a word or another slot"),
        ("a non-<negative_object>", "touches a word"),
    ],
)
def test_a_bad_template_is_named(tmp_path, text, complaint):
    path = write(tmp_path, "add <positive_object>", text)
    with pytest.raises(UserError, match="template 2") as caught:
        load_templates(path)
    assert complaint in str(caught.value)
    assert text in str(caught.value)


def test_a_duplicate_names_both(tmp_path):
    path = write(
        tmp_path, "Add <positive_object>!", "x <negative_object>", "add  <positive_object>"
    )
    with pytest.raises(UserError, match=r"template 3 .* template 1 "):
        load_templates(path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "[1]", '[{"template": "x"}]'])
def test_a_file_that_is_no_list_of_templates(tmp_path, content):
    path = tmp_path / "templates.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"templates\.json"):
        load_templates(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_templates(tmp_path / "none.json")
