"""The words that edit sentences are built of, and which of them can stand for each other."""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.errors import UserError
from cir.edits.reading.templates import NEGATIVE_SLOT, POSITIVE_SLOT, split_words

# "on the sofa": a noun after a preposition, which is where something is and no object of the edit
PLACE = re.compile(
    r"\b((?:in|on|from|at|behind|beside|near|under|over|to|into|onto|by|against|above|below|of) "
    r"(?:the|a|my|this)) ([a-z]+)"
    r"(?=\s*[,.;:!?]|\s*$| (?:and|but|then|with|for|next|in|that|is|are|to)\b)"
)

# Words right after an object that end its clause: "hat out", "hat gone, cap in".
AFTER_OBJECT = r"(?<=> ){}(?=\s*[,.;!?]|$| and )"

_SLOT = re.compile(f"{POSITIVE_SLOT}|{NEGATIVE_SLOT}")
_SWAPPED_SLOTS = {POSITIVE_SLOT: NEGATIVE_SLOT, NEGATIVE_SLOT: POSITIVE_SLOT}
_NO_PARTICLE = r"(?! (?:in|up|down|out|away|off|aside)\b)"  # "stick in" is another verb
# What tells adding from removing without a verb, each with its opposite, where it can mean
# nothing else: "gone" after "is", but not "there" in "there is".
_STATES = {"with": "without", "plus": "minus", "+": "-", "there": "gone"}
_STATE = (
    r"\b(?:with|without|plus|minus)\b|(?<![\w'’-])[+-](?= )"
    r"|(?:(?<=\bis )|(?<=\bare )|(?<=\bbe ))(?:there|gone)\b"
)


@dataclass(frozen=True)
class EditWords:
    """The content of data/edit_words.json; all in lower case.

    verbs: "adding", "removing" and "exchanging" verbs with a direct object, as lists of (base,
        -ing form, participle).
    interchangeable: lists of words or phrases that can stand for each other anywhere.
    after: what may follow an object to add ("adding") or to remove ("removing") at the end of a
        note ("hat out").
    openings: what may stand before an imperative ("could you please").
    greetings, endings: what may stand before and after any sentence.
    adverbs: what may stand before a verb.
    polar: words, other than the verbs, that may tell adding from removing.
    scene: parts of a picture ("background"), which are no objects.
    places: what may come between an object to add ("pos") or to remove ("neg") and a place.
    tails: what else may follow an object; asides: what may come between a verb and its object.
    determiners: what may stand before an object; describing: adjectives no part of a name.
    """

    verbs: dict[str, list[list[str]]]
    interchangeable: list[list[str]]
    after: dict[str, list[str]]
    openings: list[str]
    greetings: list[str]
    adverbs: list[str]
    endings: list[str]
    polar: list[str]
    scene: list[str]
    places: dict[str, list[str]]
    tails: list[str]
    asides: list[str]
    determiners: list[str]
    describing: list[str]

    def without(self, names: Sequence[str], held_out: Sequence[str]) -> "EditWords":
        """These words, fit for training with the object names `names`.

        Describing words that occur in a name are left out, and every phrase with a word of a
        `held_out` name: nothing of those may be seen in training.
        """
        used, hidden = (_words_of(map(str.lower, some)) for some in (names, held_out))
        free = {field.name: _free_of(getattr(self, field.name), hidden) for field in fields(self)}
        free["verbs"] = {
            kind: [forms for forms in verbs if not hidden & _words_of(forms)]
            for kind, verbs in self.verbs.items()
        }
        free["describing"] = [word for word in free["describing"] if word not in used]
        return EditWords(**free)

    def all_words(self) -> set[str]:
        """Every single word in them."""
        verbs = [form for kind in self.verbs.values() for forms in kind for form in forms]
        phrases = [phrase for group in self.interchangeable for phrase in group]
        places = [place for some in self.places.values() for place in some]
        phrases += [text for some in self.after.values() for text in some]
        lists = (self.openings, self.greetings, self.adverbs, self.endings, self.polar, self.scene)
        texts = [*verbs, *phrases, *places, *self.determiners, *self.describing]
        texts += [*self.tails, *self.asides]
        texts += [text for some in lists for text in some]
        return _words_of(texts)

    @cached_property
    def same_sense(self) -> dict[str, list[str]]:
        """Every form of a verb, with the same form of all verbs that mean as much."""
        return _by_form([(kind, kind) for kind in self.verbs.values()])

    @cached_property
    def opposite(self) -> dict[str, list[str]]:
        """Every form of an adding verb, with that form of all removing ones, and the reverse."""
        adding, removing = self.verbs["adding"], self.verbs["removing"]
        return _by_form([(adding, removing), (removing, adding)])

    @cached_property
    def alternatives(self) -> dict[str, list[str]]:
        """Every interchangeable phrase, with all that can stand for it."""
        return {phrase: group for group in self.interchangeable for phrase in group}


