"""What is kept back from training: some templates, and names of which no word is ever seen."""

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cir.core.english import plural
from cir.edits.reading.templates import Template, split_words


def split_templates(
    templates: Sequence[Template], validation: float, test: float, seed: int
) -> dict[str, list[Template]]:
    """Split into train, validation and test, alike in style and in numbers of objects.

    Templates are sorted by additions, removals and style, in random order where these agree, and
    the held-out ones are taken at even distances: a kind of edit with more templates than one
    such distance is in every part.
    """
    rng = random.Random(f"templates {seed}")
    shuffled = rng.sample(list(templates), len(templates))
    ordered = sorted(shuffled, key=lambda item: (item.additions, item.removals, item.style))
    is_test = _evenly(len(ordered), test, rng.random())
    rest = [item for item, held in zip(ordered, is_test, strict=True) if not held]
    is_validation = _evenly(len(rest), validation / (1 - test), rng.random())
    return {
        "train": [item for item, held in zip(rest, is_validation, strict=True) if not held],
        "validation": [item for item, held in zip(rest, is_validation, strict=True) if held],
        "test": [item for item, held in zip(ordered, is_test, strict=True) if held],
    }


def _evenly(count: int, share: float, start: float) -> list[bool]:
    marks = [math.floor(start + share * number) for number in range(count + 1)]
    return [later > earlier for earlier, later in itertools.pairwise(marks)]


def split_names(
    names: Sequence[str], fixed: Iterable[str], test: float, seed: int
) -> dict[str, list[str]]:
    """Hold out names no word of which occurs in a training sentence, singular or plural.

    Names that share a word stay together, and a name that shares one with the `fixed` texts, which
    occur in training whatever is held out, is for training: "wine bottle" is never held out while
    "bottle" is trained on.
    """
    known = {word for text in fixed for word in _known_words(text)}
    groups = [group for group in _groups_by_word(names) if not known & group.words]
    random.Random(f"names {seed}").shuffle(groups)
    wanted = round(test * len(names))
    held: set[str] = set()
    for group in groups:
        if len(held) + len(group.names) <= wanted:
            held |= group.names
    return {
        "train": [name for name in names if name not in held],
        "test": [name for name in names if name in held],
    }


@dataclass
class _Group:
    names: set[str]
    words: set[str]


def _groups_by_word(names: Iterable[str]) -> list[_Group]:
    """Names linked by common words, directly or through other names, in the order given."""
    group_of: dict[str, _Group] = {}
    for name in names:
        merged = _Group({name}, _known_words(name))
        for word in sorted(merged.words):
            if word in group_of:
                merged.names |= group_of[word].names
                merged.words |= group_of[word].words
        group_of.update(dict.fromkeys(merged.words, merged))
    return list({id(group): group for group in group_of.values()}.values())


def _known_words(text: str) -> set[str]:
    words = {part for word in split_words(text.lower()) for part in (word, *word.split("-"))}
    return {form for word in words if word.isalnum() for form in (word, plural(word))}
