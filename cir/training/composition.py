"""The second step of training: match reference image + edit with the target image."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset

from cir.composers import Composer, EditFeatures
from cir.composers.base import names_in
from cir.composers.model import EncodedComposer
from cir.core.distributed import gather, own_slice
from cir.core.records import Edit, Triplet
from cir.retrieval.ranking.ranking import Ranking, rank
from cir.training.losses import Criterion, InfoNCE, naming_loss, near_miss_set_loss
from cir.training.naming import names_shown
from cir.training.shared.batches import KeptNames, Pixels


class TripletBatches(Dataset):
    """Choose the images of each step's triplets, as rows of a table of images.

    Args:
        ids: all images that the triplets name, near misses only where they are used.
        triplets: the training triplets.
        objects: the objects that each image shows, by id; empty where the source does not say.
        plan: triplet numbers of every step (see plan_batches).
        near_misses: the number of each triplet's near misses that join the batch as negatives.
    """

    def __init__(
        self,
        ids: Sequence[str],
        triplets: Sequence[Triplet],
        objects: Mapping[str, Sequence[str]],
        plan: Sequence[np.ndarray],
        near_misses: int,
    ):
        row = {name: number for number, name in enumerate(ids)}
        self._plan, self._near_misses = plan, near_misses
        self._target = np.array([row[t.target] for t in triplets])
        self._reference = np.array([row[t.reference] for t in triplets])
        # A triplet with too few near misses repeats them, or uses its reference.
        self._others = [
            np.array([row[i] for i in (t.near_misses if near_misses else ()) or (t.reference,)])
            for t in triplets
        ]
        number: dict[Hashable, int] = {}
        self._key = np.array([number.setdefault(shows(i, objects), len(number)) for i in ids])

    def __len__(self) -> int:
        return len(self._plan)

    def images(self, step: int) -> tuple[list[np.ndarray], torch.Tensor]:
        """Return the rows of a step's images, and which of them show the same.

        Returns:
            int64 [B] rows of targets, of references and of each near miss; and bool
            [B, B·(2 + m)], the candidates that show the same as the target of query i.
        """
        items = self._plan[step]
        kinds = [self._target[items], self._reference[items]]
        for number in range(self._near_misses):
            chosen = [self._others[item] for item in items]
            kinds.append(np.array([rows[(step + number) % len(rows)] for rows in chosen]))
        keys = self._key[np.concatenate(kinds)]
        return kinds, torch.from_numpy(keys[: len(items), None] == keys[None, :])


def shows(image: str, objects: Mapping[str, Sequence[str]]) -> Hashable:
    """Return the set of objects that an image shows or, where that is unknown, the image's id."""
    return frozenset(objects.get(image, ())) or image


@dataclass(frozen=True)
class CompositionBatch:
    """A process's b of the B triplets of a step, and what it needs to know of the others.

    Args:
        pixels: uint8 [b·(2 + m), 3, H, W]: b targets, b references, then m near misses of each.
        edits: the b edits.
        names: all names in the global batch's edits and images.
        same: bool [B, B·(2 + m)], the candidates that show the same as the target of query i.
        shown: bool [2·B, N], the names of each target and reference; None where unknown.
    """

    pixels: torch.Tensor
    edits: list[Edit]
    names: list[str]
    same: torch.Tensor
    shown: torch.Tensor | None


