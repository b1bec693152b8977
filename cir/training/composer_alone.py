"""Train a composer alone: the encoder stands still, so every image and text is encoded once.

The composer, its losses and the loop (cir.training.shared.loop.fit) are those of training with the
encoder in
the loop; a batch is row numbers of what was encoded, and costs a hundredth of encoding it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from cir.composers import Composer, EditFeatures
from cir.core.distributed import own_slice
from cir.core.records import Edit, Triplet
from cir.training.composition import accuracy_among, shows
from cir.training.composition_losses import CompositionLosses, EncodedBatch
from cir.training.criteria import Criterion
from cir.training.encoded_split import Features


@dataclass(frozen=True)
class CachedBatch:
    """b of the B triplets of a step: rows of Features, and what CompositionBatch holds beside.

    Args:
        images: int64 [b·(2 + m)]: b targets, b references, then m near misses of each.
        texts: int64 [b], rows of the texts.
        objects, owner, sign: [P], as in EditFeatures, but for `objects` being rows of the names.
        names: int64 [N], the names that the global batch's edits or images name.
        same: bool [B, B·(2 + m)].
        shown: bool [2·B, N]; None where unknown.
    """

    images: torch.Tensor
    texts: torch.Tensor
    objects: torch.Tensor
    owner: torch.Tensor
    sign: torch.Tensor
    names: torch.Tensor
    same: torch.Tensor
    shown: torch.Tensor | None


class CachedBatches(Dataset):
    """Item s is the batch of step s; see cir.training.composition.CompositionBatches, which it
    mirrors.

    Args:
        features: of the split.
        triplets, edits: of the split.
        objects: for each image id what it shows; empty where the source does not say.
        plan: triplet numbers of every step (see plan_batches).
        near_misses: how many of each triplet's near misses join the batch as negatives.
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
        image = {name: row for row, name in enumerate(features.ids)}
        name = {text: row for row, text in enumerate(features.names)}
        self._plan, self._near_misses = plan, near_misses
        self._target = np.array([image[t.target] for t in triplets])
        self._reference = np.array([image[t.reference] for t in triplets])
        # A triplet with fewer near misses than asked for repeats its own, or its reference.
        self._others = [
            np.array([image[i] for i in (t.near_misses if near_misses else ()) or (t.reference,)])
            for t in triplets
        ]
        number: dict = {}
        self._key = np.array(
            [number.setdefault(shows(i, objects), len(number)) for i in features.ids]
        )
        self._shown = [np.array([name[n] for n in objects.get(i, ())], int) for i in features.ids]
        self._objects = [np.array([name[n] for n in (*e.add, *e.remove)], int) for e in edits]
        self._signs = [np.repeat([1.0, -1.0], [len(e.add), len(e.remove)]) for e in edits]

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> CachedBatch:
        items = self._plan[step]
        kinds = [self._target[items], self._reference[items]]
        for number in range(self._near_misses):
            chosen = [self._others[item] for item in items]
            kinds.append(np.array([rows[(step + number) % len(rows)] for rows in chosen]))
        keys = self._key[np.concatenate(kinds)]
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
            same=torch.from_numpy(keys[: len(items), None] == keys[None, :]),
            shown=shown,
        )

    def _names(
        self, images: np.ndarray, items: np.ndarray
    ) -> tuple[np.ndarray, torch.Tensor | None]:
        """Rows of the names of these images and edits, and the table of which image shows which."""
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
    """The losses of a CachedBatch: cir.training.composition.CompositionObjective without its
    encoder.

    Args:
        composer: what is trained.
        features: of the split; they lie where the composer does.
        criterion: compares queries with candidates, and is trained too.
        set_weight: see CompositionLosses. (The naming loss trains encoders only.)
    """

    def __init__(
        self, composer: Composer, features: Features, criterion: Criterion, set_weight: float
    ):
        super().__init__()
        self.composer = composer
        self.losses = CompositionLosses(criterion, 0.0, set_weight, encoder_learns=False)
        self._features = features  # no buffers: processes would send them round at every step

    def forward(self, batch: CachedBatch) -> dict[str, torch.Tensor]:
        """Losses by name; the same on every process."""
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


def weight_groups(
    modules: Sequence[nn.Module],
    learning_rate: float,
    weight_decay: float,
    besides: Sequence[dict] = (),
) -> list[dict]:
    """Parameter groups for an optimiser: matrices decay, biases, norms and scalars do not.

    Weights that stand still, and those of the groups `besides`, are left out.
    """
    taken = {id(weight) for group in besides for weight in group["params"]}
    weights = {id(w): w for module in modules for w in module.parameters() if w.requires_grad}
    left = [weight for key, weight in weights.items() if key not in taken]
    groups = [
        ([weight for weight in left if weight.ndim > 1], weight_decay),
        ([weight for weight in left if weight.ndim <= 1], 0.0),
    ]
    return [{"params": p, "lr": learning_rate, "weight_decay": d} for p, d in groups if p]


@torch.inference_mode()
def compose_queries(
    composer: Composer, features: Features, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> np.ndarray:
    """Query vectors float32 [T, D] of length 1, of a composer in evaluation mode."""
    row = {name: number for number, name in enumerate(features.ids)}
    encoded = features.encoded(edits)
    parts = [np.zeros((0, features.images.shape[1]), np.float32)]
    for start in range(0, len(triplets), 256):
        part = slice(start, start + 256)
        image = features.images[[row[t.reference] for t in triplets[part]]]
        query = composer(image, encoded[part])
        parts.append(functional.normalize(query.float(), dim=1).cpu().numpy())
    return np.concatenate(parts)


def cached_accuracy(
    composer: Composer, features: Features, triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> dict[str, float]:
    """As cir.training.composition.gallery_accuracy, among all images of the features."""
    gallery = functional.normalize(features.images, dim=1).cpu().numpy()
    queries = compose_queries(composer, features, triplets, edits)
    return accuracy_among(queries, gallery, features.ids, triplets)
