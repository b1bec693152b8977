"""Give the training on a published dataset its batches, cached features and parameter groups.

The objective is in cir.training.composition and the loop in cir.training.shared.loop.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from cir.core.distributed import own_slice, processes
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.encoders import Encoder
from cir.published.datasets import TrainingPairs
from cir.published.experiment.answering import Source
from cir.training.composition import CompositionBatch
from cir.training.shared.batches import Pixels


class CachedFeatures:
    """Cache the features of a frozen image tower; each image is encoded when first asked for.

    Args:
        pixels: the images.
        tower: an encoder; it is put into evaluation mode.
        batch_size: images encoded at once.
    """

    def __init__(self, pixels: Pixels, tower: Encoder, batch_size: int = 64):
        self._pixels, self._tower, self._batch_size = pixels, tower.eval(), batch_size
        self._known: dict[str, torch.Tensor] = {}

    def get(self, names: Sequence[str]) -> torch.Tensor:
        """Return features float32 [B, D] of the images of these ids, not normalised."""
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        for start in range(0, len(new), self._batch_size):
            part = new[start : start + self._batch_size]
            with torch.inference_mode():
                features = self._tower.encode_images(self._pixels.get(part)).cpu()
            self._known |= zip(part, features.numpy(), strict=True)
        return torch.from_numpy(np.stack([self._known[name] for name in names]))


class PairBatches(Dataset):
    """The batches of training pairs: item s is the batch of step s.

    An epoch ends with its last whole batch. The dataset's own rule draws the pairs, so two pairs
    of a batch may have the same target.

    Args:
        pairs: training pairs of the dataset.
        source: input of the image tower.
        batch_size: pairs in a batch; an epoch with fewer pairs makes one smaller batch.
        steps: number of batches.
        seed: seed of the draws.

    Raises:
        UserError: an epoch has fewer pairs than two, or fewer than there are processes.
    """

    def __init__(
        self, pairs: TrainingPairs, source: Source, batch_size: int, steps: int, seed: int
    ):
        self._pairs, self._source, self._steps, self._seed = pairs, source, steps, seed
        self._size = min(batch_size, len(pairs))
        self._size -= self._size % processes()
        if self._size < 2:
            raise UserError(
                f"{pairs.name} has {len(pairs)} pairs an epoch: too few for a batch of two in "
                f"{processes()} processes"
            )

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> CompositionBatch:
        epoch, number = divmod(step, len(self._pairs) // self._size)
        numbers = range(number * self._size, (number + 1) * self._size)
        triplets = [self._pairs.pair(self._seed, epoch, number) for number in numbers]
        own = triplets[own_slice(self._size)]
        images = [t.target for t in own] + [t.reference for t in own]
        targets = np.array([t.target for t in triplets])
        candidates = np.concatenate([targets, [t.reference for t in triplets]])
        same = torch.from_numpy(targets[:, None] == candidates[None, :])
        return CompositionBatch(
            self._source.get(images), [Edit(t.text) for t in own], [], same, None
        )
