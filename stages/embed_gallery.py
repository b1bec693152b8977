"""The images of the test split → data/embeddings, in the space of the trained encoder."""

import os
from pathlib import Path

import torch
from pydantic import NonNegativeInt, PositiveInt

from cir import files
from cir.datasets.shards import ImageShards
from cir.embedding import embed
from cir.encoders import Encoder
from stages import Section, StageParams, load, run

ENCODER = Path("models/encoder")
TEST = Path("data/retrieval/test")
EMBEDDINGS = Path("data/embeddings")


class EmbedGallery(Section):
    """How the gallery is embedded; `workers` threads take a batch each (0: one per core)."""

    batch_size: PositiveInt
    workers: NonNegativeInt


class Params(StageParams):
    embed_gallery: EmbedGallery


def main() -> None:
    params = load(Params).embed_gallery
    shards = ImageShards(TEST).shards()
    encoder = Encoder.load(ENCODER).to("cuda" if torch.cuda.is_available() else "cpu").eval()
    work = Path(os.environ.get("CIR_CHECKPOINTS", ".checkpoints")) / "embed_gallery"
    with files.exclusive(EMBEDDINGS):
        embed(encoder, shards, EMBEDDINGS, work, params.batch_size, params.workers)


if __name__ == "__main__":
    run(main)
