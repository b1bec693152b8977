"""The arithmetic composer: the image plus what is added minus what is removed."""

import torch
from torch.nn import functional

from cir.composers.base import Composer, EditFeatures


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
        weight = torch.where(edit.sign > 0, params.added_weight, -params.removed_weight)
        query = params.image_weight * image
        return query.index_add(0, edit.owner, (weight.unsqueeze(1) * objects).to(query.dtype))
