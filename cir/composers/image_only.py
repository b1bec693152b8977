"""The image alone: a baseline that ignores the edit."""

import torch

from cir.composers.base import Composer, EditFeatures


class ImageOnly(Composer):
    """query = image (the "image only" row of Vo et al., CVPR 2019, arXiv:1812.07119, table 1).

    It tells how far a query gets that asks for the reference itself.
    """

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D], the image's."""
        return image
