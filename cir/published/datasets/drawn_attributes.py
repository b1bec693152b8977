"""Draw scenes, and sentences that change one thing in them: "make the red mug blue".

The task is like CSS, the drawn data of Vo et al., "Composing Text and Image for Image Retrieval"
(TIRG), CVPR 2019: objects are added, removed or changed. Here they are everyday objects, and
nothing is stored: the seed and an image's id determine the image.

The caption of an image is the set of names that it shows. Place, size, shape, ground and light are
drawn anew for every image, and no sentence mentions them. So there is one right answer; if places
were kept, an added object could stand in any free place, and each place would be another answer.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.datasets.scenes import COLOURS, OBJECTS, all_names
from cir.datasets.scenes.attribute_edits import (
    HELD_OUT_WORDINGS,
    WORDINGS,
    AttributeEdit,
    edit_between,
    said,
)
from cir.datasets.scenes.images import draw_one
from cir.datasets.scenes.neighbourhoods import SIZE, Neighbourhood, sample_neighbourhoods
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
from cir.published.datasets.pairs import TrainingPairs
from cir.retrieval.ranking.protocol import Protocol

Split = Literal["test", "val", "train"]
_LEAST = {
    "seed": 0,
    "train_pairs": 1,
    "train_images": SIZE,
    "queries": 1,
    "gallery": SIZE,
    "image_size": 16,  # an object is less than half of it
}


@dataclass(frozen=True)
class DrawnAttributes(PublishedDataset):
    """Scenes of 2 to 4 objects, each of one of ten colours.

    Images come in fives: a scene and four edits of it, which are near misses of each other. In val
    and test, the queries of a five ask for its four edits; a training pair is any two images of a
    five that lie one edit apart. No two images, of any split, show the same set of names. The test
    split's sentences have wordings that training never sees, made of words that it does see.

    Args:
        seed: seed of everything that is drawn.
        train_pairs: pairs in an epoch.
        train_images: training images.
        queries, gallery: queries and gallery images of val, and of test.
        image_size: side of an image in pixels.
        reference_kept: whether a query's own reference stays in its gallery.
    """

    title: ClassVar[str] = "Drawn attributes"
    stored: ClassVar[bool] = False
    seed: int = 0
    train_pairs: int = 10_000
    train_images: int = 12_000
    queries: int = 800
    gallery: int = 1_000
    image_size: int = 64
    reference_kept: bool = True

    def __post_init__(self) -> None:
        """Raise UserError for impossible numbers."""
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                got = getattr(self, name)
                raise UserError(f"{self.title}: {name} must be at least {least}, got {got}")
        for name in ("gallery", "train_images"):
            if getattr(self, name) % SIZE:
                raise UserError(
                    f"{self.title}: images come in fives, so {name} must be a multiple of {SIZE}, "
                    f"got {getattr(self, name)}"
                )
        most = (SIZE - 1) * self.gallery // SIZE
        if self.queries > most:
            raise UserError(
                f"{self.title}: a gallery of {self.gallery} images has answers to {most} queries "
                f"at most, got {self.queries}"
            )

    def parts(self) -> tuple[Part, ...]:
        """Train, val and test."""
        return (
            Part("train", "train", self._pairs),
            Part("val", "val", lambda: self._query_set("val", WORDINGS)),
            Part("test", "test", lambda: self._query_set("test", HELD_OUT_WORDINGS)),
        )

    def picture(self, name: str, images: Mapping[str, Path]) -> Image.Image:
        """Draw the RGB image of an id; there are no files, and `images` is not looked at."""
        shown = self.shown.get(name)
        if shown is None:
            raise UserError(f"{self.title} has no image {name}")
        return draw_one(name, shown, self.image_size, self.seed)

    @cached_property
    def shown(self) -> dict[str, tuple[str, ...]]:
        """The names in every image, by its id."""
        return {
            _id(split, number, place): names
            for split, neighbourhoods in self._neighbourhoods.items()
            for number, neighbourhood in enumerate(neighbourhoods)
            for place, names in enumerate(neighbourhood.sets())
        }

    @cached_property
    def _neighbourhoods(self) -> dict[Split, list[Neighbourhood]]:
        """Test comes first, so that it is the same whatever there is to train on."""
        found: dict[Split, list[Neighbourhood]] = {}
        used: set[frozenset[str]] = set()
        sizes = {"test": self.gallery, "val": self.gallery, "train": self.train_images}
        for place, (split, images) in enumerate(sizes.items()):
            rng = np.random.default_rng((self.seed, place))
            found[split] = sample_neighbourhoods(
                images // SIZE, list(OBJECTS), list(COLOURS), rng, used
            )
            used |= {frozenset(names) for one in found[split] for names in one.sets()}
        return found

    def _pairs(self) -> "AttributePairs":
        return AttributePairs(
            f"{self.title} train", tuple(self._neighbourhoods["train"]), self.train_pairs
        )

    def _query_set(self, split: Split, wordings: Mapping[str, Sequence[str]]) -> QuerySet:
        """Ask for the first edit of each five, then for the second of each, and so on."""
        neighbourhoods = self._neighbourhoods[split]
        asked = [(n, e) for e in range(SIZE - 1) for n in range(len(neighbourhoods))]
        rng = np.random.default_rng((self.seed, ["test", "val"].index(split), 1))
        queries = []
        for number, place in asked[: self.queries]:
            edit = neighbourhoods[number].edits[place]
            reference, target = _id(split, number, 0), _id(split, number, place + 1)
            text = _worded(edit, wordings, rng)
            hits = frozenset([target])
            queries.append(Query(f"{reference} > {target}", reference, (text,), hits, target))
        gallery = [_id(split, n, p) for n in range(len(neighbourhoods)) for p in range(SIZE)]
        protocol = Protocol(
            "hard",
            reference_kept=self.reference_kept,
            hit="any image of its caption",
            dataset=self.title,
            split=split,
        )
        return QuerySet(f"{self.title} {split}", tuple(queries), tuple(gallery), {}, protocol)


def _id(split: Split, number: int, place: int) -> str:
    return f"{split}-{number:05d}-{place}"


def _worded(
    edit: AttributeEdit, wordings: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> str:
    choice = wordings[edit.kind]
    return said(edit, choice[rng.integers(len(choice))])


@dataclass(frozen=True)
class AttributePairs(TrainingPairs):
    """Draw pairs of images of one five that lie one edit apart, in either direction.

    Pairs 2i and 2i + 1 are of one five and have different targets, so that a batch holds near
    misses. Fives, pairs and wordings are random, so an epoch may have any number of pairs.
    """

    name: str
    neighbourhoods: tuple[Neighbourhood, ...]
    size: int
    images: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def _steps(self) -> list[list[tuple[int, int, AttributeEdit]]]:
        """Return for each five the places of reference and target, and the edit between them."""
        found = []
        for neighbourhood in self.neighbourhoods:
            sets = enumerate(map(frozenset, neighbourhood.sets()))
            pairs = permutations(sets, 2)
            edits = [(i, j, edit_between(names, others)) for (i, names), (j, others) in pairs]
            found.append([(i, j, edit) for i, j, edit in edits if edit is not None])
        return found

    def __len__(self) -> int:
        return self.size

    def pair(self, seed: int, epoch: int, number: int) -> Triplet:
        """Return triplet `number` of an epoch."""
        assert 0 <= number < self.size, f"number {number} of {self.size}"
        rng = np.random.default_rng((seed, epoch, number // 2))
        five = int(rng.integers(len(self.neighbourhoods)))
        steps = self._steps[five]
        step = steps[rng.integers(len(steps))]
        if number % 2:
            steps = [other for other in steps if other[1] != step[1]]
            step = steps[rng.integers(len(steps))]
        reference, target, edit = step
        others = set(range(SIZE)) - {reference, target}
        return Triplet(
            f"{epoch}-{number}",
            _id("train", five, reference),
            _worded(edit, WORDINGS, np.random.default_rng((seed, epoch, number, 1))),
            _id("train", five, target),
            add=() if edit.new is None else (edit.new,),
            remove=() if edit.old is None else (edit.old,),
            near_misses=tuple(_id("train", five, place) for place in sorted(others)),
        )

    def texts(self) -> Iterator[str]:
        """Yield every name with its article, and every wording."""
        names = all_names()
        yield from (said(AttributeEdit(None, name), "{a new}") for name in names)
        for wordings in WORDINGS.values():
            yield from (said(AttributeEdit(names[0], names[0]), wording) for wording in wordings)

    def without(self, absent: Set[str]) -> "AttributePairs":
        """Return the same pairs, as drawn images are never absent."""
        assert not absent, f"{len(absent)} drawn images cannot be absent"
        return self
