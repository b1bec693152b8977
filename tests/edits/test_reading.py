"""The pieces of words, the confidence of readings, and disturbed sentences."""

import itertools
import random

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cir.core.records import Edit
from cir.edits.measuring import fit
from cir.edits.models import context_tokenizer
from cir.edits.reading.disturbances import DISTURBANCES, disturb, mistype
from cir.edits.reading.pieces import Pieces
from cir.edits.reading.readings import Reading, looks_english
from cir.edits.reading.spelling import Spelling
from cir.edits.reading.viterbi import max_marginals, steps_between
from cir.edits.reading.word_splitter import split_words, word_spans

KNOWN = "add a the remove and removing place".split()


@pytest.fixture(scope="module")
def tokenizer():
    return context_tokenizer(KNOWN, longest=24)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("add", ["add"]),
        ("Removing", ["removing"]),
        ("remvoe", ["remove"]),
        ("Removve", ["remove"]),
        ("plate", ["[UNK]"]),  # a word of its own, though near "place"
        ("ad", ["[UNK]"]),  # too short to be near anything
        ("hat", ["[UNK]"]),
        ("eliminating", ["[*ing]"]),
        ("elimination", ["[*ation]"]),
        ("Unpainted", ["[un*]", "[*ed]"]),
        ("hand-painted", ["[*ed]"]),
        ("sing", ["[UNK]"]),  # an ending needs a stem
        ("टोपी", ["[UNK]"]),
    ],
)
def test_unknown_words_are_read_by_their_look(tokenizer, word, shown):
    ((pieces,),) = Pieces(tokenizer, KNOWN)([[word]])
    assert tokenizer.convert_ids_to_tokens(list(pieces)) == shown


def test_words_with_a_typing_error_against_a_slow_search():
    """All words one letter away, made one by one, and some that are further away."""
    meant, letters = Spelling(["remove", "add", "the"]), "abcdefghijklmnopqrstuvwxyz"
    made = {"remove"[:n] + letter + "remove"[n:] for n in range(7) for letter in letters}
    made |= {"remove"[:n] + letter + "remove"[n + 1 :] for n in range(6) for letter in letters}
    made |= {"remove"[:n] + "remove"[n + 1 :] for n in range(6)}
    made |= {"remove"[:n] + "remove"[n + 1] + "remove"[n] + "remove"[n + 2 :] for n in range(5)}
    english = {"remove", "removed", "remover", "removes", "remote", "remora", "rewove"}
    found = {word: meant(word) for word in sorted(made)}
    assert {word for word, other in found.items() if other is None} <= english | {"removee"}
    assert {other for other in found.values() if other is not None} == {"remove"}
    assert all(found[word] is None for word in english & made)
    for word in ("rmeoev", "remo", "ovemer", "reemoovee", "remvoe2", "ad", "teh", "stork", "टोपी"):
        assert meant(word) is None, word


def test_the_most_usual_of_several_words_is_meant():
    assert Spelling(["adding", "fading", "wading"])("ading") == "adding"
    assert Spelling([])("remvoe") is None


def test_a_batch_is_what_the_tokenizer_makes(tokenizer):
    sentences = [["add", "a", "hat"], ["remove", "the", "hat", "and", "add", "a", "cat"], ["hat"]]
    pieces = Pieces(tokenizer)
    ids, attention, firsts = pieces.batch(pieces(sentences), room=22)
    wanted = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
    assert ids.equal(wanted["input_ids"])
    assert attention.equal(wanted["attention_mask"])
    assert [places.tolist() for places in firsts] == [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7], [1]]
    cut, _, firsts = pieces.batch(pieces([["unpainted", "hat", "cat"]]), room=3)
    assert cut.shape == (1, 5)
    assert firsts[0].tolist() == [1, 3]


def test_a_reading_joins_words_and_keeps_the_least_sure():
    text = "Add a “red  mug” & remove the ca\u00adt."
    labels = ["other", "other", "pos", "pos", "other", "other", "other", "neg", "other"]
    sureness = [0.9, 0.8, 0.99, 0.7, 0.95, 0.99, 0.6, 0.99, 0.99]
    reading = Reading.of_labels(text, labels, sureness)
    assert reading.edit == Edit(text, add=("red mug",), remove=("cat",))
    assert reading.confidence == 0.6
    assert reading.confidence_by_object() == {"add": [0.7], "remove": [0.6]}
    assert reading.remarks() == []
    assert Reading.of_labels("", []).confidence == 1.0


