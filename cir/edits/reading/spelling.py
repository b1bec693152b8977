"""Find the word of edit sentences that a typing error has hidden."""

from collections.abc import Iterable
from functools import cache

from spellchecker import SpellChecker

_SHORTEST = 4  # letters; a shorter word is one letter away from too many others


class Spelling:
    """Tells which known word was meant by a word that no dictionary has.

    Args:
        words: the words around the objects of edit sentences ("remove", "instead"). No object is
            among them, so the name of an unknown object is respelt only if it looks like one.
    """

    def __init__(self, words: Iterable[str]):
        self._words = frozenset(word.lower() for word in words)

    def __call__(self, word: str) -> str | None:
        """Return the known word that differs in one letter, the most usual of several; or None.

        The letter is left out, put in, changed, or exchanged with its neighbour.
        """
        word = word.lower()
        if not (self._words and word.isascii() and word.isalpha() and len(word) >= _SHORTEST):
            return None
        english = _dictionary()
        if word in self._words or word in english:
            return None
        near = self._words.intersection(english.edit_distance_1(word))
        return max(sorted(near), key=english.word_usage_frequency, default=None)


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en")
