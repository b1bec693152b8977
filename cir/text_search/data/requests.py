"""What can be asked of a drawn scene, how it is said, and how well a scene answers it.

A request is a number of facts: that an object is there, that it has its colour, how many of it
there are, where it stands. The grade of a scene is the share of them that hold, in quarters:
FULL (4) for all, 0 for none.
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
    """The names in a scene, as often as they are there, cell by cell."""
    return [name for name in cells if name]


class Request(ABC):
    """Something that a scene shows or does not show. `kind` is what its results are filed under."""

    kind: ClassVar[str]

    @abstractmethod
    def facts(self, cells: Cells) -> list[bool]:
        """What was asked for, one by one, and whether it holds in a scene."""

    def grade(self, cells: Cells) -> int:
        """How well a scene answers, from 0 to FULL; FULL only where every fact holds."""
        held = self.facts(cells)
        return FULL if all(held) else min(round(FULL * sum(held) / len(held)), FULL - 1)

    def nearly(self, cells: Cells) -> bool:
        """Whether a scene shows the same things as an answer, but otherwise than was asked."""
        return False

    @abstractmethod
    def text(self, rng: Generator) -> str:
        """The request in words, in one of a few ways to say it."""

    def pairs(self) -> Set[frozenset[str]]:
        """The pairs of names that the request brings together."""
        return frozenset()


@dataclass(frozen=True)
class OneObject(Request):
    """A coloured object."""

    kind = "one object"
    name: str

    def facts(self, cells):
        """See Request."""
        return _object(self.name, cells)

    def text(self, rng):
        """See Request."""
        return _one_of(rng, [self.name, with_article(self.name)])


@dataclass(frozen=True)
class Pair(Request):
    """Two objects, each with its colour."""

    kind = "colours of a pair"
    one: str
    other: str

    def facts(self, cells):
        """See Request."""
        return _object(self.one, cells) + _object(self.other, cells)

    def nearly(self, cells):
        """See Request: the colours are exchanged."""
        swapped = {
            f"{colour_of(self.other)} {kind_of(self.one)}",
            f"{colour_of(self.one)} {kind_of(self.other)}",
        }
        return swapped <= set(cells) and not {self.one, self.other} & set(cells)

    def text(self, rng):
        """See Request."""
        return f"{with_article(self.one)} and {with_article(self.other)}"

    def pairs(self):
        """See Request."""
        return {frozenset((self.one, self.other))}


@dataclass(frozen=True)
class PairOfKinds(Request):
    """Two objects of whatever colours."""

    kind = "pair of objects"
    one: str
    other: str

    def facts(self, cells):
        """See Request."""
        kinds = [kind_of(name) for name in cells]
        return [self.one in kinds, self.other in kinds]

    def text(self, rng):
        """See Request."""
        return f"{with_article(self.one)} and {with_article(self.other)}"


@dataclass(frozen=True)
class Count(Request):
    """So many of a coloured object."""

    kind = "count"
    name: str
    times: int

    def facts(self, cells):
        """See Request."""
        return [*_object(self.name, cells), cells.count(self.name) == self.times]

    def nearly(self, cells):
        """See Request: another number of it."""
        return self.name in cells and cells.count(self.name) != self.times

    def text(self, rng):
        """See Request."""
        return counted(self.name, self.times)


@dataclass(frozen=True)
class Place(Request):
    """A coloured object left of, right of, above or below another."""

    kind = "place"
    one: str
    relation: str
    other: str

    def holds(self, cells: Cells) -> bool:
        """Whether some instance of the one is there where the relation wants it of the other."""
        return any(
            related(self.relation, here, there)
            for here, name in enumerate(cells)
            for there, other in enumerate(cells)
            if (name, other) == (self.one, self.other)
        )

    def facts(self, cells):
        """See Request."""
        return [*_object(self.one, cells), *_object(self.other, cells), self.holds(cells)]

    def nearly(self, cells):
        """See Request: they stand otherwise."""
        return {self.one, self.other} <= set(cells) and not self.holds(cells)

    def text(self, rng):
        """See Request."""
        return f"{with_article(self.one)} {self.relation} {with_article(self.other)}"

    def pairs(self):
        """See Request."""
        return {frozenset((self.one, self.other))}


def _object(name: str, cells: Cells) -> list[bool]:
    """Whether the object is there in any colour, and whether in its own."""
    return [kind_of(name) in map(kind_of, cells), name in cells]


def _one_of(rng: Generator, ways: Sequence[str]) -> str:
    return ways[int(rng.integers(len(ways)))]
