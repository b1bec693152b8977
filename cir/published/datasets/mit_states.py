"""Read MIT-States: objects in states, `images/<adjective noun>/*.jpg`.

A query asks for another state of the object. Splits and queries are those of Vo et al., "Composing
Text and Image for Image Retrieval" (TIRG), CVPR 2019, section 4: the test split has the images of
49 nouns, none of which occurs in training.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.images import walk
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
from cir.published.datasets.pairs import TrainingPairs, drawn
from cir.published.datasets.reading import MissingError, require_layout
from cir.retrieval.ranking.protocol import Protocol, Text

TEST_NOUNS = frozenset(
    """armor bracelet bush camera candy castle ceramic cheese clock clothes coffee fan fig fish foam
    forest fruit furniture garden gate glass horse island laptop lead lightning mirror orange paint
    persimmon plastic plate potato road rubber sand shell sky smoke steel stream table tea tomato
    vacuum wax wheel window wool""".split()
)


@dataclass(frozen=True)
class Shown:
    """The images of some nouns: path, and adjective and noun, by id."""

    paths: Mapping[str, Path]
    states: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...]

    @cached_property
    def by_noun(self) -> dict[str, dict[str, list[str]]]:
        """Return image ids by noun, then by adjective."""
        found: dict[str, dict[str, list[str]]] = {}
        for name, (adjective, noun) in self.states.items():
            found.setdefault(noun, {}).setdefault(adjective, []).append(name)
        return found


@dataclass(frozen=True)
class MITStates(PublishedDataset):
    """MIT-States under `root`.

    `text`: a query says the new adjective, or the target's whole caption. The second is ComposeAE's
    option for complete texts, and it gives the answer away.
    """

    title: ClassVar[str] = "MIT-States"
    root: Path
    text: Text = "the change"
    reference_kept: bool = False

    def parts(self) -> tuple[Part, ...]:
        """Train and test; there is no validation split."""
        return Part("train", "train", self._pairs), Part("test", "test", self._query_set)

    def _pairs(self) -> "StatePairs":
        return StatePairs(f"{self.title} train", self._shown("train"), self.text)

    def _query_set(self) -> QuerySet:
        """Make a query of every image and every other adjective of its noun; hits go by caption."""
        shown = self._shown("test")
        hits = {
            (adjective, noun): frozenset(names)
            for noun, adjectives in shown.by_noun.items()
            for adjective, names in adjectives.items()
        }
        queries = tuple(
            Query(f"{name} > {other}", name, (_said(other, noun, self.text),), hits[other, noun])
            for name, (adjective, noun) in shown.states.items()
            for other in shown.by_noun[noun]
            if other != adjective
        )
        protocol = Protocol(
            "all test images",
            reference_kept=self.reference_kept,
            hit="any image of its caption",
            dataset=self.title,
            split="test",
            text=self.text,
        )
        name = f"{self.title} test"
        return QuerySet(name, queries, tuple(shown.paths), shown.paths, protocol, shown.notes)

    def _shown(self, split: str) -> Shown:
        require_layout(self.root, self.title)
        inside = sorted((self.root / "images").iterdir())
        named = [path for path in inside if path.is_dir() and not walk.left_out(path.name)]
        states = [folder for folder in named if " " in folder.name]
        odd = [folder.name for folder in states if len(folder.name.split()) != 2]
        if odd:
            raise UserError(
                f"{len(odd)} of {len(named)} folders in {self.root / 'images'} are not called "
                f"by an adjective and a noun: {listed(odd)}"
            )
        paths: dict[str, Path] = {}
        of: dict[str, tuple[str, str]] = {}
        plain = [folder.name for folder in named if " " not in folder.name]
        others, empty = [], []
        for folder in states:
            adjective, noun = folder.name.split()
            if adjective == "adj":
                plain.append(folder.name)
            elif (noun in TEST_NOUNS) == (split == "test"):
                found = sorted(folder.iterdir())
                photos = {f"{folder.name}/{p.name}": p for p in found if _is_photo(p)}
                paths |= photos
                of |= dict.fromkeys(photos, (adjective, noun))
                others += [f"{folder.name}/{path.name}" for path in found if not _is_photo(path)]
                empty += [] if photos else [folder.name]
        notes = _note(plain, "folders name no state and are left out")
        notes += _note(others, "files are no .jpg and are left out")
        shown = Shown(paths, of, notes + _note(empty, "folders hold no .jpg"))
        _refuse_single(f"{self.title} {split}", shown)
        return shown


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() == ".jpg" and not walk.left_out(path.name)


def _said(adjective: str, noun: str, text: Text) -> str:
    return adjective if text == "the change" else f"{adjective} {noun}"


def _note(names: Sequence[str], what: str) -> tuple[str, ...]:
    return (f"{len(names)} {what}: {listed(names)}",) if names else ()


def _refuse_single(name: str, shown: Shown) -> None:
    if not shown.paths:
        raise MissingError(f"{name}: none of the nouns of that split has an image")
    single = [noun for noun, adjectives in shown.by_noun.items() if len(adjectives) < 2]
    if single:
        raise UserError(
            f"{name}: {len(single)} of {len(shown.by_noun)} nouns have images of one adjective "
            f"only, so there is nothing to ask for: {listed(single)}"
        )


@dataclass(frozen=True)
class StatePairs(TrainingPairs):
    """Draw pairs as TIRG's code does; pairs 2i and 2i + 1 share their reference.

    An epoch takes every second image of a new order as reference. The adjectives of the two targets
    are uniform over the adjectives of its noun, drawn again until they differ. One of them may be
    the reference's own, and then the target may be the reference.
    """

    name: str
    shown: Shown
    text: Text = "the change"

    @property
    def images(self) -> Mapping[str, Path]:
        """Return the path of each image."""
        return self.shown.paths

    @property
    def notes(self) -> tuple[str, ...]:
        """Return notes on what the folders hold besides."""
        return self.shown.notes

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.shown.paths)

    def __len__(self) -> int:
        return len(self._names)

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number` of an epoch."""
        first = number - number % 2
        reference = self._names[drawn(len(self), seed, epoch, first)]
        noun = self.shown.states[reference][1]
        by_adjective = self.shown.by_noun[noun]
        adjectives = list(by_adjective)
        rng = np.random.default_rng((seed, epoch, first))
        asked = rng.integers(len(adjectives), size=2)
        while asked[0] == asked[1]:
            asked = rng.integers(len(adjectives), size=2)
        adjective = adjectives[asked[number % 2]]
        names = by_adjective[adjective]
        target = names[np.random.default_rng((seed, epoch, number, 1)).integers(len(names))]
        said = _said(adjective, noun, self.text)
        return Triplet(f"{epoch}-{number}", reference, said, target)

    def texts(self) -> Iterator[str]:
        """Yield every adjective of every noun."""
        by_noun = self.shown.by_noun
        return (
            _said(state, noun, self.text) for noun, states in by_noun.items() for state in states
        )

    def without(self, absent: Set[str]) -> "StatePairs":
        """Return the pairs without these images; the folders themselves list no absent ones."""
        kept = {name: path for name, path in self.images.items() if name not in absent}
        states = {name: state for name, state in self.shown.states.items() if name in kept}
        shown = Shown(kept, states, self.notes)
        _refuse_single(self.name, shown)
        return StatePairs(self.name, shown, self.text)
