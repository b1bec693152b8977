"""Compare the rate of indexing a folder of images with the encoder's bare rate."""

import time
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cir.app.indexing import index
from cir.app.search_model import RetrieverModel
from cir.app.stores import StoreInfo
from cir.app.stores.edge import EdgeStore
from cir.datasets.sources import FolderSource
from cir.images import decoding as images
from cir.retrieval.retriever import Retriever
from speed.workload import Workload


def share_of_bare_rate(
    retriever: Retriever, workload: Workload, count: int, batch_size: int, repeats: int = 3
) -> float:
    """Return the rate of `index`, from files to a store, divided by that of the encoder alone.

    Both take the same `count` images in batches of the same size, by turns, so that other work on
    the machine slows both. The result is the median of the ratios.
    """
    model = RetrieverModel(retriever.model)
    with TemporaryDirectory() as place:
        folder = Path(place, "images")
        _write(folder, workload.encoded, count)
        batches = _decoded(model, folder, batch_size)
        _encode(model, batches[:2])  # warm up
        ratios = []
        for turn in range(repeats):
            bare = _encode(model, batches)
            ratios.append(
                bare / index_seconds(model, folder, Path(place, f"store{turn}"), batch_size)
            )
    return float(np.median(ratios))


def _write(folder: Path, encoded: list[bytes], count: int) -> None:
    """Write `count` different files: each image gets its number as bytes after its end."""
    folder.mkdir()
    for number, data in zip(range(count), cycle(encoded), strict=False):
        Path(folder, f"{number:06d}.jpg").write_bytes(data + number.to_bytes(4, "big"))


def _decoded(model: RetrieverModel, folder: Path, batch_size: int) -> list[np.ndarray]:
    paths = sorted(folder.iterdir())
    pixels = np.stack([model.preprocess(images.decode(path, path.name)) for path in paths])
    return np.split(pixels, range(batch_size, len(pixels), batch_size))


def _encode(model: RetrieverModel, batches: list[np.ndarray]) -> float:
    """Return the seconds of the encoder over these batches."""
    started = time.perf_counter()
    for batch in batches:
        model.encode_pixels(batch)
    return time.perf_counter() - started


def index_seconds(
    model: RetrieverModel, folder: Path, place: Path, batch_size: int | None
) -> float:
    """Return the seconds of indexing the folder into a new store."""
    source = FolderSource(folder)
    info = StoreInfo(model.fingerprint(), model.dim, source.name)
    with EdgeStore.open(place, info) as store:
        started = time.perf_counter()
        report = index(source, model, store, batch_size)
        seconds = time.perf_counter() - started
        assert store.count() == report.indexed == sum(1 for _ in folder.iterdir())
    return seconds
