"""ComposeAE: the text rotates the image in a complex space."""

import torch
from torch import nn

from cir.composers.autoencoding import Decoders, mapping
from cir.composers.base import EditFeatures, LearnedComposer, Loss
from cir.composers.params import ComposeAEParams

_CHANNELS, _POOLED = 64, 16


class ComposeAE(LearnedComposer):
    """Rotate the image by the text in a complex space, and map the result to a query.

    Source: Anwaar, Labintcev and Kleinsteuber, "Compositional learning of image-text query for
    image retrieval" (WACV 2021, arXiv:2006.11149), sections 3.2 to 3.4; sizes follow the authors'
    code.

    Image x and text t are projected to z and δ, and the text rotates the image by δ:
    Re = z ⊙ cos δ, Im = c·z ⊙ sin δ. The conjugate, c = −1, rotates it back. Two mappings, each
    with a projection of its own, give the query θ = a₁·ρ([Re; Im]) + a₀·ρ_conv(z, δ, x, Re, Im)
    with a₀ = 1 and a₁ = 10 at the start. Training adds three weighted losses: the errors of
    decoding x and of decoding t from θ, and ℓ(θ*, x): the target, rotated back, must find the
    reference.

    Three differences from the published code: E is not fixed at 768 and a batch is not limited to
    32 queries; of the four learned weights a only the two that the code uses are kept; the
    convolution has no bias, because the normalisation behind it subtracts any bias.
    """

    def __init__(self, params: ComposeAEParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        self.linear_projection = _Rotation(dim, text_dim, params.dropout)
        self.linear = mapping(2 * dim, dim)
        self.conv_projection = _Rotation(dim, text_dim, params.dropout)
        self.conv = nn.Sequential(
            nn.Conv1d(5, _CHANNELS, kernel_size=3, padding=1, bias=False),
            nn.AdaptiveMaxPool1d(_POOLED),
            nn.Flatten(),
            mapping(_CHANNELS * _POOLED, dim),
        )
        self.conv_weight = nn.Parameter(torch.tensor(1.0))  # a₀
        self.linear_weight = nn.Parameter(torch.tensor(10.0))  # a₁
        self.decoders = Decoders(dim, text_dim, params.image_weight, params.text_weight)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        return self._rotated(image, self.read(image, edit), 1.0)

    def auxiliary_losses(
        self,
        image: torch.Tensor,
        edit: EditFeatures,
        query: torch.Tensor,
        target: torch.Tensor,
        loss: Loss,
    ) -> dict[str, torch.Tensor]:
        """Return both decoding losses, and the loss of the targets rotated back."""
        text = self.read(image, edit)
        rotated_back = self._rotated(target, text, -1.0)
        return {
            **self.decoders.losses(query, image, text),
            "rotation": self.params.rotation_weight * loss(rotated_back, image),
        }

    def _rotated(self, image: torch.Tensor, text: torch.Tensor, sign: float) -> torch.Tensor:
        _, _, real, imaginary = self.linear_projection(image, text, sign)
        linear = self.linear(torch.cat([real, imaginary], dim=1))
        projected, angle, real, imaginary = self.conv_projection(image, text, sign)
        rows = [projected, angle, image.to(angle.dtype), real, imaginary]
        return self.linear_weight * linear + self.conv_weight * self.conv(torch.stack(rows, dim=1))


class _Rotation(nn.Module):
    """Project image [B, D] and text [B, E] to [B, D] each, and rotate the image by the text."""

    def __init__(self, dim: int, text_dim: int, dropout: float):
        super().__init__()
        self.image = nn.Sequential(
            nn.BatchNorm1d(dim),
            nn.Linear(dim, dim),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(dim, dim),
        )
        self.text = nn.Sequential(
            nn.BatchNorm1d(text_dim), nn.Linear(text_dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )

    def forward(self, image, text, sign: float) -> tuple[torch.Tensor, ...]:
        """Return z, δ, Re and Im, each [B, D]."""
        projected, angle = self.image(image), self.text(text)
        real, imaginary = projected * angle.cos(), sign * projected * angle.sin()
        dtype = projected.dtype  # under autocast, cos and sin return float32
        return projected, angle, real.to(dtype), imaginary.to(dtype)
