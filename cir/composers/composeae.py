"""ComposeAE: the text rotates the image in a complex space, and both can be read back."""

import torch
from torch import nn

from cir.composers.autoencoding import Decoders, mapping
from cir.composers.base import EditFeatures, LearnedComposer, Loss

_CHANNELS, _POOLED = 64, 16


class ComposeAE(LearnedComposer):
    """Anwaar, Labintcev and Kleinsteuber, "Compositional learning of image-text query for image
    retrieval" (WACV 2021, arXiv:2006.11149), sections 3.2 to 3.4; sizes as in their code.

    Image x and text t are projected to z and δ; the text turns the image by δ:
    Re = z ⊙ cos δ, Im = c·z ⊙ sin δ. The conjugate, c = −1, turns it back. Two mappings, each
    with a projection of its own, lead to the query θ = a₁·ρ([Re; Im]) + a₀·ρ_conv(z, δ, x, Re, Im)
    with a₀ = 1 and a₁ = 10 at the start. Training adds, each with its weight, the errors of
    reading x and t back out of θ, and ℓ(θ*, x): the target turned back must find the reference.

    The published code fixes E at 768, so that its LSTM texts of 512 crash, and holds a constant
    for at most 32 queries; neither limit is left here. It learns four weights a, uses two, and so
    does this. The convolution's bias, which the normalisation behind it takes away again, is left
    out.

    Args:
        dim, text_dim: D and E.
        text: what it reads, a key of cir.composers.base.TEXTS.
        image_weight, text_weight, rotation_weight: of the three auxiliary losses, as published.
        dropout: in the projection of the image.
    """

    def __init__(
        self,
        dim: int,
        text_dim: int,
        text: str,
        image_weight: float = 0.1,
        text_weight: float = 0.1,
        rotation_weight: float = 0.01,
        dropout: float = 0.5,
    ):
        super().__init__(
            dim,
            text_dim,
            text=text,
            image_weight=image_weight,
            text_weight=text_weight,
            rotation_weight=rotation_weight,
            dropout=dropout,
        )
        self.rotation_weight = rotation_weight
        self.linear_projection = _Rotation(dim, text_dim, dropout)
        self.linear = mapping(2 * dim, dim)
        self.conv_projection = _Rotation(dim, text_dim, dropout)
        self.conv = nn.Sequential(
            nn.Conv1d(5, _CHANNELS, kernel_size=3, padding=1, bias=False),
            nn.AdaptiveMaxPool1d(_POOLED),
            nn.Flatten(),
            mapping(_CHANNELS * _POOLED, dim),
        )
        self.conv_weight = nn.Parameter(torch.tensor(1.0))  # a₀
        self.linear_weight = nn.Parameter(torch.tensor(10.0))  # a₁
        self.decoders = Decoders(dim, text_dim, image_weight, text_weight)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
        return self._rotated(image, self.read(image, edit), 1.0)

    def auxiliary_losses(
        self,
        image: torch.Tensor,
        edit: EditFeatures,
        query: torch.Tensor,
        target: torch.Tensor,
        loss: Loss,
    ) -> dict[str, torch.Tensor]:
        """The errors of both decoders, and the loss of the targets turned back."""
        text = self.read(image, edit)
        turned_back = self._rotated(target, text, -1.0)
        return {
            **self.decoders.losses(query, image, text),
            "rotation": self.rotation_weight * loss(turned_back, image),
        }

    def _rotated(self, image: torch.Tensor, text: torch.Tensor, sign: float) -> torch.Tensor:
        _, _, real, imaginary = self.linear_projection(image, text, sign)
        linear = self.linear(torch.cat([real, imaginary], dim=1))
        projected, angle, real, imaginary = self.conv_projection(image, text, sign)
        rows = [projected, angle, image.to(angle.dtype), real, imaginary]
        return self.linear_weight * linear + self.conv_weight * self.conv(torch.stack(rows, dim=1))


class _Rotation(nn.Module):
    """Project image [B, D] and text [B, E] to [B, D] each, and turn one by the other."""

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
        """z, δ, Re and Im, each [B, D]."""
        projected, angle = self.image(image), self.text(text)
        real, imaginary = projected * angle.cos(), sign * projected * angle.sin()
        dtype = projected.dtype  # under autocast cos and sin come back in full precision
        return projected, angle, real.to(dtype), imaginary.to(dtype)
