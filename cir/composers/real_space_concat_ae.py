"""RealSpaceConcatAE: ComposeAE without its complex space."""

import torch
from torch import nn

from cir.composers.autoencoding import Decoders, mapping
from cir.composers.base import EditFeatures, LearnedComposer, Loss
from cir.composers.params import RealSpaceConcatAEParams

_CHANNELS = 64


class RealSpaceConcatAE(LearnedComposer):
    """Map the concatenated image and text to a query by a linear and a convolutional mapping.

    Source: the ablation "concat in real space" of Anwaar, Labintcev and Kleinsteuber (WACV 2021,
    arXiv:2006.11149, table 5); sizes follow the authors' code.

    With u = [x; t] of length U = D + E: θ = a₁·ρ(u) + a₀·ρ_conv(u), where ρ is
    BN → ReLU → Linear → ReLU → Linear. ρ_conv convolves u (1 → 64 channels, kernel size 3), keeps
    the maximum of each of U/64 segments of every channel, and applies another ρ. a₀ = 1 and
    a₁ = 10 at the start. The decoders and their losses are those of ComposeAE; nothing is rotated.

    The published code fixes E at 768 (20 segments). Here E is free, and U/64 is rounded down, to at
    least one. The convolution has no bias, because the normalisation behind it subtracts any bias.
    """

    def __init__(self, params: RealSpaceConcatAEParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        both = dim + text_dim
        segments = max(1, both // _CHANNELS)
        self.linear = mapping(both, dim)
        self.conv = nn.Sequential(
            nn.Conv1d(1, _CHANNELS, kernel_size=3, padding=1, bias=False),
            nn.AdaptiveMaxPool1d(segments),
            nn.Flatten(),
            mapping(_CHANNELS * segments, dim),
        )
        self.conv_weight = nn.Parameter(torch.tensor(1.0))  # a₀
        self.linear_weight = nn.Parameter(torch.tensor(10.0))  # a₁
        self.decoders = Decoders(dim, text_dim, params.image_weight, params.text_weight)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        both = torch.cat([image, self.read(image, edit)], dim=1)
        conv = self.conv(both.unsqueeze(1))
        return self.linear_weight * self.linear(both) + self.conv_weight * conv

    def auxiliary_losses(
        self,
        image: torch.Tensor,
        edit: EditFeatures,
        query: torch.Tensor,
        target: torch.Tensor,
        loss: Loss,
    ) -> dict[str, torch.Tensor]:
        """Return both decoding losses."""
        return self.decoders.losses(query, image, self.read(image, edit))
