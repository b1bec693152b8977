"""Labelled images, the four parts that a source makes of them, and what is told of both."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import ClassVar

from cir.core.errors import UserError
from cir.images.shard_files import Row
from cir.images.splitting import Split

PARTS = ("train", "val", "query", "gallery")


@dataclass(frozen=True)
class LabelledImage:
    """An image by its id, the name of its class, and a digest of its content: copies share it."""

    id: str
    label: str
    content: str


Images = tuple[LabelledImage, ...]
Rows = Callable[[Sequence[LabelledImage]], Iterable[Row]]


class ClassSource(ABC):
    """A source of images with classes; its fields are its options."""

    name: ClassVar[str]

    @abstractmethod
    def splits(self, seed: int) -> dict[str, Split]:
        """The parts of PARTS, their images still to be written; no part has triplets.

        A row's only object is the class. Every part's info holds `classes` (images by class),
        `classes_in_training`, `gallery_is_training` (are the gallery's images those trained on),
        and for the whole source `left_out` (images by reason) and `notes` (sentences).

        Raises UserError for what cannot be used, before any image is written.
        """


def counted(number: int, one: str, many: str) -> str:
    """The number with what it counts: "1 class", "2 classes"."""
    return f"{number:,} {one if number == 1 else many}"


class Findings:
    """What comes to light while parts are made: images that are left out, and sentences.

    What is unusable is refused, or, with `leave_out`, told in `notes`, its images counted in
    `left_out`.
    """

    def __init__(self, leave_out: bool) -> None:
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._leave_out = leave_out

    def permit(self, sentence: str) -> None:
        """Raise UserError with the sentence on what is unusable, unless that is left out."""
        if not self._leave_out:
            raise UserError(f"{sentence}; with unusable: leave_out they are left out")

    def aside(self) -> str:
        """What was left out as the end of a sentence; empty if nothing was."""
        told = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"; left out before: {told}" if told else ""

    def without(self, images: Images, unusable: Set[str], kind: str, sentence: str) -> Images:
        """The images but for the unusable ids; UserError with the sentence if that is refused.

        `kind` is the reason in few words, under which they are counted.
        """
        if not unusable:
            return images
        self.permit(sentence)
        self.left_out[kind] += len(unusable)
        self.notes.append(f"left out: {sentence}")
        return tuple(image for image in images if image.id not in unusable)


@dataclass(frozen=True)
class ClassParts:
    """The four parts of a source, each its images, with what `ClassSource.splits` promises."""

    source: str
    images: Mapping[str, Images]
    gallery_is_training: bool
    left_out: Mapping[str, int]
    notes: Sequence[str]

    def splits(self, rows: Rows) -> dict[str, Split]:
        """The parts as they are written; `rows` makes the rows of images, in their order."""
        return {
            part: Split(len(self.images[part]), rows(self.images[part]), (), self._info(part))
            for part in PARTS
        }

    def _info(self, part: str) -> dict:
        counts = Counter(image.label for image in self.images[part])
        trained = {image.label for image in self.images["train"]}
        return {
            "source": self.source,
            "classes": dict(sorted(counts.items())),
            "classes_in_training": len(counts.keys() & trained),
            "gallery_is_training": self.gallery_is_training,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }
