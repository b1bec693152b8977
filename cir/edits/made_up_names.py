"""Make object names for training: real names, mixtures of their words, and invented words."""

import random
from collections import defaultdict
from collections.abc import Sequence

from cir.core.english import plural
from cir.edits.expansion import coloured_name
from cir.edits.words import words_of


class WordMaker:
    """Invents words that look like the given words: two letters determine the choices of the next.

    This is a Markov chain of order two over letters.
    """

    def __init__(self, words: Sequence[str]):
        self._next: dict[str, list[str]] = defaultdict(list)
        for word in words:
            padded = f"^^{word.lower()}$"
            for start in range(len(padded) - 2):
                self._next[padded[start : start + 2]].append(padded[start + 2])

    def __call__(self, rng: random.Random) -> str:
        while True:  # this ends, because one of the given words may come out
            word = "^^"
            while len(word) < 14 and not word.endswith("$"):
                word += rng.choice(self._next[word[-2:]])
            if len(word) >= 6 and word.endswith("$"):
                return word[2:-1]


class NameMaker:
    """Makes object names.

    Args:
        names: object names of the training side.
        others: words that are no objects in other sentences ("thing", "message"). Sometimes one of
            them is used as a name, so that its place in the sentence decides.
        made_up: share of names made of invented and other words.
        coloured: share of names with a colour in front.
    """

    def __init__(
        self, names: Sequence[str], others: Sequence[str], made_up: float, coloured: float
    ):
        self._names = list(names)
        self._parts = sorted(words_of(names))
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
        name = coloured_name(name, self._coloured, rng)
        return plural(name) if rng.random() < 0.1 else name

    def _word(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.55:
            return self.made_up_word(rng)
        return rng.choice(self._parts if kind < 0.95 or not self._others else self._others)
