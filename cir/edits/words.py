"""The words that edit sentences are built of, and which of them can stand for each other."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.errors import UserError
from cir.edits.reading.templates import split_words

# "on the sofa": a noun after a preposition, which is where something is and no object of the edit
PLACE = re.compile(
    r"\b((?:in|on|from|at|behind|beside|near|under|over|to|into|onto|by|against|above|below|of) "
    r"(?:the|a|my|this)) ([a-z]+)"
    r"(?=\s*[,.;:!?]|\s*$| (?:and|but|then|with|for|next|in|that|is|are|to)\b)"
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
