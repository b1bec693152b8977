"""Draw the training triplets of a published dataset by its own rule."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from cir.core.errors import UserError
from cir.core.records import Triplet


class TrainingPairs(ABC):
    """Training triplets drawn by the dataset's own rule; the same seed gives the same triplets.

    `images` has the path of every image that a triplet may name.
    """

    name: str
    images: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of triplets in an epoch."""

    @abstractmethod
    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number`, from 0, of an epoch; the order of the calls does not matter."""

    @abstractmethod
    def without(self, absent: Set[str]) -> "TrainingPairs":
        """Return the pairs that can be made without these images."""

    def epoch(self, seed: int, epoch: int) -> Iterator[Triplet]:
        """Return the triplets of an epoch in order."""
        return (self.pair(seed, epoch, number) for number in range(len(self)))

    def texts(self) -> Iterator[str]:
        """Return texts that have every word of any triplet; by default the texts of an epoch."""
        return (triplet.text for triplet in self.epoch(0, 0))


def drawn(size: int, seed: int, epoch: int, number: int) -> int:
    """Return item `number` of the epoch's random order of `size` items."""
    assert 0 <= number < size, f"number {number} of {size}"
    return int(_order(size, seed, epoch)[number])


@lru_cache(maxsize=16)
def _order(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(size)


@dataclass(frozen=True)
class Listed:
    """A triplet from a file; its text is drawn uniformly from `texts`."""

    reference: str
    target: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class ListedPairs(TrainingPairs):
    """The triplets of a file: an epoch shows each once, in a new order."""

    name: str
    triplets: tuple[Listed, ...]
    images: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.triplets:
            raise UserError(f"{self.name} has no triplets")

    def __len__(self) -> int:
        return len(self.triplets)

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number` of an epoch."""
        chosen = self.triplets[drawn(len(self), seed, epoch, number)]
        texts = chosen.texts
        text = texts[np.random.default_rng((seed, epoch, number)).integers(len(texts))]
        return Triplet(f"{epoch}-{number}", chosen.reference, text, chosen.target)

    def texts(self) -> Iterator[str]:
        """Return all texts of the file."""
        return (text for triplet in self.triplets for text in triplet.texts)

    def without(self, absent: Set[str]) -> "ListedPairs":
        """Return the triplets that need none of these images."""
        kept = tuple(t for t in self.triplets if not {t.reference, t.target} & absent)
        images = {name: path for name, path in self.images.items() if name not in absent}
        lost = len(self.triplets) - len(kept)
        note = f"{lost:,} of {len(self):,} triplets are left out: their images are absent or broken"
        return replace(self, triplets=kept, images=images, notes=(*self.notes, note))


@dataclass(frozen=True)
class JoinedPairs(TrainingPairs):
    """Several parts joined: an epoch shows every triplet of every part, in one new order."""

    parts: tuple[TrainingPairs, ...]

    @property
    def name(self) -> str:
        """Return the names of the parts."""
        return ", ".join(part.name for part in self.parts)

    @property
    def images(self) -> Mapping[str, Path]:
        """Return the paths of the images of all parts."""
        return {name: path for part in self.parts for name, path in part.images.items()}

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number` of an epoch."""
        place = drawn(len(self), seed, epoch, number)
        for part in self.parts:
            if place < len(part):
                return replace(part.pair(seed, epoch, place), id=f"{epoch}-{number}")
            place -= len(part)
        raise AssertionError("a place beyond the last part")

    def texts(self) -> Iterator[str]:
        """Return triplet `number` of an epoch."""
        return (text for part in self.parts for text in part.texts())

    def without(self, absent: Set[str]) -> "JoinedPairs":
        """Return every part without these images."""
        return JoinedPairs(tuple(part.without(absent) for part in self.parts))
