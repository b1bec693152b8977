"""Judge whether captions are true of images whose objects are known.

A caption mentions an object by a name that some image of the set shows ("red mug", "watering
can"), by such a name without its first words ("mug", "can"), by the first word of one name before
the kind of another ("green mug", although no mug of the set is green), or by a plural of these. A
number before a mention can be judged too. Upper and lower case are equal. Places, actions and all
other words are not judged.
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
    """A mention of a name or kind; `number` is the number before it, None if not given."""

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
    """Return the share of captions that only mention objects that their image shows.

    `captioned` holds images with their captions, `objects` the objects that each image of the set
    shows, one entry for each object. A kind ("a boat") is shown if a shown name ends with it. Of
    names within names the longest counts. Images without known objects are left out; None if no
    caption is left.
    """
    return _share(captioned, objects, _Mention.is_named_rightly)


def share_true(
    captioned: Iterable[tuple[str, Sequence[str]]], objects: Mapping[str, Sequence[str]]
) -> float | None:
    """Return the share of captions whose mentions and numbers are right.

    As `share_naming_what_is_shown`; in addition, a number from one to ten or in digits right before
    a mention must be the number of such objects shown. A mention without a number needs at least
    one. None also if no image of the set shows an object twice: numbers are then unknown.
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
    """Finds the mentions in captions, given the known names."""

    def __init__(self, names: Iterable[str]):
        known = sorted({name.lower() for name in names})
        self._names = {ending for name in known for ending in _endings(name)}
        self._kinds = {kind for name in known for kind in _endings(name)[1:2]}
        firsts = {name.split()[0] for name in known if len(_endings(name)) > 1}
        # A name that is also the plural of another name stays a singular.
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
    """Return a name without 0, 1, ... first words: "red cup of tea", "cup of tea".

    A part such as "of tea" stays with its kind.
    """
    head, *rest = re.split(r"(?=\s(?:of|with|on|in)\s)", name, maxsplit=1)
    words = head.split()
    return [" ".join(words[start:]) + "".join(rest) for start in range(len(words))]


def _one_of(words: Iterable[str]) -> str:
    """Return a regular expression for any of the words, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))) or r"(?!)"
