"""Compose sentences from clauses, to ask in more ways than the templates do."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cir.core.errors import UserError
from cir.edits.reading.templates import NEGATIVE_SLOT, POSITIVE_SLOT
from cir.edits.words import hidden_words, read_fields, words_of

# Words that agree with the number of objects in their clause: (one, several).
_AGREEING = {
    "is": ("is", "are"),
    "was": ("was", "were"),
    "has": ("has", "have"),
    "it": ("it", "them"),
    "needs": ("needs", "need"),
    "does": ("does", "do"),
    "goes": ("goes", "go"),
    "comes": ("comes", "come"),
    "bothers": ("bothers", "bother"),
    "becomes": ("becomes", "become"),
    "makes": ("makes", "make"),
    "takes": ("takes", "take"),
    "replaces": ("replaces", "replace"),
}
# Verbs of EditWords.verbs and of EditWords.moves, and invented ones: (sense, form).
_VERBS = {
    form: (sense, place)
    for sense, forms in {
        "adding": ("add", "adding", "added"),
        "removing": ("remove", "removing", "removed"),
        "exchanging": ("exchange", "exchanging", "exchanged"),
        "arriving": ("appear", "appears", "appearing", "appeared"),
        "leaving": ("vanish", "vanishes", "vanishing", "vanished"),
        "unknown": ("do", "doing", "done"),
    }.items()
    for place, form in enumerate(forms)
}
_AGREEING_VERBS = {"appears": "appear", "vanishes": "vanish"}  # the form of one, and of several
_RARE_JOINTS = (" together with ", " along with ", " as well as ")
_OBJECTS = {"A": POSITIVE_SLOT, "a": POSITIVE_SLOT, "R": NEGATIVE_SLOT, "r": NEGATIVE_SLOT}
_DETERMINERS = {"A": ("a", "a", "a", "the", "the", ""), "R": ("the", "the", "the", "the", "a", "")}
_FIELD = re.compile(r"\{(\w+)\}")
_NUMBERS, _ODDS = (1, 2, 3), (6, 3, 1)  # numbers of objects in a clause, and their odds


@dataclass(frozen=True)
class Clauses:
    """The content of data/edit_clauses.json.

    In a clause, {A} stands for one or more objects to add with their determiners, and {R} for
    objects to remove; {a} and {r} stand for objects without determiners. Fields such as {is},
    {has} and {it} agree with the number of objects. {add}, {adding} and {added} stand for a verb of
    `EditWords.verbs["adding"]` in this form, {remove} and {exchange} with their forms for the other
    verbs, {appears} and {vanishes} with their forms for those of `EditWords.moves`. {do}, {doing}
    and {done} stand for an invented verb, where other words tell what it does. A joint comes
    between two clauses. Idle sentences ask for no edit.
    """

    adding: list[str]
    removing: list[str]
    exchanging: list[str]
    idle: list[str]
    joints: list[str]

    def without(self, held_out: Sequence[str]) -> "Clauses":
        """Leave out the clauses that contain a word of a held-out object name.

        Words such as "with" and "for" are not held out: all sentences have them.
        """
        hidden = hidden_words(held_out)
        free = {
            field.name: [
                text
                for text in getattr(self, field.name)
                if not hidden & words_of([_FIELD.sub(" ", text.lower())])
            ]
            for field in fields(self)
        }
        return Clauses(**free)

    def all_words(self) -> set[str]:
        """Collect all words of the clauses, with both numbers of the agreeing words."""
        texts = [*self.adding, *self.removing, *self.exchanging, *self.idle, *self.joints]
        plain = words_of(_FIELD.sub(" ", text.lower()) for text in texts)
        return plain | {form for forms in _AGREEING.values() for form in forms}


def read_clauses(path: Path | str) -> Clauses:
    """Read data/edit_clauses.json. Raises UserError for other keys and for unknown fields."""
    clauses = read_fields(path, Clauses)
    known = {*_OBJECTS, *_AGREEING, *_VERBS}
    for clause in (text for some in vars(clauses).values() for text in some):
        unknown = set(_FIELD.findall(clause)) - known
        if unknown:
            raise UserError(f"{path}: {clause!r} has the unknown field {{{unknown.pop()}}}.")
    return clauses


def compose(
    clauses: Clauses, verbs: Mapping[str, Sequence[Sequence[str]]], rng: random.Random
) -> str:
    """Make the text of a template: one clause, or one that adds and one that removes.

    `verbs` are those of `EditWords.verbs` and of `EditWords.moves`, and "unknown" ones.
    """
    kind = rng.random()
    if kind < 0.3:
        text = _render(rng.choice(clauses.exchanging), verbs, rng)
    elif kind < 0.65:
        text = _render(rng.choice(rng.choice((clauses.adding, clauses.removing))), verbs, rng)
    else:
        some = (clauses.adding, clauses.removing)
        both = [_render(rng.choice(clause), verbs, rng) for clause in some]
        rng.shuffle(both)
        text = rng.choice(clauses.joints).join(both)
    return text[0].upper() + text[1:] + rng.choice((".", ".", "", "", "!"))


def _render(clause: str, verbs: Mapping[str, Sequence[Sequence[str]]], rng: random.Random) -> str:
    """Fill the fields of a clause with slots, verbs and agreeing words.

    An agreeing word agrees with the objects before it, or with the next ones if it comes first.
    """
    numbers = iter(
        [rng.choices(_NUMBERS, _ODDS)[0] for _ in range(len(_FIELD.findall(clause)) + 1)]
    )
    number = upcoming = next(numbers)

    def replace(found: re.Match) -> str:
        nonlocal number, upcoming
        if found[1] in _VERBS:
            field = found[1] if number == 1 else _AGREEING_VERBS.get(found[1], found[1])
            sense, form = _VERBS[field]
            return rng.choice(verbs[sense])[form]
        if found[1] not in _OBJECTS:
            return _AGREEING[found[1]][0 if number == 1 else 1]
        number, upcoming = upcoming, next(numbers)
        return _listed(found[1], number, rng)

    return _FIELD.sub(replace, clause)


def _listed(field: str, count: int, rng: random.Random) -> str:
    determiners: Sequence[str] = _DETERMINERS.get(field, ("",))
    if rng.random() < 0.7:  # usually all objects have the same determiner
        determiners = (rng.choice(determiners),)
    items = [f"{rng.choice(determiners)} {_OBJECTS[field]}".strip() for _ in range(count)]
    if count == 1:
        return items[0]
    last = rng.choice((" and ", " and ", ", ", ", and ", *_RARE_JOINTS))
    middle = rng.choice((", ", ", ", " and "))
    return middle.join(items[:-1]) + last + items[-1]
