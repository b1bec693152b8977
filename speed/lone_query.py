"""Measure the processor time of one query as the app serves it: image, sentence, names, search."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cir.app.search_model import RetrieverModel
from cir.app.stores import IndexedImage, StoreInfo, content_id
from cir.app.stores.edge import EdgeStore
from cir.retrieval.retriever import Retriever
from speed import encoding
from speed.workload import Workload

STORED, NEAREST = 7_000, 10
_ROUNDS = 5  # other programs make a round slower, never faster


@dataclass(frozen=True)
class Figures:
    """Processor time of a query, on all threads.

    Attributes:
        milliseconds: with names that were encoded before.
        share: of the slow way, which encodes each object by itself and searches in numpy.
        new_names_share: the same for names that were not encoded before.
    """

    milliseconds: float
    share: float
    new_names_share: float


def measure(retriever: Retriever, workload: Workload, queries: int = 128) -> Figures:
    """Answer queries one at a time in a store of random vectors, and in the slow way."""
    model = RetrieverModel(retriever.model, retriever.tagger)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((STORED, model.dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = range(min(queries, len(workload.texts)))

    def slow(row: int) -> None:
        scores = vectors @ encoding.alone(retriever, workload, row)[0]
        np.argpartition(-scores, NEAREST)[:NEAREST]

    with TemporaryDirectory() as place:
        info = StoreInfo("benchmark", model.dim, "folder:/benchmark")
        with EdgeStore.open(Path(place, "store"), info) as store:
            store.upsert([_image(number) for number in range(STORED)], vectors)

            def served(row: int) -> None:
                pixels = model.preprocess(workload.images[row])
                model.tag([workload.texts[row]])
                query = model.compose(pixels[None], [workload.edits[row]], [1.0])
                store.search(query, NEAREST)

            def forgetting(row: int) -> None:
                model._names.clear()
                served(row)

            known, new, apart = (_least(way, rows) for way in (served, forgetting, slow))
    return Figures(1000 * known, known / apart, new / apart)


def _least(answer: Callable[[int], None], rows: Sequence[int]) -> float:
    """Return the processor seconds of a query in the fastest round, after one to warm up."""
    rounds = []
    for _ in range(1 + _ROUNDS):
        started = time.process_time()
        for row in rows:
            answer(row)
        rounds.append((time.process_time() - started) / len(rows))
    return min(rounds[1:])


def _image(number: int) -> IndexedImage:
    name = f"{number:06d}.jpg"
    return IndexedImage(content_id(name.encode()), (name,), number, float(number), 64, 64, ())
