"""A network over image and text side by side."""

import torch
from torch import nn

from cir.composers.base import EditFeatures, LearnedComposer


class Concatenation(LearnedComposer):
    """query = MLP([x; t]), the baseline "concat" of Vo et al. (CVPR 2019, arXiv:1812.07119).

    As in the code of that paper, with u = [x; t] of length U = D + E (there always 2·512):
    BN(U) → ReLU → Linear(U, U) → BN(U) → ReLU → Dropout(0.1) → Linear(U, D). The first Linear has
    no bias here: the BN that follows takes it away again, so nothing would ever train it.

    Args:
        dim, text_dim: D and E.
        text: what it reads, a key of cir.composers.base.TEXTS.
        dropout: the share of hidden units that training leaves out.
    """

    def __init__(self, dim: int, text_dim: int, text: str, dropout: float = 0.1):
        super().__init__(dim, text_dim, text=text, dropout=dropout)
        both = dim + text_dim
        self.network = nn.Sequential(
            nn.BatchNorm1d(both),
            nn.ReLU(),
            nn.Linear(both, both, bias=False),
            nn.BatchNorm1d(both),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(both, dim),
        )

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
        return self.network(torch.cat([image, self.read(image, edit)], dim=1))
