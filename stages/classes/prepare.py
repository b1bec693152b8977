"""Images with classes become the shards of train, val, query and gallery."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cir.classes import datasets as class_datasets
from cir.classes.datasets import PARTS, ClassSource
from cir.classes.datasets.base import counted
from cir.classes.datasets.division import Divide
from cir.classes.datasets.given import GivenGallery
from cir.core import files
from cir.core.params import Section
from cir.core.progress import progress, say
from cir.images import shard_files as split_files
from stages.params import StageParams, load
from stages.run import run

OUT = Path("data/classes")

Share = Annotated[float, Field(gt=0, lt=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]  # a pair, or an image and its answer
Name = Annotated[str, Field(min_length=1)]


class _Source(Section):
    """What every source has; its other keys are the fields of `kind`."""

    kind: ClassVar[type[ClassSource]]
    rows_per_shard: PositiveInt

    def create(self) -> ClassSource:
        """The source with these options."""
        return self.kind(**self.options())

    def options(self) -> dict:
        """The fields of `kind`."""
        return self.model_dump(exclude={"source", "rows_per_shard"})


class _WithWorkers(_Source):
    """One that decodes or draws in `workers` processes; 0: one per core."""

    workers: NonNegativeInt

    def options(self) -> dict:
        return super().options() | {"workers": self.workers or os.cpu_count() or 1}


class _Stored(_Source):
    """One with files; what is unusable is refused or left out (see cir.classes.datasets.rules)."""

    root: Path
    unusable: Literal["refuse", "leave_out"]

    def options(self) -> dict:
        options = super().options()
        leave_out = options.pop("unusable") == "leave_out"
        return {**options, "leave_out": leave_out}


class DrawnObjectsData(_WithWorkers):
    """See cir.classes.datasets.DrawnObjects."""

    kind = class_datasets.DrawnObjects
    source: Literal["drawn_objects"]
    test_kinds: PositiveInt
    val_kinds: PositiveInt
    per_class: AtLeastTwo
    val_per_class: AtLeastTwo
    queries_per_class: PositiveInt
    gallery_per_class: PositiveInt
    image_size: int = Field(ge=32)


class ClassFoldersData(_WithWorkers, _Stored):
    """See cir.classes.datasets.ClassFolders."""

    kind = class_datasets.ClassFolders
    source: Literal["class_folders"]
    divide: Divide
    val: Share
    test: Share
    query_share: Share
    max_side: PositiveInt

    @model_validator(mode="after")
    def _leaves_training(self) -> "ClassFoldersData":
        if self.val + self.test >= 1:
            raise ValueError(f"val and test leave nothing for train: {self.val} + {self.test}")
        return self


class DividedFoldersData(_WithWorkers, _Stored):
    """See cir.classes.datasets.DividedFolders."""

    kind = class_datasets.DividedFolders
    source: Literal["divided_folders"]
    train: Name
    val: Name | None
    test: Name
    val_share: Share
    gallery: GivenGallery
    query_share: Share
    max_side: PositiveInt

    @model_validator(mode="after")
    def _folders_differ(self) -> "DividedFoldersData":
        names = [name for name in (self.train, self.val, self.test) if name is not None]
        if len({Path(name) for name in names}) < len(names):
            raise ValueError(f"train, val and test must be different folders, got {names}")
        return self


class TrainingAndTestData(_WithWorkers, _Stored):
    """See cir.classes.datasets.TrainingAndTest."""

    kind = class_datasets.TrainingAndTest
    source: Literal["training_and_test"]
    labels: Literal["prefix", "csv"]
    separator: Name
    csv: Name
    divide: Divide
    val: Share
    max_side: PositiveInt


class CIFAR100Data(_Stored):
    """See cir.classes.datasets.CIFAR100."""

    kind = class_datasets.CIFAR100
    source: Literal["cifar100"]
    val: Share
    gallery: GivenGallery
    query_share: Share


class Food101Data(_WithWorkers, _Stored):
    """See cir.classes.datasets.Food101."""

    kind = class_datasets.Food101
    source: Literal["food101"]
    val: Share
    gallery: GivenGallery
    query_share: Share
    max_side: PositiveInt


class Params(StageParams):
    seed: int
    class_data: Annotated[
        DrawnObjectsData
        | ClassFoldersData
        | DividedFoldersData
        | TrainingAndTestData
        | CIFAR100Data
        | Food101Data,
        Field(discriminator="source"),
    ]


def main() -> None:
    params = load(Params)
    with files.exclusive(OUT):
        splits = params.class_data.create().splits(params.seed)
        for note in splits["train"].info["notes"]:
            say(note)
        _remove_parts()
        for part in PARTS:
            split = splits[part]
            rows = progress(split.rows, split.images, f"writing {part}", "images")
            split_files.write(
                OUT / part, rows, split.triplets, split.info, params.class_data.rows_per_shard
            )
            classes = counted(len(split.info["classes"]), "class", "classes")
            print(f"{part}: {counted(split.images, 'image', 'images')} of {classes}")


def _remove_parts() -> None:
    """Remove what an earlier run wrote, so that none of it is left beside what this one writes.

    Each part goes at once: a run that is killed meanwhile leaves it whole, empty or absent.
    """
    for part in PARTS:
        with files.whole_folder(OUT / part):
            pass
        (OUT / part).rmdir()


if __name__ == "__main__":
    run(main)
