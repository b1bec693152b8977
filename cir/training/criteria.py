"""The losses that a composer can be trained by, each with the scale that it learns.

Every one is called `criterion(query [B, D], candidates [C, D], same)`, on features as the composer
and the encoder give them.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from cir.training.shared.losses import batch_classification, soft_triplet, symmetric_info_nce


class Criterion(nn.Module, ABC):
    """Base of all criteria."""

    @property
    @abstractmethod
    def scale(self) -> torch.Tensor:
        """What cosines are multiplied by: the inverse temperature."""

    @abstractmethod
    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The loss of a batch, a scalar.

        Args:
            query: float [B, D].
            candidates: float [C, D]; row i < B is the target of query i, the rest are negatives.
            same: bool [B, C], candidates that show what query i's target shows.
        """


class InfoNCE(Criterion):
    """See cir.training.shared.losses.symmetric_info_nce.

    Args:
        logit_scale: the logarithm of the inverse temperature, a scalar: the encoder's own, where
            that is trained too, else one that this criterion learns.
    """

    def __init__(self, logit_scale: nn.Parameter):
        super().__init__()
        self.logit_scale = logit_scale

    @classmethod
    def starting_at(cls, temperature: float) -> "InfoNCE":
        """One with a temperature of its own to learn."""
        return cls(nn.Parameter(torch.tensor(math.log(1 / temperature))))

    @property
    def scale(self) -> torch.Tensor:
        return self.logit_scale.exp().clamp(max=100)

    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Both directions; `same` candidates are no negatives."""
        return symmetric_info_nce(query, candidates, 1 / self.scale, same)


class _OfScaledRows(Criterion):
    """Base of TIRG's and ComposeAE's losses, of rows N(v) = s·v/‖v‖ with a learned s.

    They look at the targets alone: other candidates, and `same`, do not count in them.

    Args:
        length: s at the start; the papers' code starts at 4.
    """

    def __init__(self, length: float = 4.0):
        super().__init__()
        self.length = nn.Parameter(torch.tensor(length))

    @property
    def scale(self) -> torch.Tensor:
        return self.length.square()

    def _scaled(self, rows: torch.Tensor) -> torch.Tensor:
        return self.length * nn.functional.normalize(rows, dim=1)


class SoftTriplet(_OfScaledRows):
    """See cir.training.shared.losses.soft_triplet.

    Args:
        halved: see there.
        length: see _OfScaledRows.
    """

    def __init__(self, halved: bool = False, length: float = 4.0):
        super().__init__(length)
        self.halved = halved

    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Of queries and targets; the negatives are drawn anew at every call."""
        target = candidates[: len(query)]
        return soft_triplet(self._scaled(query), self._scaled(target), self.halved)


class BatchClassification(_OfScaledRows):
    """See cir.training.shared.losses.batch_classification."""

    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Of queries and targets."""
        return batch_classification(self._scaled(query), self._scaled(candidates[: len(query)]))
