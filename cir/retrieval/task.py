"""The task of the test queries: their gallery, their query vectors, and the rankings for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cir.composers.base import EncodedEdits
from cir.core.errors import UserError
from cir.core.records import Edit, Triplet
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.ranking.ranking import Ranking, rank
from cir.retrieval.retriever import Retriever


@dataclass(frozen=True)
class Task:
    """The test queries and the embedded gallery. Raises UserError if an image is missing."""

    triplets: Sequence[Triplet]
    embeddings: Embeddings

    def __post_init__(self) -> None:
        if not self.triplets:
            raise UserError("the test split holds no queries to score")
        known = set(self.embeddings.ids)
        lacking = {t.target for t in self.triplets} | {t.reference for t in self.triplets}
        lacking -= known
        if lacking:
            raise UserError(
                f"the embedded gallery lacks {len(lacking)} images of the queries, such as "
                f"{min(lacking)}: run the embed_gallery stage again"
            )

    def rows(self, names: Iterable[str]) -> np.ndarray:
        """Return the gallery rows of these images."""
        return np.array([self._row_of[name] for name in names], int)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.embeddings.ids)}

    @property
    def targets(self) -> np.ndarray:
        """Return the gallery row of each query's target [Q]."""
        return self.rows(t.target for t in self.triplets)

    @property
    def references(self) -> np.ndarray:
        """Return the gallery row of each query's reference [Q]."""
        return self.rows(t.reference for t in self.triplets)

    @property
    def contest_like(self) -> np.ndarray:
        """Return [N] bool: which images are the target or reference of a query."""
        mask = np.zeros(len(self.embeddings.ids), bool)
        mask[self.targets] = True
        mask[self.references] = True
        return mask

    @property
    def image_vectors(self) -> np.ndarray:
        """Return the query vectors [Q, D] of the image alone: those of the references."""
        return self.embeddings.vectors[self.references]

    @property
    def moving(self) -> np.ndarray:
        """Return [Q] bool: which queries have another target than their own reference."""
        return self.targets != self.references

    def part(self, chosen: np.ndarray) -> "Task":
        """Return the task of the queries in `chosen`, bool [Q] or rows, with the same gallery."""
        numbers = np.arange(len(self.triplets))[chosen]
        return Task([self.triplets[number] for number in numbers], self.embeddings)

    def rank(
        self, queries: np.ndarray, allowed: np.ndarray | None = None, reference_kept: bool = True
    ) -> Ranking:
        """Rank the gallery for query vectors [Q, D].

        `allowed` [N] bool keeps part of the gallery. Without `reference_kept`, each query's
        reference is taken out of its gallery, so no target may be its own reference.
        """
        return rank(
            queries,
            self.embeddings.vectors,
            [t.id for t in self.triplets],
            self.embeddings.ids,
            self.targets,
            allowed=allowed,
            excluded=None if reference_kept else self.references,
        )


def encode_edits(retriever: Retriever, edits: Sequence[Edit]) -> EncodedEdits:
    """Encode edits, each different name and text once."""
    with torch.inference_mode():
        return retriever.model.encode_all_edits(edits, 2 * retriever.batch_size)


def compose_queries(
    retriever: Retriever, features: torch.Tensor, edits: EncodedEdits
) -> np.ndarray:
    """Compose image features [Q, D], not normalised, with Q edits: query vectors [Q, D]."""
    device = retriever.encoder.device
    parts = [np.zeros((0, retriever.encoder.dim), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(features), retriever.batch_size):
            rows = slice(start, start + retriever.batch_size)
            query = retriever.model.compose(features[rows].to(device), edits[rows])
            parts.append(query.cpu().numpy())
    return np.concatenate(parts)


def edit_vectors(retriever: Retriever, edits: EncodedEdits) -> np.ndarray:
    """Compose Q edits with zeros as image features: [Q, D], zeros where an edit is empty."""
    nothing = torch.zeros(len(edits.edits), retriever.encoder.dim)
    return compose_queries(retriever, nothing, edits)
