"""CLIP4Cir's Combiner: a learned mixture of image and text, and a correction."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.base import EditFeatures, LearnedComposer, one_space


class Combiner(LearnedComposer):
    """Baldrati, Bertini, Uricchio and Del Bimbo, "Conditioned and composed image retrieval
    combining and partially fine-tuning CLIP-based features" (CVPR 2022 workshops), section 3.3
    and figure 5; layers and sizes as in their code.

        p = [Dropout(ReLU(Linear(t))); Dropout(ReLU(Linear(x)))]    each `projection`·D long
        λ = σ(Linear(Dropout(ReLU(Linear(p)))))                     one number a query
        o = Linear(Dropout(ReLU(Linear(p))))                        hidden `hidden`·D
        query = N(o + λ·t + (1 − λ)·x)                              of length 1

    They feed it features of CLIP as they are, not normalised, and train it by InfoNCE with the
    cosines times 100.

    Args:
        dim, text_dim: D and E, which must be equal.
        text: what it reads, a key of cir.composers.base.TEXTS.
        projection, hidden: widths, in multiples of D.
        dropout: the share of units that training leaves out, in all four places.
    """

    def __init__(
        self,
        dim: int,
        text_dim: int,
        text: str,
        projection: int = 4,
        hidden: int = 8,
        dropout: float = 0.5,
    ):
        super().__init__(
            dim, text_dim, text=text, projection=projection, hidden=hidden, dropout=dropout
        )
        one_space(dim, text_dim, "combiner")
        projected, wide = projection * dim, hidden * dim
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
        """Image features [B, D] and edit → query features [B, D] of length 1."""
        text = self.read(image, edit)
        projected = torch.cat([self.text_projection(text), self.image_projection(image)], dim=1)
        share = self.mixture(projected)
        query = self.output(projected) + share * text + (1 - share) * image
        return functional.normalize(query, dim=1)


def _hidden(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))
