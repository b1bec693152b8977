"""Declare what a published dataset gives: its parts, and query sets with their protocol."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import is_file
from cir.core.progress import say
from cir.images import image_files
from cir.images.decoding import decode
from cir.published.datasets.pairs import TrainingPairs
from cir.retrieval.ranking.protocol import Protocol

Absent = Literal["refuse", "leave out"]
_MANY = 500  # images that take so long to decode that progress is shown


@dataclass(frozen=True)
class Query:
    """A query; images are named by id.

    The vectors of several `texts` are averaged. `hits` are the images that count as answers; there
    are none if the labels are withheld. `target` is the image that the text was written for, if
    the dataset names one. `members` is CIRR's set of six similar images with the reference.
    `aspects` are CIRCO's semantic aspects.
    """

    id: str
    reference: str
    texts: tuple[str, ...]
    hits: frozenset[str] = frozenset()
    target: str | None = None
    members: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuerySet:
    """Queries, the gallery that is ranked for them, and the protocol.

    `images` has the path of every image of the gallery and of the queries. `notes` are sentences
    about harmless oddities in the files.
    """

    name: str
    queries: tuple[Query, ...]
    gallery: tuple[str, ...]
    images: Mapping[str, Path]
    protocol: Protocol
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise UserError, with counts, if the queries cannot be scored in this gallery."""
        if not self.queries:
            raise UserError(f"{self.name} has no queries")
        self._refuse_repeated("query ids", [query.id for query in self.queries])
        self._refuse_repeated("gallery images", self.gallery)
        there, gallery = set(self.gallery), f"the gallery of {len(self.gallery)} images"
        lost = {q.id: sorted(q.hits - there) for q in self.queries if not q.hits <= there}
        self._refuse(f"have a target that is not in {gallery}", lost)
        unlabelled = {query.id: () for query in self.queries if not query.hits}
        if len(unlabelled) < len(self.queries):
            self._refuse("have no target, but others do", unlabelled)
        odd = {q.id: () for q in self.queries if q.members and q.reference not in q.members}
        self._refuse("have a reference outside their own image set", odd)
        strange = {q.id: sorted(q.hits - {*q.members}) for q in self.queries if q.members}
        strange = {name: hits for name, hits in strange.items() if hits}
        self._refuse("have a target outside their own image set", strange)
        outside = {q.id: set(q.members) - there for q in self.queries}
        self._refuse(
            f"have an image set with images that are not in {gallery}",
            {name: sorted(members) for name, members in outside.items() if members},
        )
        if not self.protocol.reference_kept:
            own = {q.id: () for q in self.queries if q.reference in q.hits}
            self._refuse("have their own reference, which is taken out, as target", own)

    @property
    def labelled(self) -> bool:
        """Tell whether the answers are known."""
        return bool(self.queries[0].hits)

    def without(self, absent: Set[str]) -> "QuerySet":
        """Leave out these images and the queries that need them, and say so in the protocol.

        Where any image of a caption is a hit, the caption's other images remain hits.
        """
        if not absent:
            return self
        by_caption = self.protocol.hit == "any image of its caption"
        queries = []
        for query in self.queries:
            needed = {query.reference, *query.members, *(() if by_caption else query.hits)}
            hits = query.hits - absent
            if not needed & absent and (hits or not self.labelled):
                target = query.target if query.target in hits else None
                queries.append(replace(query, hits=hits, target=target))
        gallery = tuple(name for name in self.gallery if name not in absent)
        left_out = (
            f"{len(self.queries) - len(queries)} of {len(self.queries)} queries and "
            f"{len(self.gallery) - len(gallery)} of {len(self.gallery)} gallery images"
        )
        images = {name: path for name, path in self.images.items() if name not in absent}
        return replace(
            self,
            queries=tuple(queries),
            gallery=gallery,
            images=images,
            protocol=replace(self.protocol, left_out=left_out),
            notes=(*self.notes, f"{left_out} are left out: their images are absent or broken"),
        )

    def _refuse_repeated(self, what: str, names: Sequence[str]) -> None:
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise UserError(
                f"{self.name}: {len(repeated)} of {len(names)} {what} come more than once: "
                f"{listed(repeated)}"
            )

    def _refuse(self, what: str, wrong: Mapping[str, Sequence[str]]) -> None:
        if wrong:
            which = [f"{name} ({listed(why)})" if why else name for name, why in wrong.items()]
            raise UserError(
                f"{self.name}: {len(wrong)} of {len(self.queries)} queries {what}: {listed(which)}"
            )


