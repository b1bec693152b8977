"""Measure k-reciprocal re-ranking: seconds, memory, and the ratio to dense matrices."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cir.retrieval.refine import JointGraph, Settings
from speed.dense_reranking import dense_joint

DIMENSIONS = 512
CLASSES = 200
BLOCK = 64


def speed_up(queries: int, images: int, repeats: int = 3) -> float:
    """Return the seconds of the dense version divided by ours, the median of several turns.

    Asserts that both answer the same.
    """
    settings, (asked, gallery) = Settings(), _vectors(queries, images)
    _answer(asked, gallery, settings)  # warm up
    ratios = []
    for _ in range(repeats):
        started = time.perf_counter()
        expected = dense_joint(asked, gallery, settings.k1, settings.k2, settings.weight)
        between = time.perf_counter()
        found = _answer(asked, gallery, settings)
        ratios.append((between - started) / (time.perf_counter() - between))
        # Images whose distances differ in the last bits only may change places.
        assert np.mean(np.abs(found - expected) > 1e-5) < 1e-3, "the two answer differently"
    return float(np.median(ratios))


def seconds_and_memory(queries: int, images: int) -> tuple[float, float]:
    """Return the seconds of re-ranking and the GB that it takes in addition to the vectors.

    The seconds include the search for neighbours. A new process runs it, so that its memory is not
    mixed with ours.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "speed.reranking", str(queries), str(images)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, kibibytes = ran.stdout.split()[-2:]
    return float(seconds), float(kibibytes) * 1024 / 1e9


def _vectors(queries: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw unit vectors [Q, 512] of queries and [N, 512] of a gallery around the same centres."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((queries + images, DIMENSIONS), np.float32)
    centres = rng.standard_normal((CLASSES, DIMENSIONS), np.float32)
    for row, centre in enumerate(rng.integers(0, CLASSES, len(vectors))):
        vectors[row] += centres[centre]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:queries], vectors[queries:]


def _answer(queries: np.ndarray, gallery: np.ndarray, settings: Settings) -> np.ndarray:
    graph = JointGraph(queries, gallery, settings)
    starts = range(0, len(queries), BLOCK)
    return np.concatenate([graph.distances(slice(start, start + BLOCK)) for start in starts])


def _kibibytes(name: str) -> int:
    """Return this process's memory: VmRSS is the present size, VmHWM the peak.

    Unlike ru_maxrss, VmHWM does not include the memory of the parent process.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _measure(queries: int, images: int) -> None:
    asked, gallery = _vectors(queries, images)
    before, started = _kibibytes("VmRSS"), time.perf_counter()
    graph = JointGraph(asked, gallery, Settings())
    for start in range(0, queries, BLOCK):
        graph.distances(slice(start, start + BLOCK))
    print(time.perf_counter() - started, _kibibytes("VmHWM") - before)


if __name__ == "__main__":
    _measure(int(sys.argv[1]), int(sys.argv[2]))
