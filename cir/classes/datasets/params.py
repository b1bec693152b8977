"""Declare the params of every source of images with classes: the section class_data."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from cir.core.params import ProperShare, Section, SplitShares, WithWorkers

Divide = Literal["images", "classes"]
GivenGallery = Literal["train", "test"]
AtLeastTwo = Annotated[int, Field(ge=2)]  # a pair, or an image and its answer
Name = Annotated[str, Field(min_length=1)]


class _Source(Section):
    rows_per_shard: PositiveInt


class _Stored(_Source):
    """Params of a source that reads files under `root`.

    `unusable` says whether unusable images stop the run or are left out; see
    cir.classes.datasets.rules.
    """

    root: Path
    unusable: Literal["refuse", "leave_out"]

    @property
    def leave_out(self) -> bool:
        """Whether unusable images are left out."""
        return self.unusable == "leave_out"


class _WithFiles(_Stored, WithWorkers):
    """Params of a source of image files; larger images shrink to `max_side` pixels."""

    max_side: PositiveInt


class _Given(Section):
    """Params of a dataset that is published with a training and a test part.

    With gallery "train", the test images are the queries and all training images are the gallery,
    also those set apart for validation. With gallery "test", the share `query_share` of each
    class's test images are the queries, and the other test images are the gallery.
    """

    gallery: GivenGallery
    query_share: ProperShare


class DrawnObjects(_Source, WithWorkers):
    """Params of pictures that the project draws, each of one coloured object.

    `test_kinds` and `val_kinds` kinds of objects are held out, in all their colours. The fields
    that end in `per_class` count the images of each class in a part. `image_size` is in pixels.
    """

    source: Literal["drawn_objects"]
    test_kinds: PositiveInt
    val_kinds: PositiveInt
    per_class: AtLeastTwo
    val_per_class: AtLeastTwo
    queries_per_class: PositiveInt
    gallery_per_class: PositiveInt
    image_size: int = Field(ge=32)


class ClassFolders(_WithFiles, SplitShares):
    """Params of a tree of class folders.

    `divide` says whether `val` and `test` are shares of the images of each class or shares of the
    classes. The share `query_share` of each class's test images are the queries.
    """

    source: Literal["class_folders"]
    divide: Divide
    query_share: ProperShare


class DividedFolders(_WithFiles, _Given):
    """Params of class folders in the folders `train`, `test` and, unless None, `val`.

    Without a folder `val`, the share `val_share` of each class's training images validates.
    """

    source: Literal["divided_folders"]
    train: Name
    val: Name | None
    test: Name
    val_share: ProperShare

    @model_validator(mode="after")
    def _folders_differ(self) -> "DividedFolders":
        names = [name for name in (self.train, self.val, self.test) if name is not None]
        if len({Path(name) for name in names}) < len(names):
            raise ValueError(f"train, val and test must be different folders, got {names}")
        return self


class TrainingAndTest(_WithFiles):
    """Params of class folders for training, and flat folders of queries and gallery.

    With labels "prefix", the class of a flat file is its name before the last `separator`. With
    labels "csv", the table `csv` in root/test or in root holds the classes. `val` is a share of
    each class's training images or of the classes, as `divide` says.
    """

    source: Literal["training_and_test"]
    labels: Literal["prefix", "csv"]
    separator: Name
    csv: Name
    divide: Divide
    val: ProperShare


class CIFAR100(_Stored, _Given):
    """Params of CIFAR-100; the share `val` of each class's training images validates."""

    source: Literal["cifar100"]
    val: ProperShare


class Food101(_WithFiles, _Given):
    """Params of Food-101; the share `val` of each class's training images validates."""

    source: Literal["food101"]
    val: ProperShare


ClassData = Annotated[
    DrawnObjects | ClassFolders | DividedFolders | TrainingAndTest | CIFAR100 | Food101,
    Field(discriminator="source"),
]