class CompositionBatches(TripletBatches):
    """Give the batch of step s as item s.

    Args:
        pixels: the images.
        edits: the edit of each triplet, the true one or as the tagger reads its sentence.
        triplets, objects, plan, near_misses: see TripletBatches.
    """

    def __init__(
        self,
        pixels: Pixels,
        triplets: Sequence[Triplet],
        edits: Sequence[Edit],
        objects: Mapping[str, Sequence[str]],
        plan: Sequence[np.ndarray],
        near_misses: int,
    ):
        named = (name for t in triplets for name in (t.target, t.reference, *t.near_misses))
        self._ids = list(dict.fromkeys(named))
        super().__init__(self._ids, triplets, objects, plan, near_misses)
        self._pixels, self._edits, self._objects = pixels, edits, objects

    def __getitem__(self, step: int) -> CompositionBatch:
        kinds, same = self.images(step)
        edits = [self._edits[item] for item in self._plan[step]]
        own = own_slice(len(edits))
        images = [self._ids[row] for rows in kinds for row in rows[own]]
        names, shown = self._names(np.concatenate(kinds[:2]), edits)
        return CompositionBatch(self._pixels.get(images), edits[own], names, same, shown)

    def _names(
        self, images: np.ndarray, edits: Sequence[Edit]
    ) -> tuple[list[str], torch.Tensor | None]:
        objects = [self._objects.get(self._ids[row], ()) for row in images]
        if not all(objects):
            return names_in(edits), None
        names, shown = names_shown(objects)
        others = [name for name in names_in(edits) if name not in set(names)]
        shown = torch.cat([shown, torch.zeros(len(images), len(others), dtype=torch.bool)], dim=1)
        return names + others, shown


@dataclass(frozen=True)
class EncodedBatch:
    """The features of a process's b of the B triplets of a step; none is normalised.

    Args:
        target, reference: float [b, D].
        others: the near misses, m of float [b, D].
        edit: the b edits.
        names: float [N, D], all names in the global batch's edits and images.
        same, shown: see CompositionBatch.
    """

    target: torch.Tensor
    reference: torch.Tensor
    others: Sequence[torch.Tensor]
    edit: EditFeatures
    names: torch.Tensor
    same: torch.Tensor
    shown: torch.Tensor | None


