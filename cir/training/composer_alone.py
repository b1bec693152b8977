"""Train a composer alone, on features that a frozen encoder computed once.

Losses and training loop are those of training with the encoder in the loop. A batch holds row
numbers of the features, so it costs about a hundredth of encoding its images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cir.composers import Composer, EditFeatures
from cir.core.distributed import own_slice
from cir.core.records import Edit, Triplet
from cir.training.composition import (
    CompositionLosses,
    EncodedBatch,
    TripletBatches,
    accuracy_among,
)
from cir.training.encoded_split import Features
from cir.training.losses import Criterion


@dataclass(frozen=True)
class CachedBatch:
    """A process's b of the B triplets of a step, as rows of Features.

    Args:
        images: int64 [b·(2 + m)]: b targets, b references, then m near misses of each.
        texts: int64 [b], rows of the texts.
        objects: int64 [P], rows of the names in the b edits.
        owner, sign: [P], see EditFeatures.
        names: int64 [N], rows of all names in the global batch's edits and images.
        same, shown: see cir.training.composition.CompositionBatch.
    """

    images: torch.Tensor
    texts: torch.Tensor
    objects: torch.Tensor
    owner: torch.Tensor
    sign: torch.Tensor
    names: torch.Tensor
    same: torch.Tensor
    shown: torch.Tensor | None


class CachedBatches(TripletBatches):
    """Give the batch of step s as item s.

    Args:
        features: of the split.
        edits: the edit of each triplet.
        triplets, objects, plan, near_misses: see TripletBatches.
    """

    def __init__(
        self,
        features: Features,
        triplets: Sequence[Triplet],
        edits: Sequence[Edit],
        objects: Mapping[str, Sequence[str]],
        plan: Sequence[np.ndarray],
        near_misses: int,
    ):
        super().__init__(features.ids, triplets, objects, plan, near_misses)
        # Rows and signs are prepared here, as a step on cached features takes milliseconds.
        name = {text: row for row, text in enumerate(features.names)}
        self._shown = [np.array([name[n] for n in objects.get(i, ())], int) for i in features.ids]
        self._objects = [np.array([name[n] for n in (*e.add, *e.remove)], int) for e in edits]
        self._signs = [np.repeat([1.0, -1.0], [len(e.add), len(e.remove)]) for e in edits]

    def __getitem__(self, step: int) -> CachedBatch:
        kinds, same = self.images(step)
        items = self._plan[step]
        own = own_slice(len(items))
        mine = items[own]
        objects = [self._objects[item] for item in mine]
        names, shown = self._names(np.concatenate(kinds[:2]), items)
        return CachedBatch(
            images=torch.from_numpy(np.concatenate([rows[own] for rows in kinds])),
            texts=torch.from_numpy(np.asarray(mine)),
            objects=torch.from_numpy(np.concatenate(objects)),
            owner=torch.from_numpy(np.repeat(np.arange(len(mine)), [len(o) for o in objects])),
            sign=torch.from_numpy(np.concatenate([self._signs[i] for i in mine])).float(),
            names=torch.from_numpy(names),
            same=same,
            shown=shown,
        )

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
    """Compute the losses of a CachedBatch, as CompositionObjective does with its encoder.

    Args:
        composer: what is trained.
        features: of the split, on the composer's device.
        criterion: compares queries with candidates, and is trained too.
        set_weight: see CompositionLosses. There is no naming loss, as it trains encoders only.
    """

    def __init__(
        self, composer: Composer, features: Features, criterion: Criterion, set_weight: float
    ):
        super().__init__()
        self.composer = composer
        self.losses = CompositionLosses(criterion, 0.0, set_weight, encoder_learns=False)
        self._features = features  # not as buffers, which DDP would broadcast at every step

    def forward(self, batch: CachedBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, the same on every process."""
        features, own = self._features, len(batch.texts)
        device = features.images.device
        images = features.images[batch.images.to(device)]
        target, reference, *others = images.split(own)
        text = None if features.text is None else features.text[batch.texts.to(device)]
        objects = features.name_features[batch.objects.to(device)]
        edit = EditFeatures(objects, batch.owner.to(device), batch.sign.to(device), text)
        shown = None if batch.shown is None else batch.shown.to(device)
        names = features.name_features[batch.names.to(device)]
        same = batch.same.to(device)
        encoded = EncodedBatch(target, reference, others, edit, names, same, shown)
        return self.losses(self.composer, encoded)


@torch.inference_mode()
def compose_queries(
    composer: Composer, features: Features, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> np.ndarray:
    """Return query vectors float32 [T, D] of length 1; the composer is in evaluation mode."""
    references = features.rows(triplet.reference for triplet in triplets)
    encoded = features.encoded(edits)
    parts = [np.zeros((0, features.images.shape[1]), np.float32)]
    for start in range(0, len(triplets), 256):
        part = slice(start, start + 256)
        query = composer(features.images[references[part]], encoded[part])
        parts.append(functional.normalize(query.float(), dim=1).cpu().numpy())
    return np.concatenate(parts)


def cached_accuracy(
    composer: Composer, features: Features, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> dict[str, float]:
    """Measure as cir.training.composition.gallery_accuracy does, among all images."""
    gallery = functional.normalize(features.images, dim=1).cpu().numpy()
    queries = compose_queries(composer, features, triplets, edits)
    return accuracy_among(queries, gallery, features.ids, triplets)
