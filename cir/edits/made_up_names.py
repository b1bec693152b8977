"""Make object names for training: real names, mixtures of their words, and invented words."""

import random
from collections import defaultdict
from collections.abc import Sequence

from cir.core.english import FUNCTION_WORDS, article, plural
from cir.edits.expansion import coloured_name
from cir.edits.params import Varied
from cir.edits.reading.pieces import ENDINGS
from cir.edits.words import EditWords, words_of

_LENGTHS, _ODDS = (1, 2, 3, 4), (5, 4, 1.5, 0.5)  # words of a made-up name, and their odds
_PREPOSITIONS = ("of", "of", "of", "with", "for", "for", "in", "on", "from", "without", "to")
_OWN_DETERMINERS = ("a", "a", "a", "an", "the", "its", "his", "her", "two", "three", "a few", "")
_KNOWN = 0.6  # share of real names among the things in a part of a name
_SELDOM, _OFTEN = 0.05, 0.12  # shares of "with a flag" among the parts of names
_FOR_USERS = 0.12  # share of "for two" among the parts with a preposition
_SHORT = 2  # words of a name that may get a part
_WHOLE = 0.15  # share of whole long names among those that are not made up


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
    """Makes object names, as docs/tagger.md tells what is part of a name.

    Args:
        names: object names of the training side.
        others: words that are no objects in other sentences ("thing", "punch"). Sometimes one of
            them is used in a name, so that its place in the sentence decides.
        words: their name_parts, and describing words, which stand inside names only.
        strength: its shares made_up, coloured and extended.
    """

    def __init__(
        self, names: Sequence[str], others: Sequence[str], words: EditWords, strength: Varied
    ):
        self._names = list(names)
        self._short = [name for name in names if len(name.split()) <= _SHORT]
        self._words = sorted(words_of(names) - FUNCTION_WORDS)
        self._whole = words.name_parts["whole"]
        self._whole_without_with = [name for name in self._whole if " with" not in name]
        self._others = list(others)
        self._parts = words.name_parts
        self._inside = [*words.describing, *words.name_parts["modifiers"]]
        self.made_up_word = WordMaker(self._words)
        self._strength = strength

    def __call__(self, rng: random.Random, with_between: bool = False) -> str:
        """Make a name; `with_between` tells that "with" stands between names of the sentence.

        There a name has seldom a "with" of its own: in "swap the cat with a dog" it joins two.
        """
        made_up = rng.random() < self._strength.made_up
        if not made_up and rng.random() < _WHOLE:
            whole = rng.choice(self._whole_without_with if with_between else self._whole)
            return coloured_name(whole, self._strength.coloured, rng)
        name = self._compose(rng) if made_up else rng.choice(self._names)
        if rng.random() < 0.1:
            name = plural(name)
        if len(name.split()) <= _SHORT and rng.random() < self._strength.extended:
            name = self._extend(name, _SELDOM if with_between else _OFTEN, rng)
        return coloured_name(name, self._strength.coloured, rng)

    def _compose(self, rng: random.Random) -> str:
        return " ".join(self._word(rng) for _ in range(rng.choices(_LENGTHS, _ODDS)[0]))

    def _extend(self, name: str, with_share: float, rng: random.Random) -> str:
        """Put parts before and after a name: "woven", "a stack of", "wearing a tiny hat"."""
        before, after = rng.choice(((0, 1), (0, 1), (1, 0), (1, 1), (2, 0)))
        for _ in range(before):
            name = f"{self._modifier(rng)} {name}"
        if not after:
            return name
        if rng.random() < 0.25:
            return f"{rng.choice(self._parts['holders'])} of {self._things(name, rng)}"
        return f"{name} {self._part(with_share, rng)}"

    def _modifier(self, rng: random.Random) -> str:
        if rng.random() < 0.2:
            return f"{self._word(rng)}-{rng.choice(self._parts['joined'])}"
        return rng.choice(self._parts["modifiers"])

    def _part(self, with_share: float, rng: random.Random) -> str:
        """Make the part of a name that follows its noun.

        "In" and "on" get no determiner here, because with one they tell a place.
        """
        thing = self._thing(rng)
        if rng.random() < with_share:
            return f"{rng.choice(('with', 'with', 'without'))} {self._determined(thing, rng)}"
        kind = rng.random()
        if kind < 0.2:
            does = rng.choice(self._parts["does"])
            return (
                f"that {does} {self._things(thing, rng)}" if rng.random() < 0.7 else f"that {does}"
            )
        if kind < 0.42:
            if rng.random() < _FOR_USERS:
                return f"for {rng.choice(self._parts['users'])}"
            return f"{rng.choice(_PREPOSITIONS)} {self._things(thing, rng)}"
        if kind < 0.66:
            return f"{rng.choice(self._parts['doing'])} {self._determined(thing, rng)}"
        joined = rng.choice(self._parts["participles"])
        if rng.random() < 0.2:  # an unknown participle
            joined = f"{self.made_up_word(rng)[:7]}ed {joined.split()[-1]}"
        some = self._determined if rng.random() < 0.3 else self._things
        return f"{joined} {some(thing, rng)}"

    def _thing(self, rng: random.Random) -> str:
        return rng.choice(self._short) if rng.random() < _KNOWN else self._word(rng)

    def _things(self, name: str, rng: random.Random) -> str:
        if rng.random() < 0.35:
            name = f"{rng.choice(self._inside)} {name}"
        return plural(name) if rng.random() < 0.6 else name

    def _determined(self, name: str, rng: random.Random) -> str:
        if rng.random() < 0.4:
            name = f"{rng.choice(self._inside)} {name}"
        determiner = rng.choice(_OWN_DETERMINERS)
        if determiner in ("a", "an"):
            determiner = article(name)
        elif determiner not in ("the", "its", "his", "her"):
            name = plural(name)
        return f"{determiner} {name}".strip()

    def _word(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.4:
            return self.made_up_word(rng)
        if kind < 0.5:  # names have endings of all kinds: "security", "punching"
            return self.made_up_word(rng)[:5] + rng.choice(ENDINGS)
        return rng.choice(self._words if kind < 0.85 or not self._others else self._others)