@dataclass(frozen=True)
class Part:
    """A part of a dataset that can be read by itself, and its use.

    A part whose answers are withheld is for the dataset's test server, if there is one.
    """

    name: str
    use: Literal["train", "val", "test", "test server", "withheld"]
    read: Callable[[], QuerySet | TrainingPairs]

    @property
    def split(self) -> str:
        """Return the first word of the name."""
        return self.name.split()[0]


class PublishedDataset(ABC):
    """A published dataset in its own layout under `root`; its options are the fields of its class.

    A dataset that is not `stored` has no root and no files: it draws its images.
    """

    title: ClassVar[str]
    stored: ClassVar[bool] = True
    root: Path

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """Return all parts of the published dataset, whether their files are there or not.

        `Part.read` reads the annotations and gives the paths of the images without looking for
        them. It raises UserError for files that are missing, broken or contradict each other.
        """

    def picture(self, name: str, images: Mapping[str, Path]) -> Image.Image:
        """Return the image of this id in RGB; `images` has its path."""
        return decode(images[name], name)

    def training_pairs(self, absent: Absent = "refuse") -> tuple[TrainingPairs, ...]:
        """Read the training parts; raise UserError for absent images unless they are left out.

        All images are decoded where broken ones are to be left out as well.
        """
        chosen = [part for part in self.parts() if part.use == "train"]
        if not chosen:
            raise UserError(f"{self.title} has no split train: it has {_splits(self.parts())}")
        return tuple(_complete(part, absent) for part in chosen)

    def query_sets(self, name: str, absent: Absent = "refuse") -> tuple[QuerySet, ...]:
        """Read the query set of a part, or the query sets of a split.

        Raises UserError for files that are missing, broken or contradict each other, and for
        absent images unless they, and the queries that need them, are left out. All images are
        decoded where broken ones are to be left out as well.
        """
        return tuple(_complete(part, absent) for part in self.measured(name))

    def measured(self, name: str) -> list[Part]:
        """Return the part of this name, or the parts of this split, that have queries."""
        parts = [part for part in self.parts() if part.use != "train"]
        chosen = [part for part in parts if name in (part.name, part.split)]
        if not chosen:
            raise UserError(
                f"{self.title} has no split {name} to be measured by: it has {_splits(parts)}"
            )
        return chosen


def _splits(parts: Sequence[Part]) -> str:
    return ", ".join(dict.fromkeys(part.split for part in parts))


def _complete(part: Part, absent: Absent) -> QuerySet | TrainingPairs:
    content = part.read()
    missing = absent_images(content.images)
    sentences = [absent_sentence(content.images, missing)] if missing else []
    if absent == "refuse":
        if missing:
            raise UserError(f"{content.name}: {sentences[0]}")
        return content
    there = {name: path for name, path in content.images.items() if name not in set(missing)}
    _, broken = image_files.read_all(there, os.cpu_count() or 1, quiet=len(there) < _MANY)
    if broken:
        sentences.append(broken_sentence(broken, len(there)))
    if not sentences:
        return content
    sentence = f"{content.name}: {'; '.join(sentences)}"
    if broken:
        say(sentence)
    try:
        return content.without({*missing, *broken})
    except UserError:
        raise UserError(f"{sentence}; without them nothing is left") from None


def absent_images(images: Mapping[str, Path]) -> list[str]:
    """Return the ids whose file does not exist."""
    return [name for name, path in images.items() if not is_file(path)]


def absent_sentence(images: Mapping[str, Path], absent: Sequence[str]) -> str:
    """Say how many files do not exist, and name the first few."""
    paths = [images[name] for name in absent]
    return f"{len(absent):,} of {len(images):,} images are not there: {listed(paths)}"


def broken_sentence(broken: Mapping[str, UserError], looked_at: int) -> str:
    """Say how many of the files that were looked at cannot be decoded, and the first reasons."""
    return f"{len(broken):,} of the {looked_at:,} images that were decoded are broken: " + listed(
        [*broken.values()], "; "
    )
