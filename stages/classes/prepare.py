"""Write images with classes as the shards of train, val, query and gallery."""

from pathlib import Path

from cir.classes.datasets import PARTS, make_splits
from cir.classes.datasets.base import counted
from cir.classes.datasets.params import ClassData
from cir.core import files
from cir.core.progress import progress, say
from cir.images import shards
from stages.params import StageParams, load
from stages.run import run

OUT = Path("data/classes")


class Params(StageParams):
    seed: int
    class_data: ClassData


def main() -> None:
    params = load(Params)
    with files.exclusive(OUT):
        splits = make_splits(params.class_data, params.seed)
        for note in splits["train"].info["notes"]:
            say(note)
        _remove_parts()
        for part in PARTS:
            split = splits[part]
            rows = progress(split.rows, split.images, f"writing {part}", "images")
            shards.write(
                OUT / part, rows, split.triplets, split.info, params.class_data.rows_per_shard
            )
            classes = counted(len(split.info["classes"]), "class", "classes")
            print(f"{part}: {counted(split.images, 'image', 'images')} of {classes}")


def _remove_parts() -> None:
    """Remove the parts of an earlier run, so that none is left beside the new ones.

    Each part is replaced at once: a killed run leaves it whole, empty or absent.
    """
    for part in PARTS:
        with files.whole_folder(OUT / part):
            pass
        (OUT / part).rmdir()


if __name__ == "__main__":
    run(main)
