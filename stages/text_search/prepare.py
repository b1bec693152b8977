"""Write images, captions and text queries of one source as train, val and test."""

from pathlib import Path

from cir.core import files
from cir.core.progress import say
from cir.datasets import scenes
from cir.images.shards import ImageShards, read_info
from cir.images.splitting import SPLITS
from cir.text_search.data import captioned_folder, drawn
from cir.text_search.data.params import CaptionedFolder, TextData
from cir.text_search.data.queries import TextSplit
from stages.params import StageParams, load
from stages.run import run

RETRIEVAL = Path("data/retrieval/train")
OUT = Path("data/text_search")


class Params(StageParams):
    seed: int
    text_data: TextData


def main() -> None:
    params = load(Params)
    with files.exclusive(OUT):
        splits = load_splits(params.text_data, params.seed)
        with files.whole_folder(OUT) as folder:
            for part in SPLITS:
                splits[part].write(folder / part, params.text_data.rows_per_shard)
                info = read_info(folder / part)
                say(
                    f"{part}: {info['images']:,} images, {info['captions']:,} captions, "
                    f"{info['queries']:,} queries"
                )


def load_splits(source: TextData, seed: int) -> dict[str, TextSplit]:
    """Load the parts; drawn queries ask for no pair of names that the main job's training shows."""
    if isinstance(source, CaptionedFolder):
        return captioned_folder.load(source, seed)
    shown_before, info = ImageShards(RETRIEVAL), read_info(RETRIEVAL)
    names = info["names"] if info["source"] == "scenes" else scenes.all_names()
    seen = drawn.pairs_shown(shown_before.objects(name) for name in shown_before.ids)
    return drawn.load(source, names, seen, seed)


if __name__ == "__main__":
    run(main)
