"""Training triplets of a published dataset, drawn by its own rule."""

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

    `images` tells where every image that a triplet may name lies.
    """

    name: str
    images: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many triplets an epoch has."""

    @abstractmethod
    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Triplet `number`, from 0 to the length, of an epoch; in whatever order asked for."""

    @abstractmethod
    def without(self, absent: Set[str]) -> "TrainingPairs":
        """The pairs that can be made without these images."""

    def epoch(self, seed: int, epoch: int) -> Iterator[Triplet]:
        """The triplets of an epoch in turn."""
        return (self.pair(seed, epoch, number) for number in range(len(self)))

    def texts(self) -> Iterator[str]:
        """Texts that hold every word a triplet may say; here those of one epoch."""
        return (triplet.text for triplet in self.epoch(0, 0))


def drawn(size: int, seed: int, epoch: int, number: int) -> int:
    """What an epoch of `size` images or triplets takes as its `number`th: each comes once."""
    assert 0 <= number < size, f"number {number} of {size}"
    return int(_order(size, seed, epoch)[number])


@lru_cache(maxsize=16)
def _order(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(size)


@dataclass(frozen=True)
class Listed:
    """A triplet from a file; its text is any of `texts`, each as likely as the others."""

    reference: str
    target: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class ListedPairs(TrainingPairs):
    """Triplets that a file lists: an epoch shows each once, in a new order."""

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
        """See the base class."""
        chosen = self.triplets[drawn(len(self), seed, epoch, number)]
        texts = chosen.texts
        text = texts[np.random.default_rng((seed, epoch, number)).integers(len(texts))]
        return Triplet(f"{epoch}-{number}", chosen.reference, text, chosen.target)

    def texts(self) -> Iterator[str]:
        """See the base class: all of the file."""
        return (text for triplet in self.triplets for text in triplet.texts)

    def without(self, absent: Set[str]) -> "ListedPairs":
        """The triplets both of whose images are there."""
        kept = tuple(t for t in self.triplets if not {t.reference, t.target} & absent)
        images = {name: path for name, path in self.images.items() if name not in absent}
        lost = len(self.triplets) - len(kept)
        note = f"{lost:,} of {len(self):,} triplets are left out: their images are absent"
        return replace(self, triplets=kept, images=images, notes=(*self.notes, note))


@dataclass(frozen=True)
class JoinedPairs(TrainingPairs):
    """Several parts as one: an epoch shows every triplet of each, in a new order of all."""

    parts: tuple[TrainingPairs, ...]

    @property
    def name(self) -> str:
        """The names of the parts."""
        return ", ".join(part.name for part in self.parts)

    @property
    def images(self) -> Mapping[str, Path]:
        """Where the images of all parts lie."""
        return {name: path for part in self.parts for name, path in part.images.items()}

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """See the base class."""
        place = drawn(len(self), seed, epoch, number)
        for part in self.parts:
            if place < len(part):
                return replace(part.pair(seed, epoch, place), id=f"{epoch}-{number}")
            place -= len(part)
        raise AssertionError("a place beyond the last part")

    def texts(self) -> Iterator[str]:
        """See the base class."""
        return (text for part in self.parts for text in part.texts())

    def without(self, absent: Set[str]) -> "JoinedPairs":
        """Each part without these images."""
        return JoinedPairs(tuple(part.without(absent) for part in self.parts))
