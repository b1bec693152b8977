"""Define requests for drawn scenes: their words, and how well a scene answers.

A request consists of facts: an object is there, it has its colour, there is a number of it, it is
at a place. The grade of a scene is the share of the facts that hold, in quarters: FULL (4) for all,
0 for none.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import ClassVar

from numpy.random import Generator

from cir.datasets.scenes import colour_of, kind_of
from cir.text_search.data.wording import counted, related, with_article

Cells = tuple[str, ...]
FULL = 4


def shown(cells: Cells) -> list[str]:
    """Return the names in a scene cell by cell, repeated ones too."""
    return [name for name in cells if name]


class Request(ABC):
    """A request that a scene answers or not; `kind` groups its results."""

    kind: ClassVar[str]

    @abstractmethod
    def facts(self, cells: Cells) -> list[bool]:
        """Return for each fact of the request whether it holds in the scene."""

    def grade(self, cells: Cells) -> int:
        """Return how well a scene answers, from 0 to FULL; FULL only if every fact holds."""
        held = self.facts(cells)
        return FULL if all(held) else min(round(FULL * sum(held) / len(held)), FULL - 1)

    def nearly(self, cells: Cells) -> bool:
        """Return whether a scene shows the objects of an answer in another way than requested."""
        return False

    @abstractmethod
    def text(self, rng: Generator) -> str:
        """Return the request in words, in one of a few forms."""

    def pairs(self) -> Set[frozenset[str]]:
        """Return the pairs of names that the request asks for together."""
        return frozenset()


@dataclass(frozen=True)
class OneObject(Request):
    """A coloured object."""

    kind = "one object"
    name: str

    def facts(self, cells):
        return _object(self.name, cells)

    def text(self, rng):
        return _one_of(rng, [self.name, with_article(self.name)])


@dataclass(frozen=True)
class Pair(Request):
    """Two objects, each with its colour."""

    kind = "colours of a pair"
    one: str
    other: str

    def facts(self, cells):
        return _object(self.one, cells) + _object(self.other, cells)

    def nearly(self, cells):
        """Return whether the colours are exchanged."""
        swapped = {
            f"{colour_of(self.other)} {kind_of(self.one)}",
            f"{colour_of(self.one)} {kind_of(self.other)}",
        }
        return swapped <= set(cells) and not {self.one, self.other} & set(cells)

    def text(self, rng):
        return f"{with_article(self.one)} and {with_article(self.other)}"

    def pairs(self):
        return {frozenset((self.one, self.other))}


@dataclass(frozen=True)
class PairOfKinds(Request):
    """Two objects of any colours."""

    kind = "pair of objects"
    one: str
    other: str

    def facts(self, cells):
        kinds = [kind_of(name) for name in cells]
        return [self.one in kinds, self.other in kinds]

    def text(self, rng):
        return f"{with_article(self.one)} and {with_article(self.other)}"


@dataclass(frozen=True)
class Count(Request):
    """A number of a coloured object."""

    kind = "count"
    name: str
    times: int

    def facts(self, cells):
        return [*_object(self.name, cells), cells.count(self.name) == self.times]

    def nearly(self, cells):
        """Return whether there is another number of the object."""
        return self.name in cells and cells.count(self.name) != self.times

    def text(self, rng):
        return counted(self.name, self.times)


@dataclass(frozen=True)
class Place(Request):
    """A coloured object left of, right of, above or below another."""

    kind = "place"
    one: str
    relation: str
    other: str

    def holds(self, cells: Cells) -> bool:
        """Return whether some instance of `one` has the relation to some instance of `other`."""
        return any(
            related(self.relation, here, there)
            for here, name in enumerate(cells)
            for there, other in enumerate(cells)
            if (name, other) == (self.one, self.other)
        )

    def facts(self, cells):
        return [*_object(self.one, cells), *_object(self.other, cells), self.holds(cells)]

    def nearly(self, cells):
        """Return whether both objects are there in other places."""
        return {self.one, self.other} <= set(cells) and not self.holds(cells)

    def text(self, rng):
        return f"{with_article(self.one)} {self.relation} {with_article(self.other)}"

    def pairs(self):
        return {frozenset((self.one, self.other))}


def _object(name: str, cells: Cells) -> list[bool]:
    """Return whether the object is there in any colour, and whether in its own."""
    return [kind_of(name) in map(kind_of, cells), name in cells]


def _one_of(rng: Generator, ways: Sequence[str]) -> str:
    return ways[int(rng.integers(len(ways)))]
