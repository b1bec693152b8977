"""The text alone: a baseline that ignores the image."""

import torch

from cir.composers.base import EditFeatures, LearnedComposer, one_space


class TextOnly(LearnedComposer):
    """query = text (the "text only" row of Vo et al., CVPR 2019, arXiv:1812.07119, table 1).

    Args:
        dim, text_dim: D and E, which must be equal: the text is ranked among images.
        text: what it reads, a key of cir.composers.base.TEXTS.
    """

    reads_image = False

    def __init__(self, dim: int, text_dim: int, text: str):
        super().__init__(dim, text_dim, text=text)
        one_space(dim, text_dim, "text_only")

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D], the text's."""
        return self.read(image, edit)
