"""The first step of training: match images with the names of their objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from cir.core.distributed import gather, own_slice
from cir.core.errors import UserError
from cir.core.records import Edit, Triplet
from cir.encoders import Encoder
from cir.training.losses import naming_loss
from cir.training.shared.batches import Pixels


@dataclass(frozen=True)
class NamingBatch:
    """A process's b of the B images of a step, and the names of all B.

    Args:
        pixels: uint8 [b, 3, H, W].
        names: N different names.
        shown: bool [B, N], the names of each image of the global batch.
    """

    pixels: torch.Tensor
    names: list[str]
    shown: torch.Tensor


class NamingBatches(Dataset):
    """Give the batch of step s as item s.

    Args:
        pixels: the images.
        objects: the names of the objects of each image, by id.
        plan: item numbers of every step (see plan_batches) in the keys of `objects`.
    """

    def __init__(
        self, pixels: Pixels, objects: Mapping[str, Sequence[str]], plan: Sequence[np.ndarray]
    ):
        self._pixels, self._objects, self._plan = pixels, objects, plan
        self._ids = list(objects)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> NamingBatch:
        ids = [self._ids[item] for item in self._plan[step]]
        names, shown = names_shown([self._objects[name] for name in ids])
        return NamingBatch(self._pixels.get(ids[own_slice(len(ids))]), names, shown)


def names_shown(objects: Sequence[Sequence[str]]) -> tuple[list[str], torch.Tensor]:
    """Return the N different names of B images, sorted, and bool [B, N]: the names of each."""
    names = sorted({name for shown in objects for name in shown})
    column = {name: number for number, name in enumerate(names)}
    table = torch.zeros(len(objects), len(names), dtype=torch.bool)
    for row, shown in enumerate(objects):
        table[row, [column[name] for name in shown]] = True
    return names, table


class NamingObjective(nn.Module):
    """Compute the loss of a NamingBatch.

    Args:
        encoder: what is trained.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: NamingBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, the same on every process."""
        image = gather(self.encoder.encode_images(batch.pixels))
        name = self.encoder.encode_names(batch.names)
        shown = batch.shown.to(image.device)
        scale = self.encoder.clip.logit_scale.exp().clamp(max=100)
        with torch.autocast(
            image.device.type, enabled=False
        ):  # compare in fp32: see CompositionLosses
            return {"naming": naming_loss(image, name, shown, scale)}


@torch.inference_mode()
def naming_score(
    encoder: Encoder,
    pixels: Pixels,
    objects: Mapping[str, Sequence[str]],
    batch_size: int = 256,
) -> float:
    """Return the share of images whose k objects are the k nearest of all names in `objects`."""
    ids = list(objects)
    names, shown = names_shown([objects[name] for name in ids])
    name = functional.normalize(encoder.encode_names(names), dim=1)
    right = 0
    for start in range(0, len(ids), batch_size):
        image = encoder.encode_images(pixels.get(ids[start : start + batch_size]))
        table = shown[start : start + batch_size].to(image.device)
        similarity = image @ name.T
        lowest_shown = similarity.masked_fill(~table, float("inf")).amin(dim=1)
        highest_other = similarity.masked_fill(table, float("-inf")).amax(dim=1)
        right += int((lowest_shown > highest_other).sum())
    return right / len(ids)


def objects_by_image(
    known: Mapping[str, Sequence[str]], triplets: Sequence[Triplet], edits: Sequence[Edit]
) -> dict[str, tuple[str, ...]]:
    """Return the objects of each image, from its source or else inferred from the edits.

    A reference shows the removed objects, and a target the added ones. Images without a known
    object are left out.

    Args:
        known: the objects of each image by id, empty where the source does not say.
        triplets: the triplets that name the images.
        edits: the edit of each triplet.

    Raises:
        UserError: no image has a known object.
    """
    objects = {image: tuple(names) for image, names in known.items() if names}
    inferred: dict[str, set[str]] = {}
    for triplet, edit in zip(triplets, edits, strict=True):
        inferred.setdefault(triplet.reference, set()).update(edit.remove)
        inferred.setdefault(triplet.target, set()).update(edit.add)
    for image, names in inferred.items():
        if image not in objects and names:
            objects[image] = tuple(sorted(names))
    if not objects:
        raise UserError(
            "no training image has a known object and no training sentence names one: "
            "there is nothing to pretrain on"
        )
    return objects
