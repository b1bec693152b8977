"""RealSpaceConcatAE: ComposeAE without its complex space."""

import torch
from torch import nn

from cir.composers.autoencoding import Decoders, mapping
from cir.composers.base import EditFeatures, LearnedComposer, Loss

_CHANNELS = 64


class RealSpaceConcatAE(LearnedComposer):
    """The ablation "concat in real space" of Anwaar, Labintcev and Kleinsteuber (WACV 2021,
    arXiv:2006.11149, table 5); sizes as in their code.

    With u = [x; t] of length U = D + E: θ = a₁·ρ(u) + a₀·ρ_conv(u), where ρ is
    BN → ReLU → Linear → ReLU → Linear and ρ_conv convolves u (1 → 64 channels, 3 wide), keeps the
    largest of each of U/64 stretches of every channel, and has a ρ of its own. a₀ = 1 and a₁ = 10
    at the start. The decoders and their losses are those of ComposeAE; there is no rotation.

    The published code fixes E at 768 (20 stretches); here E is free, and U/64 is rounded down,
    to at least one. The convolution's bias, which the normalisation behind it takes away again, is
    left out.

    Args:
        dim, text_dim: D and E.
        text: what it reads, a key of cir.composers.base.TEXTS.
        image_weight, text_weight: of the two auxiliary losses, as published.
    """

    def __init__(
        self,
        dim: int,
        text_dim: int,
        text: str,
        image_weight: float = 0.1,
        text_weight: float = 0.1,
    ):
        super().__init__(
            dim, text_dim, text=text, image_weight=image_weight, text_weight=text_weight
        )
        both = dim + text_dim
        stretches = max(1, both // _CHANNELS)
        self.linear = mapping(both, dim)
        self.conv = nn.Sequential(
            nn.Conv1d(1, _CHANNELS, kernel_size=3, padding=1, bias=False),
            nn.AdaptiveMaxPool1d(stretches),
            nn.Flatten(),
            mapping(_CHANNELS * stretches, dim),
        )
        self.conv_weight = nn.Parameter(torch.tensor(1.0))  # a₀
        self.linear_weight = nn.Parameter(torch.tensor(10.0))  # a₁
        self.decoders = Decoders(dim, text_dim, image_weight, text_weight)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
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
        """The errors of both decoders."""
        return self.decoders.losses(query, image, self.read(image, edit))
