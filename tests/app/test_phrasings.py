"""Test the reading of requests that are no sum of names, before the tagger and with it."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cir.app.phrasings import one_resolved, remarks_of, split
from cir.app.search_model import TaggedText
from cir.edits.reading.readings import Reading
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import split_words, word_spans
from tests.helpers import ROOT

PHRASINGS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data/phrasings.jsonl").read_text("utf-8").splitlines()
]
TAGGER = Path(os.environ.get("CIR_MODELS", ROOT / "models")) / "tagger"
LEAST_RIGHT = 54


def read_by(label, text):
    """Read a text with a tagger that gives all words of the rest one label."""
    clauses, rest = split(text)
    labels = [label if word[0].isalnum() else "other" for word in split_words(rest)]
    return TaggedText.read(Reading.of_labels(rest, labels), text, clauses)


def right(case, tagged):
    """Whether the edit is the wanted one, and what cannot be read is said."""
    edits = sorted(tagged.edit.add), sorted(tagged.edit.remove)
    said = "said" not in case or any(case["said"] in remark for remark in tagged.remarks)
    return edits == (sorted(case["add"]), sorted(case["remove"])) and said


def test_there_are_sixty_different_phrasings():
    assert len({case["text"] for case in PHRASINGS}) == 60
    assert sum("said" in case for case in PHRASINGS) >= 20


def test_phrasings_that_need_no_tagger_are_read_right():
    alone = [case for case in PHRASINGS if not split(case["text"])[1].strip(" .,!?")]
    assert len(alone) >= 40
    wrong = [case["text"] for case in alone if not right(case, read_by("other", case["text"]))]
    assert wrong == []


@pytest.mark.skipif(not TAGGER.is_dir(), reason=f"there is no trained tagger in {TAGGER}")
def test_phrasings_are_read_right_with_the_tagger():
    parts = [split(case["text"]) for case in PHRASINGS]
    readings = Tagger.load(TAGGER).read([rest for _, rest in parts])
    found = [
        TaggedText.read(reading, case["text"], clauses)
        for case, (clauses, _), reading in zip(PHRASINGS, parts, readings, strict=True)
    ]
    assert sum(map(right, PHRASINGS, found)) >= LEAST_RIGHT


@pytest.mark.parametrize(
    "text",
    [
        "Add a red ball and remove the cat.",
        "Swap the sofa for a blue chair.",
        "Remove, if at all possible and without touching anything else, the beige french horn.",
        "Bid farewell to the grapes, and open the door to a goat.",
        "Make it an apron, not a dolphin.",
        "Make the lawnmower disappear.",
        "Keep the orangutan from appearing in the picture.",
        "Leave out the orange magazine.",
        "Spare us the hideous crystal ball.",
        "add a mirror that shows weather",
        "Rotate the puppet out of the lineup and an easel into it.",
        "Make it livelier by bringing in a carpenter.",
        "Give me a cushion rather than a bouquet.",
    ],
)
def test_sums_of_names_are_left_to_the_tagger(text):
    assert split(text) == ([], text)


def test_words_keep_their_places_and_get_labels_of_both():
    text = "Add a lamp, and paint the old table dark red!"
    clauses, rest = split(text)
    assert len(rest) == len(text)
    assert rest.strip() == "Add a lamp"
    labels = ["other", "other", "pos"]
    tagged = TaggedText.read(Reading.of_labels(rest, labels, [0.8] * 3), text, clauses)
    assert [word for word, _ in tagged.words] == split_words(text)
    marked = {word: label for word, label in tagged.words if label != "other"}
    assert marked == {"lamp": "pos", "old": "neg", "table": "neg", "dark": "pos", "red": "pos"}
    assert tagged.edit.add == ("dark red table", "lamp")
    assert tagged.edit.remove == ("old table",)
    assert tagged.confidence == 0.8
    assert tagged.confidence_by_object == {"add": [0.9, 0.8], "remove": [0.9]}


def test_what_is_to_stay_is_never_removed():
    clauses, _ = split("Keep the cat and remove the animals")
    assert remarks_of(clauses) == ["it keeps 'cat'"]
    reading = Reading.of_labels("take the Cat", ["other", "other", "neg"])
    assert TaggedText.read(reading, "take the Cat", clauses).edit.remove == ()


def test_one_stands_for_the_object_of_the_other_name():
    assert one_resolved(("blue one",), ("red ball",)) == (("blue ball",), ("red ball",))
    assert one_resolved(("green mug",), ("brown ones",)) == (("green mug",), ("brown mug",))
    assert one_resolved(("one",), ()) == (("one",), ())


@given(st.text(alphabet="make the bluedontk,.;!?'’ and but\n", max_size=80) | st.text(max_size=60))
def test_any_text_is_split_into_clauses_and_a_rest_of_the_same_length(text):
    clauses, rest = split(text)
    assert len(rest) == len(text)
    assert all(0 <= c.start < c.end <= len(text) for c in clauses)
    assert all(one.end <= two.start for one, two in pairwise(clauses))
    assert set(word_spans(rest)) <= set(word_spans(text)) or not rest.isascii()
    read_by("other", text)


def test_a_long_text_is_left_to_the_tagger():
    text = "keep the cat and " * 40
    assert split(text) == ([], text)
    assert split(text[:399])[0]
