"""Images, captions and text queries of one source become train, val and test."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cir.core import files
from cir.core.params import Section
from cir.core.progress import say
from cir.datasets import scenes
from cir.images.shards import ImageShards, read_info
from cir.images.splitting import SPLITS
from cir.text_search.data import captioned_folder, drawn
from cir.text_search.data.queries import TextSplit
from stages.params import StageParams, load
from stages.run import run

RETRIEVAL = Path("data/retrieval/train")
OUT = Path("data/text_search")

Share = Annotated[float, Field(gt=0, lt=1)]


class _Source(Section):
    """What every source has."""

    rows_per_shard: PositiveInt
    workers: NonNegativeInt

    def processes(self) -> int:
        return self.workers or os.cpu_count() or 1


class DrawnScenes(_Source):
    """See cir.text_search.data.drawn.Plan."""

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

    def splits(self, seed: int) -> dict[str, TextSplit]:
        plan = drawn.Plan(**self.model_dump(include=set(drawn.Plan.__dataclass_fields__)))
        shown_before, info = ImageShards(RETRIEVAL), read_info(RETRIEVAL)
        names = info["names"] if info["source"] == "scenes" else scenes.all_names()
        seen = drawn.pairs_shown(shown_before.objects(name) for name in shown_before.ids)
        return drawn.load(plan, names, seen, seed, self.processes())


class CaptionedFolder(_Source):
    """See cir.text_search.data.captioned_folder.load."""

    source: Literal["captioned_folder"]
    root: Path
    captions: Path
    val: Share
    test: Share
    max_side: PositiveInt

    @model_validator(mode="after")
    def _leaves_training(self) -> "CaptionedFolder":
        if self.val + self.test >= 1:
            raise ValueError(f"val and test leave nothing for train: {self.val} + {self.test}")
        return self

    def splits(self, seed: int) -> dict[str, TextSplit]:
        shares = {"train": 1 - self.val - self.test, "val": self.val, "test": self.test}
        return captioned_folder.load(
            self.root, self.captions, shares, self.max_side, seed, self.processes()
        )


class Params(StageParams):
    seed: int
    text_data: Annotated[DrawnScenes | CaptionedFolder, Field(discriminator="source")]


def main() -> None:
    params = load(Params)
    with files.exclusive(OUT):
        splits = params.text_data.splits(params.seed)
        with files.whole_folder(OUT) as folder:
            for part in SPLITS:
                splits[part].write(folder / part, params.text_data.rows_per_shard)
                info = read_info(folder / part)
                say(
                    f"{part}: {info['images']:,} images, {info['captions']:,} captions, "
                    f"{info['queries']:,} queries"
                )


if __name__ == "__main__":
    run(main)
