"""Alter captions so that they no longer fit their image, as hard negatives (NegCLIP).

"a red mug and a blue lamp" becomes "a blue mug and a red lamp". Yuksekgonul et al., "When and Why
Vision-Language Models Behave like Bags-of-Words, and What to Do About It", ICLR 2023,
https://arxiv.org/abs/2210.01936, section 4: without such negatives, a contrastive model learns
which words a caption has, but not how they belong together. The paper exchanges words of one part
of speech, which may leave a caption true. Here lists of words exchange colours and replace words of
place and number, so that the altered caption is false.
"""

import re
from collections.abc import Sequence
from itertools import combinations

from numpy.random import Generator

from cir.core.english import article

COLOURS = frozenset(
    "red orange yellow green teal blue purple pink brown white black grey gray silver gold golden "
    "beige violet turquoise tan".split()
)
_OPPOSITES = (
    ("left", "right"),
    ("above", "below"),
    ("over", "under"),
    ("top", "bottom"),
    ("upper", "lower"),
    ("inside", "outside"),
)
OPPOSITE = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}
NUMBERS = ("two", "three", "four", "five")
_WORD = re.compile(r"[^\W\d_]+")
_ARTICLE = re.compile(r"\b(a|an) (?=([^\W\d_]+))")


def altered(caption: str, rng: Generator) -> list[str]:
    """Return the caption altered in every possible way, at most three.

    Two of its colours are exchanged, the first word of place becomes its opposite, or the first
    number another. The colours and the new number are drawn.
    """
    words = list(_WORD.finditer(caption))
    ways = []
    coloured = [word for word in words if word[0].lower() in COLOURS]
    pairs = [(a, b) for a, b in combinations(coloured, 2) if a[0].lower() != b[0].lower()]
    if pairs:
        one, other = pairs[int(rng.integers(len(pairs)))]
        ways.append({one: other[0], other: one[0]})
    for word in words:
        if word[0].lower() in OPPOSITE:
            ways.append({word: OPPOSITE[word[0].lower()]})
            break
    for word in words:
        if word[0].lower() in NUMBERS:
            others = [number for number in NUMBERS[:2] if number != word[0].lower()]
            ways.append({word: others[int(rng.integers(len(others)))]})
            break
    return [_with(caption, changes) for changes in ways]


def _with(caption: str, changes: dict[re.Match, str]) -> str:
    """Replace words of the caption, and correct its articles."""
    parts, end = [], 0
    for word, new in sorted(changes.items(), key=lambda change: change[0].start()):
        parts += [caption[end : word.start()], new]
        end = word.end()
    changed = "".join([*parts, caption[end:]])
    return _ARTICLE.sub(lambda found: f"{article(found[2])} ", changed)


def altered_captions(
    captions: Sequence[Sequence[str]], rng: Generator
) -> tuple[list[str], list[tuple[int, str, int]]]:
    """Alter the captions of B images in every way, without results that describe one of them.

    Returns:
        The altered captions, and for each the number of its image, its original and its number.
    """
    true = {text for own in captions for text in own}
    wrong: list[str] = []
    of: list[tuple[int, str, int]] = []
    for number, own in enumerate(captions):
        for text in own:
            for other in altered(text, rng):
                if other not in true:
                    of.append((number, text, len(wrong)))
                    wrong.append(other)
    return wrong, of
