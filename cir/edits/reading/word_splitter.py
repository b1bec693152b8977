"""Split a sentence into words, each of which gets one label.

Expansion, training and inference all use this splitter. It reads a text as a person sees it:
characters that nobody sees, quotation marks, bold type and emoji change nothing, and typographic
apostrophes, dashes and letters count as the plain ones. The places of the words in the user's own
text are kept.
"""

import re
import unicodedata
from collections.abc import Sequence

LABELS = ("other", "pos", "neg")  # of a word: neither, of an object to add, of one to remove

# A word is a run of anything that is neither space nor punctuation, so that the combining vowels
# of Indic scripts stay inside their words. Hyphens and apostrophes inside a word belong to it.
_MARKS = (
    r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u303f\uff01-\uff0f\uff1a-\uff20"
)
_WORD = rf"[^\s{_MARKS}]+"
_TOKEN = re.compile(rf"{_WORD}(?:(?:['’]-?|-){_WORD})*|\S")

# Texts that are read as they are; "_" and "--" excepted.
_PLAIN = re.compile(r"(?:[\w\s.,;:!?()+/%$@=-]|(?<=\w)'(?=\w))*", re.ASCII)
_APOSTROPHES = frozenset("'’‘ʼʹ′´`＇‛")
_HYPHENS = frozenset("-‐‑‒–−﹣－⁃")
_LONG_DASHES = frozenset("—―⸺⸻")
_EMPHASIS = frozenset("*_`~#")  # of Markdown
_QUOTES = frozenset("\"“”„‟«»‹›「」『』〝〞❝❞＂‚'’‘`´")
# Emoji that ask for an edit.
_SIGNS = dict.fromkeys("➕✅✔☑", " + ") | dict.fromkeys("➖❌✖✘✗", " - ")
_TAG = re.compile(r"</?[a-z][a-z0-9]{0,9}(?: [^<>]*)?/?>", re.IGNORECASE)  # of HTML
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufffc")  # letters without a shape


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find the words and punctuation marks in the user's `text`, as (start, end) positions.

    "wi-fi", "T-shirt" and "don't" are one word each; every other mark is a word of its own. What
    `plain` leaves out belongs to no word, unless it stands inside one.
    """
    read, places = plain(text)
    spans = [match.span() for match in _TOKEN.finditer(read)]
    if places is None:
        return spans
    return [(places[start][0], places[end - 1][1]) for start, end in spans]


def split_words(text: str) -> list[str]:
    """Split `text` into its words and punctuation marks (see `word_spans`), in plain characters."""
    return _TOKEN.findall(plain(text)[0])


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


def plain(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """Write a text in plain characters.

    Returns the plain text, and for each of its characters the (start, end) in `text` that it
    comes from; None stands for the same positions.

    Invisible characters vanish. Quotation marks, Markdown's and HTML's marks of emphasis and emoji
    become spaces, but "➕" and "✅" stand for "+", "➖" and "❌" for "-". Typographic apostrophes
    and hyphens become "'" and "-", a long dash " - ", "&" the word "and", an ellipsis a full stop,
    and letters of another form (full-width, bold, ligatures) the usual letters.
    """
    if _PLAIN.fullmatch(text) and "_" not in text and "--" not in text:
        return text, None
    kept: list[str] = []
    places: list[tuple[int, int]] = []
    for place, letter, before, after in _in_context(text):
        if kept and unicodedata.combining(letter):
            composed = unicodedata.normalize("NFC", kept[-1] + letter)
            if len(composed) == 1:  # a letter and its accent
                kept[-1], places[-1] = composed, (places[-1][0], place + 1)
                continue
        written = _written(letter, before, after)
        kept.extend(written)
        places.extend([(place, place + 1)] * len(written))
    return "".join(kept), places


def _in_context(text: str) -> list[tuple[int, str, str, str]]:
    """Return the visible characters, each as (position, character, the one before, after)."""
    text = _TAG.sub(lambda found: " ".ljust(len(found[0]), "\u200b"), text)
    seen = [(place, letter) for place, letter in enumerate(text) if not _invisible(letter)]
    letters = ["", *(letter for _, letter in seen), ""]
    return [
        (place, letter, letters[number], letters[number + 2])
        for number, (place, letter) in enumerate(seen)
    ]


def _invisible(letter: str) -> bool:
    if letter < "\x7f":
        return letter < " " and not letter.isspace()
    hidden = unicodedata.category(letter) in ("Cf", "Cc", "Cn") and not letter.isspace()
    return hidden or letter in _UNSEEN or "\ufe00" <= letter <= "\ufe0f" or letter >= "\U000e0000"


def _written(letter: str, before: str, after: str) -> str:
    """Return the plain characters for one character between two others ("" at the ends)."""
    inside = before.isalnum() and (after.isalnum() or after in _HYPHENS)
    if letter in _APOSTROPHES and inside:
        return "'"
    if letter in _QUOTES or letter in _EMPHASIS:
        return " "
    if letter in _LONG_DASHES:
        return " - "
    if letter in _HYPHENS:
        doubled = "-" in (before, after) and letter == "-"  # "--" stands for a long dash
        return (" - " if before != "-" else " ") if doubled else "-"
    if letter == "&":
        return " and "
    if letter == "…":
        return "."
    if letter in _SIGNS:
        return _SIGNS[letter]
    if letter < "\x7f":
        return letter
    if letter.isspace() or unicodedata.category(letter) in ("So", "Sk", "Zs"):
        return " "
    usual = unicodedata.normalize("NFKC", letter)
    return usual if usual.isalnum() or usual.isascii() else letter  # "½" would be three words
