"""Answer published query sets with a model; each image is encoded once."""

from collections.abc import Callable, Mapping, Sequence
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
from cir.published.datasets import PublishedDataset, QuerySet
from cir.published.experiment.scoring import Answers, answer, averaged

Reader = Callable[[Sequence[str]], Sequence[Edit]]


@dataclass(frozen=True)
class Pictures:
    """The images of a dataset by id, as cir.training.shared.batches.Pixels takes them.

    `files` has the path of each id.
    """

    dataset: PublishedDataset
    files: Mapping[str, Path]

    def image(self, name: str) -> Image.Image:
        """Return the image of this id, in RGB."""
        return self.dataset.picture(name, self.files)


class Source(Protocol):
    """Where an image tower gets its input: cir.training.shared.batches.Pixels, or features."""

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """Return the input [B, …] for the images of these ids."""


def untagged(texts: Sequence[str]) -> list[Edit]:
    """Make edits without tags, for composers that read only the sentence."""
    return [Edit(text) for text in texts]


@torch.inference_mode()
def answer_query_sets(
    model: EncodedComposer,
    source: Source,
    query_sets: Sequence[QuerySet],
    read: Reader = untagged,
    batch_size: int = 128,
) -> list[Answers]:
    """Answer the queries of the query sets, which may share images.

    Args:
        model: encoder and composer, in evaluation mode.
        source: input of the image tower.
        read: makes edits of texts; a tagger's `tag`, if the composer reads objects.
        batch_size: images and queries encoded at once.
    """
    needed = ((*one.gallery, *(query.reference for query in one.queries)) for one in query_sets)
    names = list(dict.fromkeys(name for own in needed for name in own))
    what = "encoding for " + ", ".join(one.name for one in query_sets)
    starts = range(0, len(names), batch_size)
    images = torch.cat(
        [
            model.encoder.encode_images(source.get(names[start : start + batch_size])).float()
            for start in progress(starts, len(starts), what, "batches")
        ]
    )
    row = {name: number for number, name in enumerate(names)}
    found = []
    for one in query_sets:
        gallery = functional.normalize(images[[row[name] for name in one.gallery]], dim=1)
        queries = _queries(model, one, images, row, read, batch_size)
        found.append(answer(one, queries, gallery.cpu().numpy()))
    return found


def _queries(
    model: EncodedComposer,
    query_set: QuerySet,
    images: torch.Tensor,
    row: Mapping[str, int],
    read: Reader,
    batch_size: int,
) -> np.ndarray:
    """Return query vectors [Q, D] of length one; `row` is the row of each id in `images` [N, D]."""
    rows = [row[query.reference] for query in query_set.queries for _ in query.texts]
    edits = read([text for query in query_set.queries for text in query.texts])
    encoded = model.encode_all_edits(edits)
    vectors = []
    for start in range(0, len(edits), batch_size):
        part = slice(start, start + batch_size)
        vectors.append(model.compose(images[rows[part]], encoded[part]).cpu().numpy())
    return averaged(query_set, np.concatenate(vectors))
