"""Images and triplets of one source become the shards of train, val and test."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section
from cir.core.progress import progress
from cir.datasets import coco, contest, drawn, scenes
from cir.datasets.object_sets import Rules
from cir.datasets.sample_sheet import query_sheet
from cir.edits.reading.templates import Template
from cir.images import shards
from cir.images.splitting import SPLITS, Split
from stages.params import StageParams, load
from stages.run import run

TEMPLATES = Path("data/tagging/templates.json")
OUT = Path("data/retrieval")
SHEET = Path("metrics/pictures/contact_sheet.jpg")

Share = Annotated[float, Field(gt=0, lt=1)]
Sentences = Mapping[str, Sequence[Template]]


class SplitShares(Section):
    """The shares of val and test; train is the rest."""

    val: Share
    test: Share

    @model_validator(mode="after")
    def _leaves_training(self) -> "SplitShares":
        if self.val + self.test >= 1:
            raise ValueError(f"val and test leave nothing for train: {self.val} + {self.test}")
        return self

    def shares(self) -> dict[str, float]:
        return {"train": 1 - self.val - self.test, "val": self.val, "test": self.test}


class Source(Section, ABC):
    """What every source of data has: a name, workers, a way to its splits, a picture of it."""

    workers: NonNegativeInt
    rows_per_shard: PositiveInt

    def processes(self) -> int:
        return self.workers or os.cpu_count() or 1

    @abstractmethod
    def splits(self, sentences: Sentences, seed: int) -> dict[str, Split]:
        """The splits train, val and test, whose images are still to be written."""

    def picture(self, seed: int) -> Image.Image:
        """Sample queries of train, which has been written."""
        folder = OUT / "train"
        return query_sheet(
            shards.read_triplets(folder), shards.ImageShards(folder).image, seed=seed
        )


class ScenesData(Source):
    """See cir.datasets.drawn.Plan."""

    source: Literal["scenes"]
    train_queries: PositiveInt
    val_queries: PositiveInt
    test_queries: PositiveInt
    novel_share: float = Field(ge=0, lt=1)
    novel_queries: NonNegativeInt
    train_near_misses: NonNegativeInt
    image_size: int = Field(ge=32)

    @model_validator(mode="after")
    def _novel_queries_exist(self) -> "ScenesData":
        if self.novel_queries > self.test_queries:
            raise ValueError(
                f"novel_queries ({self.novel_queries}) are among the {self.test_queries} "
                "test_queries, so they cannot be more"
            )
        return self

    def splits(self, sentences: Sentences, seed: int) -> dict[str, Split]:
        plan = drawn.Plan(**self.model_dump(include=set(drawn.Plan.__dataclass_fields__)))
        return drawn.load(plan, sentences, seed, self.processes())

    def picture(self, seed: int) -> Image.Image:
        return scenes.contact_sheet(self.image_size, seed)


class ContestData(Source):
    """See cir.datasets.contest.load."""

    source: Literal["contest"]
    root: Path
    split: SplitShares
    max_side: PositiveInt

    def splits(self, sentences: Sentences, seed: int) -> dict[str, Split]:
        splits = contest.load(self.root, self.split.shares(), self.max_side, seed, self.processes())
        for sentence in contest.remarks(splits["test"].info):
            print(sentence)
        return splits


class CocoData(Source):
    """See cir.datasets.coco.read, .load and cir.datasets.object_sets.Rules."""

    source: Literal["coco"]
    root: Path
    annotations: Path
    images: Path
    split: SplitShares
    min_area: float = Field(ge=0, lt=1)
    max_objects: PositiveInt
    min_shared: NonNegativeInt
    max_edit: PositiveInt
    per_target: PositiveInt
    near_misses: NonNegativeInt
    max_side: PositiveInt

    def splits(self, sentences: Sentences, seed: int) -> dict[str, Split]:
        if not self.root.is_dir():
            raise UserError(f"data.root is no folder: {self.root}")
        annotated = coco.read(self.root / self.annotations, self.root / self.images, self.min_area)
        return coco.load(
            annotated,
            sentences,
            self.split.shares(),
            Rules(self.min_shared, self.max_edit, self.per_target, self.near_misses),
            self.max_objects,
            self.max_side,
            seed,
            self.processes(),
        )


class Params(StageParams):
    seed: int
    data: Annotated[ScenesData | ContestData | CocoData, Field(discriminator="source")]


def read_sentences(path: Path) -> Sentences:
    """The templates that the tagging data set aside for each part."""
    content = files.read_json(path)
    names = {"train": "train", "val": "validation", "test": "test"}
    return {part: [Template(**entry) for entry in content[name]] for part, name in names.items()}


def main() -> None:
    params = load(Params)
    with files.exclusive(OUT):
        splits = params.data.splits(read_sentences(TEMPLATES), params.seed)
        for part in SPLITS:
            split = splits[part]
            rows = progress(split.rows, split.images, f"writing {part}", "images")
            shards.write(OUT / part, rows, split.triplets, split.info, params.data.rows_per_shard)
            info = shards.read_info(OUT / part)
            print(f"{part}: {info['triplets']:,} queries, {info['images']:,} images")
        with files.whole_file(SHEET) as path:
            params.data.picture(params.seed).save(path, "JPEG", quality=85)


if __name__ == "__main__":
    run(main)
