"""Embed the images of the test split with the trained encoder → data/embeddings."""

import shutil
from pathlib import Path

from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.device import DEVICE
from cir.encoders import Encoder
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import embed
from cir.retrieval.ranking.params import EmbedGallery
from stages.params import StageParams, load
from stages.run import code_of, run

ENCODER = Path("models/encoder")
TEST = Path("data/retrieval/test")
EMBEDDINGS = Path("data/embeddings")


class Params(StageParams):
    embed_gallery: EmbedGallery


def main() -> None:
    params = load(Params).embed_gallery
    shards = ImageShards(TEST).shards()
    encoder = Encoder.load(ENCODER).to(DEVICE).eval()
    work = checkpoint_folder("embed_gallery", *code_of(__file__), ENCODER, TEST)
    with files.exclusive(EMBEDDINGS, work):
        embed(encoder, shards, EMBEDDINGS, work, params.batch_size, params.workers)
        shutil.rmtree(work)


if __name__ == "__main__":
    run(main)
