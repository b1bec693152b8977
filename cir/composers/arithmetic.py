"""Image + what is added − what is removed."""

import torch
from torch.nn import functional

from cir.composers.base import Composer, EditFeatures


class ArithmeticComposer(Composer):
    """query = wᵢ·image + wₐ·Σ added − wᵣ·Σ removed, with no learned weight of its own.

    Args:
        normalise_image: scale the image feature to length 1 first. A picture of more objects then
            no longer weighs more.
        normalise_objects: scale each object's feature to length 1 first.
        image_weight, added_weight, removed_weight: wᵢ, wₐ, wᵣ.
    """

    reads_objects = True

    def __init__(
        self,
        normalise_image: bool,
        normalise_objects: bool,
        image_weight: float = 1.0,
        added_weight: float = 1.0,
        removed_weight: float = 1.0,
    ):
        super().__init__(
            normalise_image=normalise_image,
            normalise_objects=normalise_objects,
            image_weight=image_weight,
            added_weight=added_weight,
            removed_weight=removed_weight,
        )
        self.normalise_image = normalise_image
        self.normalise_objects = normalise_objects
        self.image_weight = image_weight
        self.added_weight = added_weight
        self.removed_weight = removed_weight

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
        objects = edit.objects
        if self.normalise_image:
            image = functional.normalize(image, dim=-1)
        if self.normalise_objects:
            objects = functional.normalize(objects, dim=-1)
        weight = torch.where(edit.sign > 0, self.added_weight, -self.removed_weight)
        query = self.image_weight * image
        return query.index_add(0, edit.owner, (weight.unsqueeze(1) * objects).to(query.dtype))
