"""The params of the stage prepare_data: one section for each source of images and triplets."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cir.core.params import Section, SplitShares, WithWorkers


class Source(WithWorkers):
    """Params that every source has.

    Training learns what an image shows, and what a sentence asks, from `labels_from`, and a
    pipeline makes it wait for this path only: the written training split, or the tagger, if
    sentences have to be read for it.
    """

    rows_per_shard: PositiveInt
    labels_from: Path | None = None


class ScenesData(Source):
    """How many scenes to draw, and how many names to hold out.

    No scene of train or val shows one of the `novel_share` of the names. The edits of
    `novel_queries` test queries have one of these names. A training query gets at most
    `train_near_misses` near misses; a query of val or test always gets all of its near misses.
    """

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


class ContestData(Source):
    """A folder in the contest's format, which has sentences but no names of objects."""

    source: Literal["contest"]
    root: Path
    split: SplitShares
    max_side: PositiveInt  # in pixels; larger images are made smaller


class PairRules(Section):
    """Which pairs of images make a triplet.

    Reference and target share at least `min_shared` objects and differ in at most `max_edit`. One
    target has at most `per_target` triplets, and each triplet at most `near_misses` near misses.
    """

    min_shared: NonNegativeInt
    max_edit: PositiveInt
    per_target: PositiveInt
    near_misses: NonNegativeInt


class CocoData(Source, PairRules):
    """A COCO instances JSON and its folder of images; both paths are relative to `root`.

    An image shows a category if the category's instances fill at least the share `min_area` of
    the image. Images that show more than `max_objects` categories are left out.
    """

    source: Literal["coco"]
    root: Path
    annotations: Path
    images: Path
    split: SplitShares
    min_area: float = Field(ge=0, lt=1)
    max_objects: PositiveInt
    max_side: PositiveInt  # in pixels; larger images are made smaller
