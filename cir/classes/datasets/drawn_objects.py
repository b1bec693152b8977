"""Draw pictures of single coloured objects; the class is a name such as "red mug"."""

from collections.abc import Iterator, Sequence

import numpy as np

from cir.classes.datasets import rules
from cir.classes.datasets.base import Findings, Images, LabelledImage
from cir.classes.datasets.params import DrawnObjects
from cir.core.errors import UserError
from cir.datasets import scenes
from cir.datasets.scenes.names import kind_of
from cir.images.shards import Row
from cir.images.splitting import Split

_WORTH_WORKERS = 2000  # fewer images are drawn faster than worker processes start


def splits(params: DrawnObjects, seed: int) -> dict[str, Split]:
    """Divide the kinds of objects among training, validation and test; see make_splits.

    So training shows no test class in any colour. Queries and gallery show the same classes. The
    pictures are drawn when the rows are read.
    """
    train, val, test = _classes(params, seed)
    parts = {
        "train": _images("train", train, params.per_class),
        "val": _images("val", val, params.val_per_class),
        "query": _images("query", test, params.queries_per_class),
        "gallery": _images("gallery", test, params.gallery_per_class),
    }

    def rows(images: Sequence[LabelledImage]) -> Iterator[Row]:
        named = {image.id: (image.label,) for image in images}
        workers = params.processes() if len(named) >= _WORTH_WORKERS else 1
        return scenes.draw_many(named, params.image_size, seed, workers)

    return rules.settled(params.source, parts, Findings(False), False).splits(rows)


def _classes(params: DrawnObjects, seed: int) -> list[list[str]]:
    """Return the classes of train, val and test."""
    kinds = list(scenes.OBJECTS)
    held = params.test_kinds + params.val_kinds
    if held >= len(kinds):
        raise UserError(
            f"test_kinds and val_kinds leave no kind of object for train: {params.test_kinds} + "
            f"{params.val_kinds} of {len(kinds)}"
        )
    order = np.random.default_rng(seed).permutation(len(kinds))
    ends = {kinds[place]: number for number, place in enumerate(order)}
    classes: list[list[str]] = [[], [], []]
    for label in scenes.all_names():
        place = ends[kind_of(label)]
        classes[2 if place < params.test_kinds else 1 if place < held else 0].append(label)
    return classes


def _images(part: str, classes: Sequence[str], each: int) -> Images:
    # The picture depends on the id, so ids differ between parts too.
    ids = [(f"{part}/{label}/{number:04d}", label) for label in classes for number in range(each)]
    return tuple(LabelledImage(name, label, content=name) for name, label in ids)
