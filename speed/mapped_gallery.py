"""Rank a gallery of random vectors on disk: memory beside the map, and share of the bandwidth.

python -m speed.mapped_gallery                          200,000 vectors of length 512, 0.4 GB
python -m speed.mapped_gallery --images 5000000         10 GB on disk, removed at the end

With many queries the products take the time, so the ranking is compared with the bare products of
the same blocks. With one query the reading takes it, so it is compared with a sum over the same
map, which does no more than read it. All times are of the processor, as other work on the machine
changes them least.
"""

import argparse
import gc
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cir.core.errors import UserError
from cir.core.progress import progress
from cir.retrieval.ranking.mapped import MappedVectors
from cir.retrieval.ranking.ranking import rank

_ROWS = 8192  # vectors that are made and read at once
_IN_A_FILE = 100 * _ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the vectors are written for the time")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as place:
        gallery = write(Path(place), options.images, options.dim)
        for name, value in measured(gallery, options.queries).items():
            print(f"{name:<52} {value:,.3g}")


def write(folder: Path, images: int, dim: int) -> MappedVectors:
    """Write random vectors of length one, float32, to files in `folder`, and map them.

    Each block is the first one with other random signs, as drawing takes longer than writing.

    Raises UserError if they would fill the disk.
    """
    needed, free = images * dim * 4, shutil.disk_usage(folder).free
    if needed > 0.8 * free:
        raise UserError(
            f"the vectors need {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free: "
            "give fewer --images, or another --folder"
        )
    rng = np.random.default_rng(0)
    base = rng.standard_normal((min(_ROWS, images), dim), np.float32)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    mapped = []
    starts = range(0, images, _IN_A_FILE)
    for start in progress(starts, len(starts), "writing random vectors", "files"):
        path = folder / f"vectors-{len(mapped):05d}.npy"
        shape = min(_IN_A_FILE, images - start), dim
        file = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for row in range(0, len(file), _ROWS):
            signs = rng.choice(np.array([-1, 1], np.float32), dim)
            np.multiply(base[: len(file) - row], signs, out=file[row : row + _ROWS])
        file.flush()
        del file
        mapped.append(np.load(path, mmap_mode="r"))
    return MappedVectors(mapped)


def measured(gallery: MappedVectors, queries: int) -> dict[str, float]:
    """Return times, the growth of memory beside the map, and shares of what is possible."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, len(gallery), queries)
    asked = gallery[targets] + 0.02 * rng.standard_normal((queries, gallery.shape[1]), np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    ids = [str(number) for number in range(len(gallery))]  # they are in memory whatever is done

    def ranking(count: int) -> Callable[[], object]:
        names = [f"query {number}" for number in range(count)]
        return lambda: rank(asked[:count], gallery, names, ids, targets[:count])

    size = len(gallery) * gallery.shape[1] * 4 / 1e9
    products, _ = seconds_and_memory(lambda: bare_products(asked, gallery))
    many, memory = seconds_and_memory(ranking(queries))
    read, _ = seconds_and_memory(lambda: reading(gallery))
    one, _ = seconds_and_memory(ranking(1))
    return {
        "vectors on disk, GB": size,
        f"ranking {queries:,} queries, s of processor": many,
        "memory beside the map while ranking, GB": memory / 1e9,
        "the same / the size of the vectors": memory / 1e9 / size,
        "rate / that of the bare products": products / many,
        "reading alone, GB/s": size / read,
        "ranking one query, GB/s": size / one,
        "one query's rate / that of reading alone": read / one,
    }


def reading(gallery: MappedVectors) -> None:
    """Read every vector once, as fast as a sum does."""
    for start in range(0, len(gallery), _ROWS):
        gallery[start : start + _ROWS].sum()


def bare_products(queries: np.ndarray, gallery: MappedVectors) -> None:
    """Compute the scores of all queries in the blocks of `rank`, and forget them."""
    for start in range(0, len(gallery), _ROWS):
        part = gallery[start : start + _ROWS]
        for row in range(0, len(queries), 256):
            queries[row : row + 256] @ part.T


def seconds_and_memory(work: Callable[[], object]) -> tuple[float, int]:
    """Return processor seconds of the work, and by how many bytes anonymous memory grew at most."""
    gc.collect()  # what earlier work left behind must not go meanwhile
    ended = threading.Event()
    seen = [_anonymous()]

    def watch() -> None:
        while not ended.wait(0.05):
            seen.append(_anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.process_time()
    try:
        work()
    finally:
        seconds = time.process_time() - started
        ended.set()
        watcher.join()
    return seconds, max(seen) - seen[0]


def _anonymous() -> int:
    """Return the bytes of memory of this process that no file backs (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (found,) = (line for line in lines if line.startswith("RssAnon:"))
    return int(found.split()[1]) * 1024


if __name__ == "__main__":
    main()
