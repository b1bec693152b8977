"""Split a sentence into words, each of which gets one label.

Expansion, training and inference all use this splitter.
"""

import re
from collections.abc import Sequence

LABELS = ("other", "pos", "neg")  # of a word: neither, of an object to add, of one to remove

# A word is a run of anything that is neither space nor punctuation, so that the combining vowels
# of Indic scripts stay inside their words. Hyphens and apostrophes inside a word belong to it.
_MARKS = (
    r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u303f\uff01-\uff0f\uff1a-\uff20"
)
_WORD = rf"[^\s{_MARKS}]+"
_TOKEN = re.compile(rf"{_WORD}(?:(?:['’]-?|-){_WORD})*|\S")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find the words and punctuation marks of `text`, as (start, end) positions.

    "wi-fi", "T-shirt" and "don't" are one word each; every other mark is a word of its own.
    """
    return [match.span() for match in _TOKEN.finditer(text)]


def split_words(text: str) -> list[str]:
    """Split `text` into its words and punctuation marks (see `word_spans`)."""
    return _TOKEN.findall(text)


def spans_of(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Find runs of the label "pos" or "neg", as (label, first word, word after the last)."""
    spans = []
    start = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            if labels[start] != "other":
                spans.append((labels[start], start, end))
            start = end
    return spans
