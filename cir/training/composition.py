"""Second stage of training: reference image + edit against target image."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from cir.composers import EditFeatures
from cir.composers.base import names_in
from cir.composers.model import EncodedComposer
from cir.core.distributed import own_slice
from cir.core.records import Edit, Triplet
from cir.retrieval.ranking.ranking import rank
from cir.training.composition_losses import CompositionLosses, EncodedBatch
from cir.training.criteria import Criterion, InfoNCE
from cir.training.naming import names_shown
from cir.training.shared.batches import Pixels


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
    """The losses of a CompositionBatch, with the encoder in the loop.

    Args:
        model: what is trained.
        naming_weight, set_weight: see CompositionLosses.
        criterion: compares queries with candidates; by default InfoNCE at the encoder's own
            temperature.
    """

    def __init__(
        self,
        model: EncodedComposer,
        naming_weight: float,
        set_weight: float,
        criterion: Criterion | None = None,
    ):
        super().__init__()
        self.model = model
        criterion = criterion or InfoNCE(model.encoder.clip.logit_scale)
        self.losses = CompositionLosses(criterion, naming_weight, set_weight)

    def forward(self, batch: CompositionBatch) -> dict[str, torch.Tensor]:
        """Losses by name; the same on every process."""
        encoder, own = self.model.encoder, len(batch.edits)
        target, reference, *others = encoder.encode_images(batch.pixels).split(own)
        names = encoder.encode_names(batch.names)
        text = self.model.encode_texts(batch.edits)
        edit = EditFeatures.gather(batch.edits, batch.names, names, text)
        same = batch.same.to(target.device)
        shown = None if batch.shown is None else batch.shown.to(target.device)
        encoded = EncodedBatch(target, reference, others, edit, names, same, shown)
        return self.losses(self.model.composer, encoded)


@torch.inference_mode()
def gallery_accuracy(
    model: EncodedComposer,
    pixels: Pixels,
    ids: Sequence[str],
    triplets: Sequence[Triplet],
    edits: Sequence[Edit],
    batch_size: int = 128,
) -> dict[str, float]:
    """Top-1 accuracy and mean reciprocal rank of `triplets` among the images `ids`.

    The score that checkpoints are chosen by is the accuracy plus a hundredth of the reciprocal
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
    return accuracy_among(np.concatenate(queries), np.concatenate(gallery), ids, triplets)


def accuracy_among(
    queries: np.ndarray, gallery: np.ndarray, ids: Sequence[str], triplets: Sequence[Triplet]
) -> dict[str, float]:
    """As `gallery_accuracy`, of query vectors [Q, D] and gallery vectors [N, D] of length 1."""
    row = {name: number for number, name in enumerate(ids)}
    targets = np.array([row[triplet.target] for triplet in triplets])
    ranking = rank(queries, gallery, [t.id for t in triplets], list(ids), targets, k=1)
    accuracy = float(ranking.correct.mean())
    reciprocal = float((1 / ranking.target_ranks).mean())
    return {"accuracy": accuracy, "mrr": reciprocal, "score": accuracy + reciprocal / 100}