class CompositionLosses(nn.Module):
    """Compute the losses of an EncodedBatch, from an encoder that learns or from stored features.

    Args:
        criterion: compares queries with candidates.
        naming_weight: weight of the naming loss on targets and references whose objects are known.
            It keeps images near the names of their objects while the composition is learned.
        set_weight: weight of the near-miss set loss on queries, targets and references whose
            objects are known.
        encoder_learns: whether the encoder is trained too. If not, targets and references are
            constants, and the set loss is computed for queries only.
    """

    def __init__(
        self,
        criterion: Criterion,
        naming_weight: float,
        set_weight: float,
        encoder_learns: bool = True,
    ):
        super().__init__()
        self.criterion = criterion
        self.naming_weight = naming_weight
        self.set_weight = set_weight
        self.encoder_learns = encoder_learns

    def forward(self, composer: Composer, batch: EncodedBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, the same on every process.

        Under autocast, features are computed in half precision but compared in fp32: in half
        precision a cosine has three digits, and the scale would enlarge its error.
        """
        own = composer(batch.reference, batch.edit)
        auxiliary = composer.auxiliary_losses(
            batch.reference, batch.edit, own, batch.target, self._of_pairs
        )
        query, target = gather(own.float()), gather(batch.target)
        reference = gather(batch.reference)
        candidates = torch.cat([target, reference, *map(gather, batch.others)])
        with torch.autocast(query.device.type, enabled=False):
            losses = {"composition": self.criterion(query, candidates, batch.same)}
            losses |= self._of_names(batch, query, target, reference)
        # The mean over this process's rows becomes the mean over all rows, with its gradient.
        return losses | {n: gather(value.reshape(1)).mean() for n, value in auxiliary.items()}

    def _of_pairs(self, query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with torch.autocast(query.device.type, enabled=False):
            return self.criterion(gather(query.float()), gather(target.float()))

    def _of_names(
        self,
        batch: EncodedBatch,
        query: torch.Tensor,
        target: torch.Tensor,
        reference: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        losses = {}
        if batch.shown is None:
            return losses
        scale = self.criterion.scale
        if self.naming_weight:
            images = torch.cat([target, reference])
            naming = naming_loss(images, batch.names, batch.shown, scale)
            losses["naming"] = self.naming_weight * naming
        if self.set_weight:
            vectors, sets = query, batch.shown[: len(query)]  # a query shows what its target does
            if self.encoder_learns:
                vectors = torch.cat([query, target, reference])
                sets = torch.cat([sets, batch.shown])
            set_loss = near_miss_set_loss(vectors, batch.names, sets, scale)
            losses["sets"] = self.set_weight * set_loss
        return losses


class CompositionObjective(nn.Module):
    """Compute the losses of a CompositionBatch, with the encoder in the loop.

    Args:
        model: what is trained.
        naming_weight, set_weight: see CompositionLosses.
        criterion: compares queries with candidates; by default InfoNCE at the encoder's own
            temperature.
        chunk: the images or names whose layers are in memory at once; None: those of the batch. The
            losses are the same (see `in_chunks`), and a step takes one more forward pass.
        names_stay: whether the text tower is frozen; each name is then encoded once and kept.
    """

    def __init__(
        self,
        model: EncodedComposer,
        naming_weight: float,
        set_weight: float,
        criterion: Criterion | None = None,
        chunk: int | None = None,
        names_stay: bool = False,
    ):
        super().__init__()
        self.chunk = chunk
        self.model = model
        encode = model.encoder.encode_names
        self._encode_names = KeptNames(encode) if names_stay else encode
        criterion = criterion or InfoNCE(model.encoder.clip.logit_scale)
        self.losses = CompositionLosses(criterion, naming_weight, set_weight)

    def forward(self, batch: CompositionBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, the same on every process."""
        encoder, own = self.model.encoder, len(batch.edits)
        images = in_chunks(encoder.encode_images, batch.pixels, self.chunk)
        target, reference, *others = images.split(own)
        names = in_chunks(self._encode_names, batch.names, self.chunk)
        text = self.model.encode_texts(batch.edits)
        edit = EditFeatures.gather(batch.edits, batch.names, names, text)
        same = batch.same.to(target.device)
        shown = None if batch.shown is None else batch.shown.to(target.device)
        encoded = EncodedBatch(target, reference, others, edit, names, same, shown)
        return self.losses(self.model.composer, encoded)


def in_chunks(
    encode: Callable[[Any], torch.Tensor], items: Sequence | torch.Tensor, chunk: int | None
) -> torch.Tensor:
    """Encode items [N, ...] as features [N, D] with the memory of a chunk's layers.

    This is gradient caching: features first, without what the backward pass needs; the loss on all
    of them; then chunk by chunk the forward pass again, with the gradients of its features. Gao,
    Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
    (RepL4NLP 2021, https://arxiv.org/abs/2101.06983). torch's checkpointing of a chunk does it.
    Chunks must not depend on each other, as they do with batch normalisation in training.
    """
    if chunk is None or len(items) <= chunk or not torch.is_grad_enabled():
        return encode(items)
    parts = (items[start : start + chunk] for start in range(0, len(items), chunk))
    return torch.cat([checkpoint(encode, part, use_reentrant=False) for part in parts])


@torch.inference_mode()
def gallery_accuracy(
    model: EncodedComposer,
    pixels: Pixels,
    ids: Sequence[str],
    triplets: Sequence[Triplet],
    edits: Sequence[Edit],
    batch_size: int = 128,
) -> dict[str, float]:
    """Return top-1 accuracy and mean reciprocal rank of `triplets` among the images `ids`.

    The `score` that chooses checkpoints is the accuracy plus a hundredth of the mean reciprocal
    rank, so that of two equal accuracies the better ranking wins.
    """
    gallery = [
        model.gallery(pixels.get(ids[start : start + batch_size])).cpu().numpy()
        for start in range(0, len(ids), batch_size)
    ]
    queries = [
        model.queries(
            pixels.get([t.reference for t in triplets[start : start + batch_size]]),
            edits[start : start + batch_size],
        )
        .cpu()
        .numpy()
        for start in range(0, len(triplets), batch_size)
    ]
    row = {name: number for number, name in enumerate(ids)}
    targets = np.array([row[triplet.target] for triplet in triplets])
    names = [triplet.id for triplet in triplets]
    vectors = np.concatenate(queries), np.concatenate(gallery)
    return accuracy_of(rank(*vectors, names, list(ids), targets, k=1))


def accuracy_of(ranking: Ranking) -> dict[str, float]:
    """Return the figures of `gallery_accuracy` for a ranking."""
    accuracy = float(ranking.correct.mean())
    reciprocal = float((1 / ranking.target_ranks).mean())
    return {"accuracy": accuracy, "mrr": reciprocal, "score": accuracy + reciprocal / 100}
