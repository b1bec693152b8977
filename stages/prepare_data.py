"""Write the images and triplets of one source as the shards of train, val and test."""

from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import Field, model_validator

from cir.core import files
from cir.core.progress import progress
from cir.datasets import coco, contest, drawn, scenes
from cir.datasets.params import CocoData, ContestData, ScenesData
from cir.datasets.sample_sheet import query_sheet
from cir.edits.reading.templates import Template
from cir.images import shards
from cir.images.splitting import SPLITS
from stages.params import StageParams, load
from stages.run import run

TEMPLATES = Path("data/tagging/templates.json")
OUT = Path("data/retrieval")
TAGGER = Path("models/tagger")
SHEET = Path("metrics/pictures/contact_sheet.jpg")
LOADERS = {"scenes": drawn.load, "contest": contest.load, "coco": coco.load}


class Params(StageParams):
    seed: int
    data: Annotated[ScenesData | ContestData | CocoData, Field(discriminator="source")]

    @model_validator(mode="after")
    def _training_waits_for_what_it_reads(self) -> "Params":
        wanted = TAGGER if isinstance(self.data, ContestData) else OUT / "train"
        if self.data.labels_from != wanted:
            raise ValueError(
                f"data.labels_from must be {wanted} with data.source={self.data.source}, got "
                f"{self.data.labels_from}"
            )
        return self


def main() -> None:
    params = load(Params)
    data = params.data
    with files.exclusive(OUT):
        splits = LOADERS[data.source](data, read_sentences(TEMPLATES), params.seed)
        if data.source == "contest":
            for sentence in contest.remarks(splits["test"].info):
                print(sentence)
        for part in SPLITS:
            split = splits[part]
            rows = progress(split.rows, split.images, f"writing {part}", "images")
            shards.write(OUT / part, rows, split.triplets, split.info, data.rows_per_shard)
            info = shards.read_info(OUT / part)
            print(f"{part}: {info['triplets']:,} queries, {info['images']:,} images")
        with files.whole_file(SHEET) as path:
            _picture(params).save(path, "JPEG", quality=85)


def read_sentences(path: Path) -> dict[str, list[Template]]:
    """Read the templates that the stage expand_templates gave to each split."""
    content = files.read_json(path)
    names = {"train": "train", "val": "validation", "test": "test"}
    return {part: [Template(**entry) for entry in content[name]] for part, name in names.items()}


def _picture(params: Params) -> Image.Image:
    """Draw a sheet of the drawable objects, or of sample queries from the written train split."""
    if params.data.source == "scenes":
        return scenes.contact_sheet(params.data.image_size, params.seed)
    train = OUT / "train"
    images = shards.ImageShards(train)
    return query_sheet(shards.read_triplets(train), images.image, seed=params.seed)


if __name__ == "__main__":
    run(main)
