"""Compare the default store, exact and by graph, with the local mode of Qdrant's client."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from qdrant_client import QdrantClient

from cir.app.stores import IndexedImage, Store, StoreInfo, content_id
from cir.app.stores.edge import EdgeStore
from cir.app.stores.server import ServerStore

DIMENSIONS = 512
CLUSTERS = 200
QUERIES = 50
SLOW_QUERIES = 10  # for the slow local mode
NEAREST = 10

warnings.filterwarnings("ignore", message="Local mode is not recommended")


@dataclass(frozen=True)
class Figures:
    """The figures of searches with one query at a time.

    Attributes:
        exact_seconds: the median seconds of an exact search.
        speed_up: the seconds of the local mode divided by those of the exact search.
        graph_seconds: the median seconds of a search by the graph.
        recall: the share of the true nearest images that the graph finds.
    """

    exact_seconds: float
    speed_up: float
    graph_seconds: float
    recall: float


def measure(count: int) -> Figures:
    """Search `count` clustered vectors [512] for the nearest ten.

    Both stores answer the same queries through the project's interface, with filters and payloads.
    Asserts that both answer exactly before the graph is built.
    """
    vectors, queries = _clustered(count), _clustered(QUERIES, seed=1)
    images = [_image(number) for number in range(count)]
    truth = _truth(vectors, queries, images)
    info = StoreInfo("benchmark", DIMENSIONS, "folder:/benchmark")
    with TemporaryDirectory() as place, EdgeStore.open(Path(place, "store"), info) as store:
        _fill(store, images, vectors)
        with ServerStore.open(QdrantClient(":memory:"), "images", info, "memory") as local:
            _fill(local, images, vectors, at_once=256)  # one request, as it allows one thread
            exact, found = _search_all(store, queries)
            assert _recall(found, truth) == 1, "the exact search misses images"
            slow, found = _search_all(local, queries[:SLOW_QUERIES])
            assert _recall(found, truth) == 1, "the local mode misses images"
        store.optimise()
        graph, found = _search_all(store, queries)
    return Figures(exact, slow / exact, graph, _recall(found, truth))


def _clustered(count: int, seed: int = 0) -> np.ndarray:
    """Draw float32 unit vectors [count, 512] around centres that do not depend on the seed."""
    centres = np.random.default_rng(7).standard_normal((CLUSTERS, DIMENSIONS), np.float32)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIMENSIONS), np.float32)
    vectors += centres[rng.integers(0, CLUSTERS, count)]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _image(number: int) -> IndexedImage:
    path = f"year {number % 20}/month {number % 12}/{number:06d}.jpg"
    tags = (f"tag {number % 7}",)
    return IndexedImage(
        content_id(str(number).encode()), (path,), number, float(number), 64, 64, tags
    )


def _truth(vectors: np.ndarray, queries: np.ndarray, images: list[IndexedImage]) -> list[set[str]]:
    nearest = np.argpartition(-queries @ vectors.T, NEAREST, axis=1)[:, :NEAREST]
    return [{images[row].id for row in rows} for rows in nearest]


def _fill(
    store: Store, images: list[IndexedImage], vectors: np.ndarray, at_once: int = 5_000
) -> None:
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        store.upsert(images[part], vectors[part])


def _search_all(store: Store, queries: np.ndarray) -> tuple[float, list[set[str]]]:
    """Return the median seconds of a search, and the ids that each search found."""
    seconds, found = [], []
    _timed(lambda: store.search(queries[:1], NEAREST))  # warm up
    for query in queries:
        took, (hits,) = _timed(lambda query=query: store.search(query[None], NEAREST))
        seconds.append(took)
        found.append({hit.image.id for hit in hits})
    return float(np.median(seconds)), found


def _timed(call: Callable) -> tuple[float, object]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _recall(found: list[set[str]], truth: list[set[str]]) -> float:
    right = [len(ids & expected) / NEAREST for ids, expected in zip(found, truth, strict=False)]
    return float(np.mean(right))
