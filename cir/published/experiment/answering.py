"""Answer published query sets with a model; each image is encoded once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.composers.base import EncodedEdits
from cir.composers.model import EncodedComposer
from cir.core.progress import progress
from cir.core.records import Edit
from cir.published.datasets import PublishedDataset, QuerySet
from cir.published.experiment.scoring import BOTH, EDIT, IMAGE, INPUTS, Answers, answer, averaged

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
    asked = _answers(model, source, query_sets, read, batch_size, (BOTH,))
    return [answers[BOTH] for answers in asked]


def answer_by_input(
    model: EncodedComposer,
    source: Source,
    query_sets: Sequence[QuerySet],
    read: Reader = untagged,
    batch_size: int = 128,
) -> list[dict[str, Answers]]:
    """Answer as `answer_query_sets` does, with both inputs and with each alone: a key of INPUTS.

    The edit alone is composed with zeros as image features; the image alone is the reference.
    """
    return _answers(model, source, query_sets, read, batch_size, INPUTS)


@torch.inference_mode()
def _answers(
    model: EncodedComposer,
    source: Source,
    query_sets: Sequence[QuerySet],
    read: Reader,
    batch_size: int,
    inputs: Sequence[str],
) -> list[dict[str, Answers]]:
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
        gallery = gallery.cpu().numpy()
        references = [row[query.reference] for query in one.queries for _ in query.texts]
        edits = read([text for query in one.queries for text in query.texts])
        encoded = model.encode_all_edits(edits)
        own = {}
        for made_of in inputs:
            vectors = _vectors(model, images, references, encoded, made_of, batch_size)
            own[made_of] = answer(one, averaged(one, vectors), gallery)
        found.append(own)
    return found


def _vectors(
    model: EncodedComposer,
    images: torch.Tensor,
    references: Sequence[int],
    edits: EncodedEdits,
    made_of: str,
    batch_size: int,
) -> np.ndarray:
    """Return a vector of length one, or zeros, for each text: [T, D].

    `images` [N, D] are the features of all images, and `references` [T] rows of it.
    """
    vectors = []
    for start in range(0, len(references), batch_size):
        part = slice(start, start + batch_size)
        features = images[references[part]]
        if made_of == IMAGE:
            vectors.append(functional.normalize(features, dim=1))
        else:
            image = torch.zeros_like(features) if made_of == EDIT else features
            vectors.append(model.compose(image, edits[part]))
    return torch.cat(vectors).cpu().numpy()
