"""Read images with classes: make_splits(params, seed) -> a Split for each of PARTS.

Every source makes the parts train, val, query and gallery in one form (see `base`). `folders`
reads files, `rules` says what no part may hold, and `division` divides images into parts.
"""

from cir.classes.datasets import (
    cifar100,
    class_folders,
    drawn_objects,
    food101,
    params,
    training_and_test,
)
from cir.classes.datasets.base import PARTS
from cir.images.splitting import Split

_SOURCES = {
    params.DrawnObjects: drawn_objects.splits,
    params.ClassFolders: class_folders.splits,
    params.DividedFolders: class_folders.divided_splits,
    params.TrainingAndTest: training_and_test.splits,
    params.CIFAR100: cifar100.splits,
    params.Food101: food101.splits,
}

__all__ = ["PARTS", "make_splits"]


def make_splits(source: params.ClassData, seed: int) -> dict[str, Split]:
    """Make the parts of PARTS; no part has triplets, and their images are written later.

    The only object of a row is its class. The info of every part holds `classes` (number of images
    by class), `classes_in_training`, `gallery_is_training` (whether the gallery holds the training
    images), and for the whole source `left_out` (number of images by reason) and `notes`
    (sentences).

    Raises UserError for unusable data, before any image is written.
    """
    return _SOURCES[type(source)](source, seed)
