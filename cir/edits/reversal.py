"""Removal turned into addition and the reverse: more ways to say either."""

import random
import re

from cir.edits.reading.templates import NEGATIVE_SLOT, POSITIVE_SLOT
from cir.edits.words import EditWords, any_of

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
