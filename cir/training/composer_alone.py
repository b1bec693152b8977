"""Train a composer alone, on features that a frozen encoder computed once.

Losses and training loop are those of training with the encoder in the loop. A batch picks rows of
the features, so it costs about a hundredth of encoding its images.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cir.composers import Composer, EditFeatures
from cir.core.distributed import own_slice
from cir.retrieval.ranking.ranking import Ranking, rank
from cir.training.composition import CompositionLosses, EncodedBatch, TripletBatches
from cir.training.encoded_split import EncodedSplit
from cir.training.losses import Criterion


class CachedBatches(TripletBatches):
    """Give the batch of step s as item s.

    Args:
        split: the training split, on the device of the composer.
        text: the text of an edit that the composer reads, a key of cir.composers.base.TEXTS.
        plan, near_misses: see TripletBatches.
    """

    def __init__(
        self, split: EncodedSplit, text: str, plan: Sequence[np.ndarray], near_misses: int
    ):
        super().__init__(split.ids, split.triplets, split.objects, plan, near_misses)
        self._split, self._text = split, split.texts.get(text)
        # Rows and signs are prepared here, as a step on cached features takes milliseconds.
        row = {name: number for number, name in enumerate(split.names)}
        shown = (split.objects.get(image, ()) for image in split.ids)
        self._shown = [np.array([row[name] for name in names], int) for names in shown]
        self._objects = [np.array([row[n] for n in (*e.add, *e.remove)], int) for e in split.edits]
        self._signs = [np.repeat([1.0, -1.0], [len(e.add), len(e.remove)]) for e in split.edits]

    def __getitem__(self, step: int) -> EncodedBatch:
        kinds, same = self.images(step)
        items = self._plan[step]
        own = own_slice(len(items))
        mine = items[own]
        objects = [self._objects[item] for item in mine]
        names, shown = self._names(np.concatenate(kinds[:2]), items)
        images, name_features = self._split.images, self._split.name_features
        target, reference, *others = (images[self._there(rows[own])] for rows in kinds)
        edit = EditFeatures(
            objects=name_features[self._there(np.concatenate(objects))],
            owner=self._there(np.repeat(np.arange(len(mine)), [len(o) for o in objects])),
            sign=self._there(np.concatenate([self._signs[i] for i in mine])).float(),
            text=None if self._text is None else self._text[self._there(mine)],
        )
        names = name_features[self._there(names)]
        shown = None if shown is None else shown.to(images.device)
        return EncodedBatch(target, reference, others, edit, names, same.to(images.device), shown)

    def _there(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._split.images.device)

    def _names(
        self, images: np.ndarray, items: np.ndarray
    ) -> tuple[np.ndarray, torch.Tensor | None]:
        """Return the rows of the names of images and edits, and which image shows which name."""
        rows = [self._shown[image] for image in images]
        counts = [len(names) for names in rows]
        rows += [self._objects[item] for item in items]
        names, column = np.unique(np.concatenate(rows), return_inverse=True)
        if not all(counts):
            return names, None
        shown = torch.zeros(len(images), len(names), dtype=torch.bool)
        owner = np.repeat(np.arange(len(images)), counts)
        shown[torch.from_numpy(owner), torch.from_numpy(column[: len(owner)])] = True
        return names, shown


class CachedObjective(nn.Module):
    """Compute the losses of the batches of CachedBatches.

    Args:
        composer: what is trained.
        criterion: compares queries with candidates, and is trained too.
        set_weight: see CompositionLosses. There is no naming loss, as it trains encoders only.
    """

    def __init__(self, composer: Composer, criterion: Criterion, set_weight: float):
        super().__init__()
        self.composer = composer
        self.losses = CompositionLosses(criterion, 0.0, set_weight, encoder_learns=False)

    def forward(self, batch: EncodedBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, the same on every process."""
        return self.losses(self.composer, batch)


@torch.inference_mode()
def rank_split(composer: Composer, split: EncodedSplit, k: int = 1) -> Ranking:
    """Rank all images of the split for each of its queries, and keep the first `k`.

    The composer is in evaluation mode, on the device of the split.
    """
    references = split.rows(triplet.reference for triplet in split.triplets)
    edits = split.encoded_edits(composer.text)
    queries = [np.zeros((0, split.images.shape[1]), np.float32)]
    for start in range(0, len(references), 256):
        part = slice(start, start + 256)
        query = composer(split.images[references[part]], edits[part])
        queries.append(functional.normalize(query.float(), dim=1).cpu().numpy())
    return rank(
        np.concatenate(queries),
        functional.normalize(split.images, dim=1).cpu().numpy(),
        [triplet.id for triplet in split.triplets],
        split.ids,
        np.array(split.rows(triplet.target for triplet in split.triplets)),
        k=k,
    )