def _words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in split_words(text)}


def _free_of(value: Any, hidden: set[str]) -> Any:
    """Phrases, or lists or dictionaries of them, without those that hold a hidden word."""
    if isinstance(value, dict):
        return {key: _free_of(inner, hidden) for key, inner in value.items()}
    return [
        item if isinstance(item, str) else _free_of(item, hidden)
        for item in value
        if not (isinstance(item, str) and hidden & _words_of([item]))
    ]


def _by_form(pairs: list[tuple[list[list[str]], list[list[str]]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for verbs, others in pairs:
        for mine, theirs in zip(zip(*verbs, strict=True), zip(*others, strict=True), strict=True):
            for form in mine:  # base forms come first: "put" is one, and a participle too
                found.setdefault(form, list(theirs))
    return found


def any_of(phrases: Iterable[str]) -> str:
    """A pattern that matches the longest of the phrases that it can, as whole words."""
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return rf"(?<![\w'<])(?:{'|'.join(map(re.escape, longest_first))})(?![\w'>])"


def read_edit_words(path: Path | str) -> EditWords:
    """Read the JSON object whose keys are the fields of EditWords; UserError if they are not."""
    content = files.read_json(path)
    expected = {field.name for field in fields(EditWords)}
    if not isinstance(content, dict) or set(content) != expected:
        raise UserError(f"{path}: expected an object with the keys {', '.join(sorted(expected))}.")
    return EditWords(**content)


class Reversal:
    """Turns templates around where it is clear which of their words tell adding from removing.

    Every object must be told by a verb, a state ("with") or a word after it ("out"), and no other
    word of the template may be of the kind that tells (`EditWords.polar`).
    """

    def __init__(self, words: EditWords):
        adding, removing = words.after["adding"], words.after["removing"]
        after = AFTER_OBJECT.format(any_of([*adding, *removing]))
        tellers = f"{after}|{any_of(words.opposite)}{_NO_PARTICLE}|{_STATE}"
        self._teller = re.compile(tellers, re.IGNORECASE)
        exchanging = [form for forms in words.verbs["exchanging"] for form in forms]
        self._polar = re.compile(any_of([*words.polar, *exchanging]), re.IGNORECASE)
        verbs = {form for forms in words.verbs["adding"] for form in forms}
        self._adding = verbs | _STATES.keys() | set(adding)
        self._opposite = {
            **dict.fromkeys(adding, tuple(removing)),
            **dict.fromkeys(removing, tuple(adding)),
            **{state: (other,) for state, other in _STATES.items()},
            **{other: (state,) for state, other in _STATES.items()},
            **words.opposite,
        }

    def __call__(self, text: str, rng: random.Random) -> str:
        """The opposite template, or the same where it is not clear how to say it."""
        tellers = [found[0].lower() for found in self._teller.finditer(text)]
        told = {POSITIVE_SLOT if word in self._adding else NEGATIVE_SLOT for word in tellers}
        unclear = self._polar.search(self._teller.sub("", text))
        if unclear or told != set(_SLOT.findall(text)):
            return text
        text = self._teller.sub(lambda found: self._other(found[0], rng), text)
        return _SLOT.sub(lambda found: _SWAPPED_SLOTS[found[0]], text)

    def _other(self, word: str, rng: random.Random) -> str:
        other = rng.choice(self._opposite[word.lower()])
        return other[0].upper() + other[1:] if word[0].isupper() else other
