"""Image + text."""

import torch
from torch.nn import functional

from cir.composers.base import EditFeatures, LearnedComposer, one_space


class Sum(LearnedComposer):
    """query = image + text, with no learned weight of its own.

    The composition with which CLIP4Cir tunes CLIP before it trains its Combiner (Baldrati et al.,
    CVPR 2022 workshops, "Conditioned and composed image retrieval combining and partially
    fine-tuning CLIP-based features", section 3.2); the sum is of the features as they are.

    Args:
        dim, text_dim: D and E, which must be equal.
        text: what it reads, a key of cir.composers.base.TEXTS.
        normalise: scale both to length 1 first.
    """

    def __init__(self, dim: int, text_dim: int, text: str, normalise: bool = False):
        super().__init__(dim, text_dim, text=text, normalise=normalise)
        one_space(dim, text_dim, "sum")
        self.normalise = normalise

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
        parts = (image, self.read(image, edit))
        if self.normalise:
            parts = tuple(functional.normalize(part, dim=1) for part in parts)
        return parts[0] + parts[1]
