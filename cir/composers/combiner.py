"""The Combiner of CLIP4Cir: a learned mixture of image and text, plus a correction."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.base import EditFeatures, LearnedComposer, require_equal_lengths
from cir.composers.params import CombinerParams


class Combiner(LearnedComposer):
    """Mix image and text by a learned share, and add a learned correction.

    Source: Baldrati, Bertini, Uricchio and Del Bimbo, "Conditioned and composed image retrieval
    combining and partially fine-tuning CLIP-based features" (CVPR 2022 workshops), section 3.3
    and figure 5; layers and sizes follow the authors' code. D and E must be equal.

        p = [Dropout(ReLU(Linear(t))); Dropout(ReLU(Linear(x)))]    each `projection`·D long
        λ = σ(Linear(Dropout(ReLU(Linear(p)))))                     one number per query
        o = Linear(Dropout(ReLU(Linear(p))))                        hidden layer `hidden`·D long
        query = N(o + λ·t + (1 − λ)·x)                              of length 1

    The authors pass in CLIP's features without normalising them, and train with InfoNCE on cosines
    times 100.
    """

    def __init__(self, params: CombinerParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        require_equal_lengths(dim, text_dim, params.name)
        projected, wide, dropout = params.projection * dim, params.hidden * dim, params.dropout
        self.text_projection = _hidden(text_dim, projected, dropout)
        self.image_projection = _hidden(dim, projected, dropout)
        self.output = nn.Sequential(
            _hidden(2 * projected, wide, dropout),
            nn.Linear(wide, dim),
        )
        self.mixture = nn.Sequential(
            _hidden(2 * projected, wide, dropout), nn.Linear(wide, 1), nn.Sigmoid()
        )

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D] of length 1."""
        text = self.read(image, edit)
        projected = torch.cat([self.text_projection(text), self.image_projection(image)], dim=1)
        share = self.mixture(projected)
        query = self.output(projected) + share * text + (1 - share) * image
        return functional.normalize(query, dim=1)


def _hidden(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))
