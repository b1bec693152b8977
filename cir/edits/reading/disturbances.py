"""Write a sentence as other people or programs would: with typing errors, marks and odd characters.

The edit stays the same, so that a figure with a disturbance can be compared with the one without.
"""

import random
import re
from collections.abc import Callable, Sequence

from cir.edits.reading.word_splitter import word_spans

_QUOTES = (('"', '"'), ("\u201c", "\u201d"), ("'", "'"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb"))
_EMOJI = ("\U0001f642", "\U0001f44d\U0001f3fd", "\u2728", "\U0001f468\u200d\U0001f373")
ARTICLES = re.compile(r"\b(?:an?|the)\s+", re.IGNORECASE)
_NEIGHBOURS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST = 5  # letters of a word that gets a typing error
Names = Sequence[str]


def mistype(word: str, rng: random.Random) -> str:
    """Leave out, double, exchange or miss one letter of a word, but never its first."""
    place = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place] + word[place:]
    if kind == 2:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    row = next((row for row in _NEIGHBOURS if word[place] in row), word[place])
    beside = max(0, min(row.index(word[place]) + rng.choice((-1, 1)), len(row) - 1))
    return word[:place] + row[beside] + word[place + 1 :]


def can_be_mistyped(word: str) -> bool:
    """Return whether a word is long enough that people recognise it with a typing error."""
    return len(word) >= _SHORTEST and word.isalpha() and word.islower()


def _typing_error(text: str, names: Names, rng: random.Random) -> str:
    """Put a typing error into one word outside the names."""
    taken = [range(*found.span()) for found in _places(text, names)]
    words = [
        (start, end)
        for start, end in word_spans(text)
        if can_be_mistyped(text[start:end]) and not any(start in span for span in taken)
    ]
    if not words:
        return text
    start, end = rng.choice(words)
    return text[:start] + mistype(text[start:end], rng) + text[end:]


def _without_marks(text: str, names: Names, rng: random.Random) -> str:
    """Leave out every punctuation mark but the commas of lists, which follow a name."""
    after = {found.end() for found in _places(text, names)}
    last = len(text.rstrip()) - 1
    return "".join(
        letter
        for place, letter in enumerate(text)
        if letter not in ".,;:!?" or (place in after and place != last)
    )


def _without_articles(text: str, names: Names, rng: random.Random) -> str:
    return _outside(text, names, lambda part: ARTICLES.sub("", part))


def _quoted(text: str, names: Names, rng: random.Random) -> str:
    first, last = rng.choice(_QUOTES)
    return _around(text, names, first, last)


def _bold(text: str, names: Names, rng: random.Random) -> str:
    marks = rng.choice(("**", "**", "*", "`", "__"))
    return _around(text, names, marks, marks)


def _dashes(text: str, names: Names, rng: random.Random) -> str:
    """Write a minus, an en dash or a non-breaking hyphen for "-", and dashes between clauses."""
    text = re.sub(r"(?<=\w)-(?=\w)", "\u2011", text).replace("-", rng.choice("\u2212\u2013"))
    return re.sub(r"[;:] |(?<=\w)\. (?=\w)", rng.choice((" \u2013 ", "\u2014", " -- ")), text)


def _typographic(text: str, names: Names, rng: random.Random) -> str:
    """Write apostrophes, ellipses and spaces as word processors do."""
    text = text.replace("'", "\u2019")
    if text.endswith("."):
        text = text[:-1] + "\u2026"
    return text.replace(" ", "\u00a0") if rng.random() < 0.3 else text


def _invisible(text: str, names: Names, rng: random.Random) -> str:
    """Put soft hyphens into long words and zero-width spaces behind words."""
    words = []
    for word in text.split(" "):
        middle = len(word) // 2
        words.append(f"{word[:middle]}\u00ad{word[middle:]}" if len(word) > 3 else f"{word}\u200b")
    return " ".join(words)


def _emoji(text: str, names: Names, rng: random.Random) -> str:
    return f"{_around(text, names, '', ' ' + rng.choice(_EMOJI))} {rng.choice(_EMOJI)}"


DISTURBANCES: dict[str, Callable[[str, Names, random.Random], str]] = {
    "a typing error outside the names": _typing_error,
    "capital letters": lambda text, names, rng: text.upper(),
    "no capital letters": lambda text, names, rng: text.lower(),
    "no punctuation": _without_marks,
    "no articles": _without_articles,
    "names in quotation marks": _quoted,
    "names in bold type": _bold,
    "dashes": _dashes,
    "typographic characters": _typographic,
    "invisible characters": _invisible,
    "emoji": _emoji,
}


def disturb(kind: str, text: str, names: Names, number: int) -> str:
    """Return a sentence with a disturbance of DISTURBANCES.

    Args:
        names: the objects of the edit, as they stand in the sentence in any letter case.
        number: that of the sentence, which decides all random choices.
    """
    return DISTURBANCES[kind](text, names, random.Random(f"{kind} {number}"))


def _places(text: str, names: Names) -> list[re.Match]:
    if not names:
        return []
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return list(re.finditer(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", text, re.IGNORECASE))


def _around(text: str, names: Names, first: str, last: str) -> str:
    for found in reversed(_places(text, names)):
        text = f"{text[: found.start()]}{first}{found[0]}{last}{text[found.end() :]}"
    return text


def _outside(text: str, names: Names, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for found in _places(text, names):
        parts += [change(text[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, change(text[end:])])
