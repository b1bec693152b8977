"""Make object names for training: real names, mixtures of their words, and invented words."""

import random
from collections import defaultdict
from collections.abc import Sequence

from cir.core.english import FUNCTION_WORDS, plural
from cir.edits.expansion import coloured_name
from cir.edits.reading.pieces import ENDINGS
from cir.edits.words import words_of

# "Solar-powered" and "robot that folds towels": what joins the words of long names.
_JOINED_TO = (
    *("painted", "powered", "shaped", "lined", "sized", "framed", "carved", "woven", "topped"),
    *("mounted", "controlled", "style", "themed", "proof", "free", "friendly", "handled"),
)
_DOES = (
    *("folds", "holds", "plays", "spins", "glows", "sings", "shows", "makes", "carries", "waters"),
    *("cleans", "tells", "opens", "lights up", "walks", "floats", "looks like", "turns into"),
)
_PREPOSITIONS = ("of", "of", "of", "with", "with", "for", "in", "on", "from", "with a", "without")
_LENGTHS, _ODDS = (1, 2, 3, 4), (5, 4, 1.5, 0.5)  # words of a made-up name, and their odds


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
        others: words that are no objects in other sentences ("thing", "punch"). Sometimes one of
            them is used in a name, so that its place in the sentence decides.
        made_up: share of names made of invented and other words.
        coloured: share of names with a colour in front.
        extended: share of the made-up names with a part such as "of glass beads" or "that sings".
    """

    def __init__(
        self,
        names: Sequence[str],
        others: Sequence[str],
        made_up: float,
        coloured: float,
        extended: float,
    ):
        self._names = list(names)
        self._parts = sorted(words_of(names) - FUNCTION_WORDS)
        self._others = list(others)
        self.made_up_word = WordMaker(self._parts)
        self._made_up = made_up
        self._coloured = coloured
        self._extended = extended

    def __call__(self, rng: random.Random) -> str:
        name = rng.choice(self._names) if rng.random() >= self._made_up else self._compose(rng)
        name = coloured_name(name, self._coloured, rng)
        return plural(name) if rng.random() < 0.1 else name

    def _compose(self, rng: random.Random) -> str:
        words = [self._word(rng) for _ in range(rng.choices(_LENGTHS, _ODDS)[0])]
        if rng.random() < self._extended / 2:
            words[0:0] = [f"{self._word(rng)}-{rng.choice(_JOINED_TO)}"]
        if rng.random() < self._extended:
            words += self._extension(rng)
        return " ".join(words)

    def _extension(self, rng: random.Random) -> list[str]:
        """Make the part of a name that follows its noun; it has no determiner of its own."""
        thing = [self._word(rng) for _ in range(rng.choice((1, 1, 2)))]
        if rng.random() < 0.6:
            thing[-1] = plural(thing[-1])
        if rng.random() < 0.25:
            return ["that", rng.choice(_DOES), *(thing if rng.random() < 0.7 else ())]
        return [rng.choice(_PREPOSITIONS), *thing]

    def _word(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.4:
            return self.made_up_word(rng)
        if kind < 0.5:  # names have endings of all kinds: "security", "punching"
            return self.made_up_word(rng)[:5] + rng.choice(ENDINGS)
        return rng.choice(self._parts if kind < 0.85 or not self._others else self._others)
