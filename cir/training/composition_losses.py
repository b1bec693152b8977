"""What a composer is trained on, wherever the features come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cir.composers import Composer, EditFeatures
from cir.core.distributed import gather
from cir.training.criteria import Criterion
from cir.training.naming import naming_loss
from cir.training.shared.losses import near_miss_set_loss


@dataclass(frozen=True)
class EncodedBatch:
    """The features of a step's b own triplets of B, wherever they come from; none is normalised.

    Args:
        target, reference: float [b, D].
        others: the near misses, m of float [b, D].
        edit: of the b queries.
        names: float [N, D], every name that the global batch's edits or images name.
        same: bool [B, B·(2 + m)], which candidates show what query i's target shows.
        shown: bool [2·B, N], the names each target and reference shows; None where unknown.
    """

    target: torch.Tensor
    reference: torch.Tensor
    others: Sequence[torch.Tensor]
    edit: EditFeatures
    names: torch.Tensor
    same: torch.Tensor
    shown: torch.Tensor | None


class CompositionLosses(nn.Module):
    """The losses of an EncodedBatch, the same whether its encoder is trained or not.

    Args:
        criterion: compares queries with candidates.
        naming_weight: weight of the naming loss on targets and references, where their objects
            are known; it keeps the names anchored while the composition is learned.
        set_weight: weight of the near-miss set loss on queries, targets and references, where
            their objects are known.
        encoder_learns: whether the encoder is trained too. If not, targets and references are
            constants, and the set loss is of the queries alone.
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
        """Losses by name; the same on every process.

        Under autocast the features are computed in half precision and compared in fp32: a cosine
        of three digits, times the scale, would drown the differences that matter.
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
        # A mean over own rows becomes one over all rows, with the gradient that it would have.
        return losses | {n: gather(value.reshape(1)).mean() for n, value in auxiliary.items()}

    def _of_pairs(self, query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with torch.autocast(query.device.type, enabled=False):
            return self.criterion(gather(query.float()), gather(target.float()))

    def _of_names(self, batch, query, target, reference) -> dict[str, torch.Tensor]:
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