@pytest.mark.parametrize(
    ("text", "labels", "remark"),
    [
        ("make it nicer", ["other"] * 3, "names no object"),
        ("add hat remove Hat", ["other", "pos", "other", "neg"], "both adds and removes 'hat'"),
        ("Entferne den Hut bitte sofort", ["other"] * 5, "does not look like English"),
        ("убери шляпу", ["other"] * 2, "does not look like English"),
    ],
)
def test_what_is_odd_is_said(text, labels, remark):
    assert any(remark in said for said in Reading.of_labels(text, labels).remarks())


@pytest.mark.parametrize("labels", [("other", "pos", "neg"), ("pos", "neg", "other")])
def test_labels_are_chosen_together_against_all_possibilities(labels):
    lengths = np.array([1, 2, 5, 0, 4, 5])
    rng = np.random.default_rng(3)
    scores, inside = rng.normal(size=(6, 5, 3)), rng.random((6, 5)) < 0.4
    inside[2], inside[4, :4] = False, (True, False, False, True)
    steps = steps_between(labels)
    found = max_marginals(scores, lengths, labels, inside)
    other = labels.index("other")
    for row, words in enumerate(lengths):
        totals = {
            path: sum(scores[row, place, label] for place, label in enumerate(path))
            + sum(steps[pair] for pair in itertools.pairwise(path))
            for path in itertools.product(range(3), repeat=words)
            if not any(inside[row, edge] for edge in _edges(path, other))
        }
        for place in range(words):
            for label in range(3):
                possible = [total for path, total in totals.items() if path[place] == label]
                assert found[row, place, label] == pytest.approx(max(possible, default=-np.inf))


def _edges(path, other):
    """Return the places of the first and the last word of each name."""
    around = (other, *path, other)
    for place, label in enumerate(path):
        if label != other and (around[place] == other or around[place + 2] == other):
            yield place


def test_a_name_is_not_torn():
    """By single words the middle would be an object to remove within one to add."""
    scores = np.array([[[3, 0, 0], [0, 3, 0], [0, 1, 1.5], [0, 3, 0], [3, 0, 0]]], dtype=float)
    labels, inside = ("other", "pos", "neg"), np.zeros((1, 5), dtype=bool)
    chosen = max_marginals(scores, np.array([5]), labels, inside)[0].argmax(axis=1)
    assert chosen.tolist() == [0, 1, 1, 1, 0]


def test_short_and_english_texts_are_english():
    for text in ("hat", "red hat", "+ hat - cap", "Swap the cap for a hat", "1 2 3", ""):
        assert looks_english(text), text


def test_calibration_is_a_logistic_regression():
    rng = np.random.default_rng(0)
    margins = rng.uniform(0, 8, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-(0.9 * margins - 2)))
    fitted = fit(margins, right)
    oracle = LogisticRegression(C=np.inf).fit(margins[:, None], right)
    assert fitted.slope == pytest.approx(oracle.coef_[0, 0], abs=0.01)
    assert fitted.offset == pytest.approx(oracle.intercept_[0], abs=0.02)
    assert fitted(float("inf")) == 1.0
    assert fitted(0.0) < fitted(1.0) < fitted(5.0)


def test_a_typing_error_is_one_letter_and_never_the_first():
    for number in range(300):
        word = mistype("remove", random.Random(number))
        assert word[0] == "r"
        assert abs(len(word) - 6) <= 1


TEXT = "Take out the hat; don't forget to add a red mug, a cat and - if possible - a watering-can."
NAMES = ("hat", "red mug", "cat", "watering-can")


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_a_disturbance_keeps_the_names(kind):
    """The names still stand there as words of the splitter, and the same number gives the same."""
    for number in range(40):
        made = disturb(kind, TEXT, NAMES, number)
        words = " ".join(split_words(made)).lower()
        assert all(name in words for name in NAMES), made
        assert made == disturb(kind, TEXT, NAMES, number)
        assert len(word_spans(made)) == len(split_words(made))
    assert len({disturb(kind, TEXT, NAMES, number) for number in range(40)} - {TEXT}) > 0


@pytest.mark.parametrize("kind", ["invisible characters", "emoji", "names in quotation marks"])
def test_what_nobody_reads_leaves_the_words_as_they_are(kind):
    for number in range(40):
        assert split_words(disturb(kind, TEXT, NAMES, number)) == split_words(TEXT)


def test_articles_and_marks_are_left_out():
    assert disturb("no articles", "Add the hat to the bed", ["hat"], 0) == "Add hat to bed"
    without_marks = disturb("no punctuation", "Hi, add a hat, a cap; ok.", ["hat", "cap"], 0)
    assert without_marks == "Hi add a hat, a cap; ok"  # what follows a name may divide a list
