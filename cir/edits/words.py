"""Exchange the words of edit sentences, and turn additions into removals and the reverse."""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from cir.core import files
from cir.core.english import FUNCTION_WORDS
from cir.core.errors import UserError
from cir.edits.reading.templates import NEGATIVE_SLOT, POSITIVE_SLOT
from cir.edits.reading.word_splitter import split_words

T = TypeVar("T")

# "on the sofa": this noun is a place and not an object of the edit.
PLACE = re.compile(
    r"\b((?:in|on|from|at|behind|beside|near|under|over|to|into|onto|by|against|above|below|of) "
    r"(?:the|a|my|this)) ([a-z]+)"
    r"(?=\s*[,.;:!?]|\s*$| (?:and|but|then|with|for|next|in|that|is|are|to)\b)"
)

# Matches a word after an object that ends the clause: "hat out", "hat gone, cap in".
AFTER_OBJECT = r"(?<=> ){}(?=\s*[,.;!?]|$| and )"

_SLOT = re.compile(f"{POSITIVE_SLOT}|{NEGATIVE_SLOT}")
_SWAPPED_SLOTS = {POSITIVE_SLOT: NEGATIVE_SLOT, NEGATIVE_SLOT: POSITIVE_SLOT}
_NO_PARTICLE = r"(?! (?:in|up|down|out|away|off|aside)\b)"  # "stick in" is another verb
# Words that ask to add or remove without a verb, with their opposites. _STATE matches them only
# where they have this meaning: "there" after "is", but not in "there is".
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
    interchangeable: groups of words or phrases that can replace each other anywhere.
    after: words after an object to add ("adding") or to remove ("removing") that end a note
        ("hat out").
    openings: phrases before an imperative ("could you please").
    greetings, endings: phrases before and after any sentence.
    adverbs: words before a verb.
    polar: words other than verbs that may distinguish adding from removing.
    scene: parts of a picture ("background") that are not objects.
    places: phrases between an object to add ("pos") or to remove ("neg") and a place.
    tails: other phrases after an object. asides: phrases between a verb and its object.
    determiners: words before an object. describing: adjectives that are not part of a name.
    name_parts: what long names are made of: some "whole" ones, "modifiers" before a noun, "holders"
        of things, what is "joined" to a noun by a hyphen, "participles" with their preposition,
        what a figure is "doing", what a thing "does", and the "users" it is for ("two").
    moves: verbs of objects that are "leaving" and "arriving", as lists of (plural, singular, -ing
        form, participle).
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
    name_parts: dict[str, list[str]]
    moves: dict[str, list[list[str]]]

    def without(self, names: Sequence[str], held_out: Sequence[str]) -> "EditWords":
        """Leave out what training with the object names `names` must not see.

        These are phrases that contain a word of a `held_out` name, and describing words that occur
        in one of `names`. Words such as "with" and "for" are not held out: all sentences have them.
        """
        used = words_of(map(str.lower, names))
        hidden = hidden_words(held_out)
        free = {field.name: _free_of(getattr(self, field.name), hidden) for field in fields(self)}
        for field in ("verbs", "moves"):  # all forms of a verb, or none
            free[field] = {
                kind: [forms for forms in verbs if not hidden & words_of(forms)]
                for kind, verbs in getattr(self, field).items()
            }
        free["describing"] = [word for word in free["describing"] if word not in used]
        return EditWords(**free)

    def all_words(self) -> set[str]:
        """Collect all single words."""
        kinds = [*self.verbs.values(), *self.moves.values()]
        verbs = [form for kind in kinds for forms in kind for form in forms]
        phrases = [phrase for group in self.interchangeable for phrase in group]
        places = [place for some in self.places.values() for place in some]
        phrases += [text for some in self.after.values() for text in some]
        lists = (self.openings, self.greetings, self.adverbs, self.endings, self.polar, self.scene)
        texts = [*verbs, *phrases, *places, *self.determiners, *self.describing]
        texts += [*self.tails, *self.asides]
        texts += [text for some in lists for text in some]
        return words_of(texts)

    @cached_property
    def same_sense(self) -> dict[str, list[str]]:
        """Map each form of a verb to the same form of all verbs with the same meaning."""
        return _by_form([(kind, kind) for kind in self.verbs.values()])

    @cached_property
    def opposite(self) -> dict[str, list[str]]:
        """Map each form of an adding verb to that form of all removing verbs, and the reverse."""
        adding, removing = self.verbs["adding"], self.verbs["removing"]
        return _by_form([(adding, removing), (removing, adding)])

    @cached_property
    def alternatives(self) -> dict[str, list[str]]:
        """Map each interchangeable phrase to its group."""
        return {phrase: group for group in self.interchangeable for phrase in group}


def words_of(texts: Iterable[str]) -> set[str]:
    """Collect the words of all texts."""
    return {word for text in texts for word in split_words(text)}


def hidden_words(names: Iterable[str]) -> set[str]:
    """Collect the words of held-out names that training must not see."""
    return words_of(name.lower() for name in names) - FUNCTION_WORDS


def _free_of(value: Any, hidden: set[str]) -> Any:
    """Leave out phrases with a hidden word from nested lists and dictionaries of phrases."""
    if isinstance(value, dict):
        return {key: _free_of(inner, hidden) for key, inner in value.items()}
    return [
        item if isinstance(item, str) else _free_of(item, hidden)
        for item in value
        if not (isinstance(item, str) and hidden & words_of([item]))
    ]


def _by_form(pairs: list[tuple[list[list[str]], list[list[str]]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for verbs, others in pairs:
        for mine, theirs in zip(zip(*verbs, strict=True), zip(*others, strict=True), strict=True):
            for form in mine:  # base forms come first: "put" is also a participle
                found.setdefault(form, list(theirs))
    return found


def any_of(phrases: Iterable[str]) -> str:
    """Return a pattern that matches the longest possible phrase, as whole words.

    Phrases with the same beginning share it in the pattern, because Python tries alternatives one
    after another.
    """
    tree: dict[str, dict] = {}
    for phrase in phrases:
        branch = tree
        for letter in phrase:
            branch = branch.setdefault(letter, {})
        branch[""] = {}  # a phrase ends here
    return rf"(?<![\w'<]){_pattern_of(tree)}(?![\w'>])"


def _pattern_of(tree: dict[str, dict]) -> str:
    """Return the pattern of a tree of letters, which prefers longer phrases to their beginnings."""
    branches = [re.escape(letter) + _pattern_of(tree[letter]) for letter in sorted(tree) if letter]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)})" + ("?" if "" in tree else "")


def read_edit_words(path: Path | str) -> EditWords:
    """Read data/edit_words.json. Raises UserError for other keys."""
    return read_fields(path, EditWords)


def read_fields(path: Path | str, form: type[T]) -> T:
    """Read a JSON object whose keys are the fields of the dataclass `form`, or raise UserError."""
    content = files.read_json(path)
    expected = {field.name for field in fields(form)}
    if not isinstance(content, dict) or set(content) != expected:
        raise UserError(f"{path}: expected an object with the keys {', '.join(sorted(expected))}.")
    return form(**content)


class Reversal:
    """Turns the additions of a template into removals, and the removals into additions.

    A template is reversed only where this is clear: a verb, a state ("with") or a word after the
    object ("out") marks each object, and no other word is one of `EditWords.polar`.
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
        """Return the opposite template, or the same one if it is not clear how to reverse it."""
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
