"""The arithmetic composers: the image plus what is added minus what is removed."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.base import Composer, EditFeatures
from cir.composers.params import LearnedArithmeticParams


class ArithmeticComposer(Composer):
    """query = wᵢ·image + wₐ·Σ added − wᵣ·Σ removed, without learned weights."""

    reads_objects = True

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        params, objects = self.params, edit.objects
        if params.normalise_image:
            image = functional.normalize(image, dim=-1)
        if params.normalise_objects:
            objects = functional.normalize(objects, dim=-1)
        of_image, added, removed = self.weights()
        weight = torch.where(edit.sign > 0, added, -removed)
        query = of_image * image
        return query.index_add(0, edit.owner, (weight.unsqueeze(1) * objects).to(query.dtype))

    def weights(self) -> tuple[float, float, float] | torch.Tensor:
        """Return wᵢ, wₐ and wᵣ."""
        return self.params.image_weight, self.params.added_weight, self.params.removed_weight


class LearnedArithmetic(ArithmeticComposer):
    """The arithmetic with three weights that are learned, from those of its params on.

    Three numbers are what a few hundred triplets can teach.
    """

    _FASTER = 100  # a step of Adam changes a weight by so many learning rates

    def __init__(self, params: LearnedArithmeticParams):
        super().__init__(params)
        self.change = nn.Parameter(torch.zeros(3))

    def weights(self) -> torch.Tensor:
        """Return the learned wᵢ, wₐ and wᵣ, float [3]."""
        start = torch.tensor(super().weights(), device=self.change.device)
        return start + self._FASTER * self.change
