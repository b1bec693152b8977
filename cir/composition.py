"""Second stage of training: reference image + edit against target image."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from cir.batches import Pixels
from cir.composers import EditFeatures
from cir.composers.base import names_in
from cir.distributed import gather, own_slice
from cir.losses import near_miss_set_loss, symmetric_info_nce
from cir.naming import names_shown, naming_loss
from cir.ranking import rank
from cir.records import Edit, Triplet
from cir.retriever import EncodedComposer


@dataclass(frozen=True)
class CompositionBatch:
    """b of the B triplets of a step, with what is needed of the others.

    Args:
        pixels: uint8 [b·(2 + m), 3, H, W]: b targets, b references, then m near misses of each.
        edits: of this process's b queries.
        names: every name that the global batch's edits or images name.
        same: bool [B, B·(2 + m)], which candidates show what query i's target shows.
        shown: bool [2·B, N], the names each target and reference shows; None where unknown.
    """

    pixels: torch.Tensor
    edits: list[Edit]
    names: list[str]
    same: torch.Tensor
    shown: torch.Tensor | None


class CompositionBatches(Dataset):
    """Item s is the batch of step s.

    Args:
        pixels: the images.
        triplets: the training triplets.
        edits: the edit of each triplet, as the tagger reads its sentence.
        objects: for each image id what it shows; empty where the source does not say.
        plan: triplet numbers of every step (see plan_batches).
        near_misses: how many of each triplet's near misses join the batch as negatives.
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
        self._pixels, self._triplets, self._edits = pixels, triplets, edits
        self._objects, self._plan, self._near_misses = objects, plan, near_misses

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> CompositionBatch:
        triplets = [self._triplets[item] for item in self._plan[step]]
        edits = [self._edits[item] for item in self._plan[step]]
        kinds = [[t.target for t in triplets], [t.reference for t in triplets]]
        for number in range(self._near_misses):
            # A triplet with fewer near misses than asked for repeats its own, or its reference.
            chosen = [t.near_misses or (t.reference,) for t in triplets]
            kinds.append([names[(step + number) % len(names)] for names in chosen])
        own = own_slice(len(triplets))
        images = [name for kind in kinds for name in kind[own]]
        names, shown = self._names(kinds[0] + kinds[1], edits)
        return CompositionBatch(
            self._pixels.get(images), edits[own], names, self._same(kinds), shown
        )

    def _names(self, images, edits) -> tuple[list[str], torch.Tensor | None]:
        objects = [self._objects.get(image, ()) for image in images]
        if not all(objects):
            return names_in(edits), None
        names, shown = names_shown(objects)
        others = [name for name in names_in(edits) if name not in set(names)]
        shown = torch.cat([shown, torch.zeros(len(images), len(others), dtype=torch.bool)], dim=1)
        return names + others, shown

    def _same(self, kinds: Sequence[Sequence[str]]) -> torch.Tensor:
        keys = [shows(image, self._objects) for kind in kinds for image in kind]
        number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
        codes = torch.tensor([number[key] for key in keys])
        return codes[: len(kinds[0]), None] == codes[None, :]


def shows(image: str, objects: Mapping[str, Sequence[str]]) -> Hashable:
    """What an image counts as: its set of objects where that is known, else itself."""
    return frozenset(objects.get(image, ())) or image


class CompositionObjective(nn.Module):
    """The losses of a CompositionBatch.

    Args:
        model: what is trained.
        naming_weight: weight of the naming loss on targets and references, where their objects
            are known; it keeps the names anchored while the composition is learned.
        set_weight: weight of the near-miss set loss on queries, targets and references, where
            their objects are known.
    """

    def __init__(self, model: EncodedComposer, naming_weight: float, set_weight: float):
        super().__init__()
        self.model = model
        self.naming_weight = naming_weight
        self.set_weight = set_weight

    def forward(self, batch: CompositionBatch) -> dict[str, torch.Tensor]:
        """Losses by name; the same on every process.

        Under autocast the features are computed in half precision and compared in fp32: a cosine
        of three digits, times the scale, would drown the differences that matter.
        """
        encoder, own = self.model.encoder, len(batch.edits)
        target, reference, *others = encoder.encode_images(batch.pixels).split(own)
        names = encoder.encode_names(batch.names)
        edit = EditFeatures.gather(batch.edits, batch.names, names)
        query = gather(self.model.composer(reference, edit))
        target, reference = gather(target), gather(reference)
        candidates = torch.cat([target, reference, *map(gather, others)])
        with torch.autocast(query.device.type, enabled=False):
            losses = self._losses(batch, query, target, reference, candidates, names)
        return losses | self.model.composer.auxiliary_losses()

    def _losses(self, batch, query, target, reference, candidates, names):
        scale = self.model.encoder.clip.logit_scale.exp().clamp(max=100)
        same = batch.same.to(query.device)
        losses = {"composition": symmetric_info_nce(query, candidates, 1 / scale, same)}
        if batch.shown is None:
            return losses
        shown = batch.shown.to(query.device)
        if self.naming_weight:
            naming = naming_loss(torch.cat([target, reference]), names, shown, scale)
            losses["naming"] = self.naming_weight * naming
        if self.set_weight:
            vectors = torch.cat([query, target, reference])
            sets = torch.cat([shown[: len(query)], shown])
            losses["sets"] = self.set_weight * near_miss_set_loss(vectors, names, sets, scale)
        return losses


@torch.inference_mode()
def gallery_accuracy(
    model: EncodedComposer,
    pixels: Pixels,
    ids: Sequence[str],
    triplets: Sequence[Triplet],
    edits: Sequence[Edit],
    batch_size: int = 128,
) -> dict[str, float]:
    """Top-1 accuracy, mean reciprocal rank and mean margin of `triplets` among the images `ids`.

    The score that checkpoints are chosen by is the accuracy plus a hundredth of the reciprocal
    rank, so that of two equal accuracies the better ranking wins.
    """
    row = {name: number for number, name in enumerate(ids)}
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
    ranking = rank(
        np.concatenate(queries),
        np.concatenate(gallery),
        [t.id for t in triplets],
        list(ids),
        np.array([row[t.target] for t in triplets]),
        k=1,
    )
    accuracy = float(ranking.correct.mean())
    reciprocal = float((1 / ranking.target_ranks).mean())
    return {"accuracy": accuracy, "mrr": reciprocal, "score": accuracy + reciprocal / 100}
