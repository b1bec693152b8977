"""Texts to token ids and back, with all of open_clip's tokens and with some of them."""

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from cir.text_search.training.vocabulary import PAD, Vocabulary

TEXTS = ["a red mug and two blue cars", "red mugs, a hat and a key", "wow! a scarf!"]
PLAIN = SimpleTokenizer()
FIRST, LAST = PLAIN.sot_token_id, PLAIN.eot_token_id


@pytest.fixture(scope="module")
def some():
    return Vocabulary.of(TEXTS, context=12)


@pytest.fixture(scope="module")
def every():
    return Vocabulary()


def test_all_tokens_are_those_of_open_clip(every):
    tokenizer = open_clip.get_tokenizer("coca_ViT-B-32")
    texts = [*TEXTS, "", "Ein Café am Meer; 12 Boote…", "word " * 200]
    assert torch.equal(every.encode(texts), tokenizer(texts))
    assert every.encode(texts).shape == (6, every.context) == (6, 76)
    assert (len(every), every.first, every.last) == (49408, 49406, 49407)
    for text in texts[:2]:
        assert every.decode(every.encode([text])[0].tolist()) == text


def test_some_tokens_are_numbered_from_two_in_their_order(some):
    known = sorted({FIRST, LAST, *(token for text in TEXTS for token in PLAIN.encode(text))})
    assert some.kept == tuple(known)
    assert len(some) == 2 + len(known)
    assert (some.first, some.last) == (len(some) - 2, len(some) - 1)
    for text in TEXTS:
        tokens = [FIRST, *PLAIN.encode(text), LAST]
        expected = [2 + known.index(token) for token in tokens]
        row = some.encode([text])[0].tolist()
        assert row == expected + [PAD] * (12 - len(tokens))
    assert some.encode(TEXTS).dtype == torch.int64


def test_texts_come_back():
    texts = [*TEXTS, "two blue hats", "key", "", "snow-white, isn't it?"]
    vocabulary = Vocabulary.of(texts, context=12)
    for text, row in zip(texts, vocabulary.encode(texts).tolist(), strict=True):
        assert vocabulary.decode(row).replace(" ", "") == text.replace(" ", "")
        if text in TEXTS:
            assert vocabulary.decode(row) == text


def test_what_is_not_known_is_one_id_and_left_out(some):
    row = some.encode(["a pink mug"])[0].tolist()
    (a, mug) = (some.encode([word])[0, 1].item() for word in ("a", "mug"))
    assert row == [some.first, a, 1, mug, some.last] + [PAD] * 7
    assert some.decode(row) == "a mug"


def test_an_exclamation_mark_is_a_word_and_no_padding():
    """The tokenizer pads with 0, which is "!" at the start of other marks, as well."""
    assert PLAIN.encode("!& red") == [0, 261, *PLAIN.encode("red")]
    vocabulary = Vocabulary.of(["!& red"], context=7)
    assert vocabulary.kept[0] == 0
    row = vocabulary.encode(["!& red"])[0].tolist()
    assert row == [vocabulary.first, 2, 3, 4, vocabulary.last, PAD, PAD]
    assert vocabulary.decode(row) == "!& red"


def test_too_long_texts_lose_their_end(some, every):
    long = "red mug " * 20
    row = some.encode([long])[0].tolist()
    red, mug = (some.encode([word])[0, 1].item() for word in ("red", "mug"))
    assert row == [some.first, *[red, mug] * 5, some.last]
    assert some.decode(row) == " ".join(["red mug"] * 5)
    assert every.encode([long + "mug " * 60])[0, -1] == every.last


def test_decoding_stops_at_the_end_and_skips_what_is_no_word(some):
    red, mug = (some.encode([word])[0, 1].item() for word in ("red", "mug"))
    assert some.decode([some.first, PAD, red, some.last, mug]) == "red"
    assert some.decode([red, mug]) == "red mug"
    assert some.decode([]) == some.decode([some.first, some.last]) == some.decode([PAD, PAD]) == ""


def test_marks_stand_behind_their_word(every):
    row = every.encode(["a mug, a hat. and: what?"])[0].tolist()
    assert every.decode(row) == "a mug, a hat. and: what?"


def test_a_vocabulary_without_texts_has_the_two_ends():
    none = Vocabulary.of([], context=4)
    assert (len(none), none.first, none.last) == (4, 2, 3)
    assert none.encode(["red"])[0].tolist() == [2, 1, 3, PAD]
