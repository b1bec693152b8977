"""Declare the params of the sources of images, captions and queries: the section text_data."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from cir.core.params import SplitShares, WithWorkers


class _Source(WithWorkers):
    rows_per_shard: PositiveInt


class DrawnScenes(_Source):
    """Params of drawn scenes; see cir.text_search.data.drawn.

    The galleries of val and test hold `val_images` and `test_images` scenes, with
    `val_queries_each` and `test_queries_each` queries of every kind. `described` of the
    `train_images` training images have `captions_each` captions; a captioner may describe the
    others.
    """

    source: Literal["scenes"]
    train_images: PositiveInt
    described: PositiveInt
    captions_each: PositiveInt
    val_images: PositiveInt
    val_queries_each: PositiveInt
    test_images: PositiveInt
    test_queries_each: PositiveInt
    image_size: int = Field(ge=32)

    @model_validator(mode="after")
    def _described_exist(self) -> "DrawnScenes":
        if self.described > self.train_images:
            raise ValueError(
                f"described ({self.described}) counts some of the {self.train_images} "
                "train_images, so it cannot be more"
            )
        return self


class CaptionedFolder(_Source, SplitShares):
    """Params of a user's captioned images; `captions` is a file in `root`.

    Larger images shrink to `max_side` pixels; see cir.text_search.data.captioned_folder.
    """

    source: Literal["captioned_folder"]
    root: Path
    captions: Path
    max_side: PositiveInt


TextData = Annotated[DrawnScenes | CaptionedFolder, Field(discriminator="source")]
