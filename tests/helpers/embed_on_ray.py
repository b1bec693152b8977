"""Embed a folder of shards with the held encoder, as a stage does, in a process of its own."""

import sys
from pathlib import Path

from cir.core.errors import UserError
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import embed
from tests.helpers.ray_cluster import HeldEncoder


def main(data: str, place: str) -> None:
    encoder = HeldEncoder(Path(place, "log"))
    try:
        embed(encoder, ImageShards(Path(data)).shards(), Path(place, "out"), Path(place, "work"))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
