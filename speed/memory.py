"""Compare the peak memory of embedding a small and a large gallery, each in a new process."""

import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cir.images import shards
from cir.retrieval.ranking.embedding import embed
from speed.workload import Workload, load_retriever, write_gallery


def growth(workload: Workload, small: int, large: int, batch_size: int) -> float:
    """Return the peak memory for a gallery of `large` images, divided by that for `small`."""
    return _peak(workload, large, batch_size) / _peak(workload, small, batch_size)


def _peak(workload: Workload, count: int, batch_size: int) -> int:
    """Return the largest resident size of a process that embeds `count` images."""
    with TemporaryDirectory() as place:
        write_gallery(Path(place, "images"), workload.encoded, count)
        ran = subprocess.run(
            [sys.executable, "-m", "speed.memory", place, str(batch_size)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return int(ran.stdout.splitlines()[-1])


def _embed_and_report(place: Path, batch_size: int) -> None:
    retriever, _ = load_retriever(batch_size)
    gallery = shards.ImageShards(place / "images").shards()
    embed(retriever.encoder, gallery, place / "out", place / "work", batch_size)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    _embed_and_report(Path(sys.argv[1]), int(sys.argv[2]))
