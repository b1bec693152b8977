"""Pair captions that differ in one word, and draw training pairs of their images."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.published.datasets.pairs import TrainingPairs, drawn
from cir.retrieval.ranking.protocol import Text


def _legacy_parents(caption: str) -> list[str]:
    """Delete the letters of each word wherever they stand, also within other words."""
    return [caption.replace(word, "").replace("  ", " ").strip() for word in caption.split()]


def _fixed_parents(caption: str) -> list[str]:
    words = caption.split()
    return [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]


_PARENTS: dict[str, Callable[[str], list[str]]] = {
    "legacy": _legacy_parents,
    "fixed": _fixed_parents,
}


def parents(caption: str, deletion: Literal["legacy", "fixed"]) -> list[str]:
    """Return the different captions that remain when any one word is deleted.

    "legacy" deletes the word as a string, as in TIRG's published code: "a black cat" minus "a" is
    "blck ct". "fixed" deletes only the word.
    """
    return list(dict.fromkeys(_PARENTS[deletion](caption)))


def replacement(source: str, target: str) -> str:
    """Return the text of a query between two captions: "replace <word> with <word>".

    Each word is the first of its caption that the other caption lacks. If there is none, it is the
    caption's last word, as in the published code.
    """
    old, new = source.split(), target.split()
    gone = next((word for word in old if word not in new), old[-1])
    come = next((word for word in new if word not in old), new[-1])
    return f"replace {gone} with {come}"


def query_text(source: str, target: str, text: Text) -> str:
    """Return the text of a query between two captions: a `replacement`, or the target's caption."""
    return replacement(source, target) if text == "the change" else target


def by_caption(captions: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the images of every caption."""
    found: dict[str, list[str]] = {}
    for name, caption in captions.items():
        found.setdefault(caption, []).append(name)
    return found


@dataclass(frozen=True)
class WordPairs(TrainingPairs):
    """Draw pairs of images whose captions share a parent, as TIRG's code does.

    An epoch takes every image as reference, in a new order; a random image replaces one whose
    caption has no sibling. A parent and then a child of it are drawn until the child differs from
    the reference's caption. The target is a random image with that caption.
    """

    name: str
    captions: Mapping[str, str]
    images: Mapping[str, Path]
    deletion: Literal["legacy", "fixed"]
    text: Text = "the change"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(caption in self._families for caption in self._by_caption):
            raise UserError(
                f"{self.name}: none of {len(self._by_caption)} captions becomes another by "
                "exchanging one word, so there are no pairs to train on"
            )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.captions)

    @cached_property
    def _by_caption(self) -> dict[str, list[str]]:
        return by_caption(self.captions)

    @cached_property
    def _families(self) -> dict[str, list[list[str]]]:
        """Return for a caption with siblings the children of each of its parents, with itself."""
        children: dict[str, list[str]] = {}
        for caption in self._by_caption:
            for parent in parents(caption, self.deletion):
                children.setdefault(parent, []).append(caption)
        families: dict[str, list[list[str]]] = {}
        for family in children.values():
            for caption in family if len(family) > 1 else ():
                families.setdefault(caption, []).append(family)
        return families

    def __len__(self) -> int:
        return len(self._names)

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number` of an epoch."""
        rng = np.random.default_rng((seed, epoch, number))
        place = drawn(len(self), seed, epoch, number)
        while (caption := self.captions[self._names[place]]) not in self._families:
            place = rng.integers(len(self))
        families, other = self._families[caption], caption
        while other == caption:
            family = families[rng.integers(len(families))]
            other = family[rng.integers(len(family))]
        targets = self._by_caption[other]
        target = targets[rng.integers(len(targets))]
        text = query_text(caption, other, self.text)
        return Triplet(f"{epoch}-{number}", self._names[place], text, target)

    def texts(self) -> Iterator[str]:
        """Yield all captions, and the text of a query."""
        yield from self._by_caption
        yield replacement(*[next(iter(self._by_caption))] * 2)

    def without(self, absent: Set[str]) -> "WordPairs":
        """Return the pairs among the other images."""
        captions = {name: text for name, text in self.captions.items() if name not in absent}
        images = {name: self.images[name] for name in captions}
        lost = f"{len(self) - len(captions):,} of {len(self):,} images"
        note = f"{lost} are absent or broken and left out"
        return replace(self, captions=captions, images=images, notes=(*self.notes, note))
