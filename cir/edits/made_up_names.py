"""Object names for training: real ones, mixtures of them, and words that do not exist."""

import random
from collections import defaultdict
from collections.abc import Sequence

from cir.core.english import plural
from cir.edits.expansion import COLOURS, SHADES
from cir.edits.reading.templates import split_words


class WordMaker:
    """Makes up words that look like the given ones: each letter follows from the two before."""

    def __init__(self, words: Sequence[str]):
        self._next: dict[str, list[str]] = defaultdict(list)
        for word in words:
            padded = f"^^{word.lower()}$"
            for start in range(len(padded) - 2):
                self._next[padded[start : start + 2]].append(padded[start + 2])

    def __call__(self, rng: random.Random) -> str:
        while True:  # the given words themselves may come out, so this ends
            word = "^^"
            while len(word) < 14 and not word.endswith("$"):
                word += rng.choice(self._next[word[-2:]])
            if len(word) >= 6 and word.endswith("$"):
                return word[2:-1]


class NameMaker:
    """Makes an object name.

    Args:
        names: object names of the training side.
        others: words that elsewhere belong to no object; now and then one is used as a name
            ("the thing", "the message"), so that the place in the sentence decides.
        made_up: share of names put together from made-up and other words.
        coloured: share of names with a colour in front.
    """

    def __init__(
        self, names: Sequence[str], others: Sequence[str], made_up: float, coloured: float
    ):
        self._names = list(names)
        self._parts = sorted({part for name in names for part in split_words(name)})
        self._others = list(others)
        self.made_up_word = WordMaker(self._parts)
        self._made_up = made_up
        self._coloured = coloured

    def __call__(self, rng: random.Random) -> str:
        if rng.random() >= self._made_up:
            name = rng.choice(self._names)
        else:
            count = rng.choices((1, 2, 3), (6, 4, 0.5))[0]
            name = " ".join(self._word(rng) for _ in range(count))
        if rng.random() < self._coloured:
            shade = rng.choice(SHADES) + " " if rng.random() < 0.1 else ""
            name = f"{shade}{rng.choice(COLOURS)} {name}"
        return plural(name) if rng.random() < 0.1 else name

    def _word(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.55:
            return self.made_up_word(rng)
        return rng.choice(self._parts if kind < 0.95 or not self._others else self._others)
