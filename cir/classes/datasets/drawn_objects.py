"""Single coloured objects that the project draws itself; the class is a name like "red mug"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cir.classes.datasets import rules
from cir.classes.datasets.base import ClassSource, Findings, Images, LabelledImage
from cir.core.errors import UserError
from cir.datasets import scenes
from cir.datasets.scenes.names import kind_of
from cir.images.shard_files import Row
from cir.images.splitting import Split

_WORTH_WORKERS = 2000  # fewer images are drawn sooner than processes start


@dataclass(frozen=True)
class DrawnObjects(ClassSource):
    """How much to draw, and what to hold out.

    The kinds of objects are divided among training, validation and test, so that no test class
    is seen in training in whatever colour. Queries and gallery show the same classes.
    """

    name: ClassVar[str] = "drawn_objects"

    test_kinds: int
    val_kinds: int
    per_class: int
    val_per_class: int
    queries_per_class: int
    gallery_per_class: int
    image_size: int
    workers: int

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource; the pictures are drawn, by `workers` processes, as rows are taken."""
        train, val, test = self._classes(seed)
        parts = {
            "train": _images("train", train, self.per_class),
            "val": _images("val", val, self.val_per_class),
            "query": _images("query", test, self.queries_per_class),
            "gallery": _images("gallery", test, self.gallery_per_class),
        }

        def rows(images: Sequence[LabelledImage]) -> Iterator[Row]:
            named = {image.id: (image.label,) for image in images}
            workers = self.workers if len(named) >= _WORTH_WORKERS else 1
            return scenes.draw_many(named, self.image_size, seed, workers)

        return rules.settled(self.name, parts, Findings(False), False).splits(rows)

    def _classes(self, seed: int) -> list[list[str]]:
        """The classes of train, val and test."""
        kinds = list(scenes.OBJECTS)
        held = self.test_kinds + self.val_kinds
        if held >= len(kinds):
            raise UserError(
                f"test_kinds and val_kinds leave no kind of object for train: {self.test_kinds} + "
                f"{self.val_kinds} of {len(kinds)}"
            )
        order = np.random.default_rng(seed).permutation(len(kinds))
        ends = {kinds[place]: number for number, place in enumerate(order)}
        classes: list[list[str]] = [[], [], []]
        for label in scenes.all_names():
            place = ends[kind_of(label)]
            classes[2 if place < self.test_kinds else 1 if place < held else 0].append(label)
        return classes


def _images(part: str, classes: Sequence[str], each: int) -> Images:
    # What is drawn depends on the id, so ids differ between parts too.
    ids = [(f"{part}/{label}/{number:04d}", label) for label in classes for number in range(each)]
    return tuple(LabelledImage(name, label, content=name) for name, label in ids)
