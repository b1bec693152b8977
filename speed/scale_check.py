"""Compare the formula of speed.scale with runs on this machine, at growing sizes.

The smallest size gives the unit cost; the larger ones say how far the formula is off. Embedding
takes drawn images, repeated, by the micro encoder; ranking takes random vectors in memory.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from cir.encoders import Encoder
from cir.retrieval.ranking.embedding import Embeddings, embed
from cir.retrieval.ranking.ranking import rank
from speed.scale import ENCODERS
from speed.workload import load_workload, write_gallery

EMBEDDED, RANKED = (7_000, 50_000), (7_000, 50_000, 500_000)
QUERIES = 64


def show() -> None:
    """Measure, and print each size beside what the formula says from the smallest one."""
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-Micro-64", None, "a photo of a {}").eval()
    assert encoder.dim == ENCODERS["micro"].dim
    print("\n".join(lines("embedding", EMBEDDED, lambda count: embedding(encoder, count))))
    print("\n".join(lines(f"ranking {QUERIES} queries", RANKED, ranking)))


def lines(
    what: str, sizes: tuple[int, ...], measure: Callable[[int], tuple[float, int]]
) -> list[str]:
    """Return a line for each size: processor seconds and bytes of vectors, and the error."""
    found = [f"{what:<22}{'processor s':>12}{'formula':>10}{'off':>7}{'bytes':>14}{'off':>7}"]
    first = None
    for size in sizes:
        seconds, stored = measure(size)
        first = first or seconds
        said, bytes_said = first * size / sizes[0], size * 4 * ENCODERS["micro"].dim
        found.append(
            f"{size:>22,}{seconds:>12.2f}{said:>10.2f}{seconds / said - 1:>7.0%}"
            f"{stored:>14,}{stored / bytes_said - 1:>7.1%}"
        )
    return found


def embedding(encoder: Encoder, count: int) -> tuple[float, int]:
    """Return the processor seconds of embedding `count` images, and the bytes on disk."""
    workload, _ = load_workload(512)
    with TemporaryDirectory() as place:
        gallery = write_gallery(Path(place, "images"), workload.encoded, count)
        started = time.process_time()
        embed(encoder, gallery, Path(place, "out"), Path(place, "work"))
        seconds = time.process_time() - started
        assert len(Embeddings.load(Path(place, "out"), encoder.fingerprint()).ids) == count
        return seconds, sum(path.stat().st_size for path in Path(place, "out").glob("*.npy"))


def ranking(count: int) -> tuple[float, int]:
    """Return the processor seconds of ranking `count` vectors, and their bytes."""
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((count, ENCODERS["micro"].dim), np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    targets = rng.integers(0, count, QUERIES)
    queries, ids = gallery[targets], [str(number) for number in range(count)]
    names = [f"query {number}" for number in range(QUERIES)]
    rank(queries, gallery[:7_000], names, ids[:7_000], targets % 7_000)  # warm up
    started = time.process_time()
    rank(queries, gallery, names, ids, targets)
    return time.process_time() - started, gallery.nbytes
