"""The queries of published benchmarks answered by a model; each image goes through it once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.composers.model import EncodedComposer
from cir.core.progress import progress
from cir.core.records import Edit
from cir.published.datasets import Benchmark, BenchmarkDataset
from cir.published.experiment.scoring import Answers, answer, averaged

Reader = Callable[[Sequence[str]], Sequence[Edit]]


@dataclass(frozen=True)
class Pictures:
    """A dataset's images by id, for cir.training.shared.batches.Pixels; `files` tells where they
    lie."""

    dataset: BenchmarkDataset
    files: Mapping[str, Path]

    def image(self, name: str) -> Image.Image:
        """The image of this id, in RGB."""
        return self.dataset.picture(name, self.files)


class Source(Protocol):
    """What an image tower takes: cir.training.shared.batches.Pixels, or features that are computed
    already."""

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """[B, …] for the images of these ids."""


def untagged(texts: Sequence[str]) -> list[Edit]:
    """Edits that are their sentences, for composers that read nothing else."""
    return [Edit(text) for text in texts]


@torch.inference_mode()
def answer_benchmarks(
    model: EncodedComposer,
    source: Source,
    benchmarks: Sequence[Benchmark],
    read: Reader = untagged,
    batch_size: int = 128,
) -> list[Answers]:
    """Answer the queries of the benchmarks, which may share images.

    Args:
        model: in evaluation mode.
        source: of what its image tower takes.
        read: makes edits of the queries' texts; a tagger's `tag`, if the composer reads objects.
        batch_size: images, and queries, at once.
    """
    names = dict.fromkeys(name for one in benchmarks for name in _images_of(one))
    what = "encoding for " + ", ".join(one.name for one in benchmarks)
    parts = _parts(list(names), batch_size, what)
    images = torch.cat([model.encoder.encode_images(source.get(part)).float() for part in parts])
    row = {name: number for number, name in enumerate(names)}
    found = []
    for one in benchmarks:
        gallery = functional.normalize(images[[row[name] for name in one.gallery]], dim=1)
        queries = _queries(model, one, images, row, read, batch_size)
        found.append(answer(one, queries, gallery.cpu().numpy()))
    return found


def _images_of(benchmark: Benchmark) -> Iterator[str]:
    yield from benchmark.gallery
    yield from (query.reference for query in benchmark.queries)


def _queries(
    model: EncodedComposer,
    benchmark: Benchmark,
    images: torch.Tensor,
    row: Mapping[str, int],
    read: Reader,
    batch_size: int,
) -> np.ndarray:
    """Vectors of length one, [Q, D], from the images' features [N, D] and the place of each id."""
    rows = [row[query.reference] for query in benchmark.queries for _ in query.texts]
    edits = read([text for query in benchmark.queries for text in query.texts])
    encoded = model.encode_all_edits(edits)
    vectors = []
    for start in range(0, len(edits), batch_size):
        part = slice(start, start + batch_size)
        vectors.append(model.compose(images[rows[part]], encoded[part]).cpu().numpy())
    return averaged(benchmark, np.concatenate(vectors))


def _parts(names: Sequence[str], size: int, what: str) -> Iterator[Sequence[str]]:
    starts = range(0, len(names), size)
    return (names[s : s + size] for s in progress(starts, len(starts), what, "batches"))
