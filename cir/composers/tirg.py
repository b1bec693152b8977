"""TIRG: text-image residual gating."""

import torch
from torch import nn

from cir.composers.base import EditFeatures, LearnedComposer
from cir.composers.params import TIRGParams


class TIRG(LearnedComposer):
    """Gate the image by the text, and add a residual.

    Source: Vo et al., "Composing text and image for image retrieval: an empirical odyssey" (CVPR
    2019, arXiv:1812.07119), equations 1 to 3, over pooled features.

    With u = [x; t] of length U = D + E:

        query = a₀·σ(g(u)) ⊙ x + a₁·r(u)
        g = BN(U) → ReLU → Linear(U, D)
        r = BN(U) → ReLU → Linear(U, U) → ReLU → Linear(U, D)

    The published code learns a = [1, 10, 1, 1] and uses the first two; only those are kept. It
    requires text features as long as the image's; here E is free.
    """

    def __init__(self, params: TIRGParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        both = dim + text_dim
        self.gate = nn.Sequential(nn.BatchNorm1d(both), nn.ReLU(), nn.Linear(both, dim))
        self.residual = nn.Sequential(
            nn.BatchNorm1d(both),
            nn.ReLU(),
            nn.Linear(both, both),
            nn.ReLU(),
            nn.Linear(both, dim),
        )
        self.gate_weight = nn.Parameter(torch.tensor(1.0))  # a₀
        self.residual_weight = nn.Parameter(torch.tensor(10.0))  # a₁

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        both = torch.cat([image, self.read(image, edit)], dim=1)
        kept = torch.sigmoid(self.gate(both)) * image
        return self.gate_weight * kept + self.residual_weight * self.residual(both)
