"""Whether captions are true, where it is known which objects an image shows.

What is judged: the names of objects that some image of the set shows ("red mug", "watering can"),
those with their first words left out ("mug", "can"), one of the first words before what is known
without one ("green mug", though no mug of the set is green), and the plurals of all of these. Of
what is named, a number before it can be judged as well. Capital letters make no difference. Where
the objects are, what they do and all other words are not judged.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cir.core.english import plural

_ARTICLES = ("a", "an")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_VALUES = {word: value for value, word in enumerate(_NUMBERS, 1)}


@dataclass(frozen=True)
class _Mention:
    """A name or kind, the number before it (None: none, or an article), and whether it is shown."""

    what: str
    number: int | None

    def times(self, shown: Sequence[str]) -> int:
        return sum(f" {name}".lower().endswith(f" {self.what}") for name in shown)

    def is_named_rightly(self, shown: Sequence[str]) -> bool:
        return self.times(shown) > 0

    def is_counted_rightly(self, shown: Sequence[str]) -> bool:
        times = self.times(shown)
        return times > 0 if self.number is None else times == self.number


def share_naming_what_is_shown(
    captioned: Iterable[tuple[str, Sequence[str]]], objects: Mapping[str, Sequence[str]]
) -> float | None:
    """The share of captions that name no object, and no kind of object, which is not shown.

    `captioned` are images with their captions, `objects` what each image of the set shows, one
    entry for each object. A kind ("a boat") is shown if some shown name ends with it; of names
    within names the longest counts. None if there is no caption of an image whose objects are
    known; images without any are left out.
    """
    return _share(captioned, objects, _Mention.is_named_rightly)


def share_true(
    captioned: Iterable[tuple[str, Sequence[str]]], objects: Mapping[str, Sequence[str]]
) -> float | None:
    """The share of captions whose names, kinds and numbers are all right.

    As `share_naming_what_is_shown`; besides, a number from one to ten or in digits right before a
    name or kind must be that of such objects shown. An article, a plural without a number and no
    word at all ask for at least one, each mention by itself. None also if no image of the set
    shows an object twice: then numbers are not known.
    """
    if all(len(set(shown)) == len(shown) for shown in objects.values()):
        return None
    return _share(captioned, objects, _Mention.is_counted_rightly)


def _share(
    captioned: Iterable[tuple[str, Sequence[str]]],
    objects: Mapping[str, Sequence[str]],
    is_right: Callable[[_Mention, Sequence[str]], bool],
) -> float | None:
    mentions = _Reader({name for shown in objects.values() for name in shown})
    judged = [
        all(is_right(mention, objects[image]) for mention in mentions(caption))
        for image, captions in captioned
        if objects[image]
        for caption in captions
    ]
    return sum(judged) / len(judged) if judged else None


class _Reader:
    """Finds what captions name, of the names that are known."""

    def __init__(self, names: Iterable[str]):
        known = sorted({name.lower() for name in names})
        self._names = {ending for name in known for ending in _endings(name)}
        self._kinds = {kind for name in known for kind in _endings(name)[1:2]}
        firsts = {name.split()[0] for name in known if len(_endings(name)) > 1}
        # A singular that is the plural of another name is still itself.
        self._forms = {plural(name): name for name in sorted(self._names)}
        self._forms |= {name: name for name in self._names}
        number = _one_of((*_ARTICLES, *_NUMBERS)) + r"|\d+"
        self._pattern = re.compile(
            rf"\b(?:({number})\s+)?(?:({_one_of(self._forms)})|({_one_of(firsts)})\s+"
            rf"({_one_of(self._forms)}))\b"
        )

    def __call__(self, caption: str) -> list[_Mention]:
        if not self._forms:
            return []
        text = " ".join(caption.lower().split())
        return [self._mention(*found.groups()) for found in self._pattern.finditer(text)]

    def _mention(
        self, before: str | None, plain: str | None, first: str | None, kind: str | None
    ) -> _Mention:
        what = self._forms[plain or kind]
        if first is not None and what in self._kinds:
            what = f"{first} {what}"
        number = before or ""
        return _Mention(what, int(number) if number.isdecimal() else _VALUES.get(number))


def _endings(name: str) -> list[str]:
    """ "red cup of tea" → "red cup of tea", "cup of tea": what a kind is made of stays with it."""
    head, *rest = re.split(r"(?=\s(?:of|with|on|in)\s)", name, maxsplit=1)
    words = head.split()
    return [" ".join(words[start:]) + "".join(rest) for start in range(len(words))]


def _one_of(words: Iterable[str]) -> str:
    """An expression for any of these words, the longest first; for none of none."""
    return "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))) or r"(?!)"
