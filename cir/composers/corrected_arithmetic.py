"""The arithmetic composer, and a small network that learns what it gets wrong."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.arithmetic import ArithmeticComposer
from cir.composers.base import EditFeatures, LearnedComposer


class CorrectedArithmetic(LearnedComposer):
    """query = arithmetic(image, edit) + ‖image‖/√D · σ(g(h)) ⊙ v(h), this project's own.

    h = GELU(Linear([image; Σ added; Σ removed; text])) sees what the arithmetic sees, and the text
    beside it. The three in the image's space are divided by the image's length and the text by
    its own, so that the encoder's scale does not matter, but how much is added to how full a
    picture does. v starts at zero: before training the query is exactly the arithmetic's.

    Args:
        dim, text_dim: D and E.
        text: what it reads beside the objects, a key of cir.composers.base.TEXTS.
        hidden: length of h.
        normalise_image, …: see ArithmeticComposer.
    """

    reads_objects = True

    def __init__(
        self,
        dim: int,
        text_dim: int,
        text: str,
        hidden: int,
        normalise_image: bool = False,
        normalise_objects: bool = False,
        image_weight: float = 1.0,
        added_weight: float = 1.0,
        removed_weight: float = 1.0,
    ):
        arithmetic = {
            "normalise_image": normalise_image,
            "normalise_objects": normalise_objects,
            "image_weight": image_weight,
            "added_weight": added_weight,
            "removed_weight": removed_weight,
        }
        super().__init__(dim, text_dim, text=text, hidden=hidden, **arithmetic)
        self.arithmetic = ArithmeticComposer(**arithmetic)
        inputs = 3 * dim + (0 if text == "none" else text_dim)
        self.features = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU())
        self.gate = nn.Linear(hidden, dim)
        self.value = nn.Linear(hidden, dim)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D] and edit → query features [B, D]."""
        size = image.norm(dim=1, keepdim=True).clamp(min=1e-6) / image.shape[1] ** 0.5
        parts = [part / size for part in (image, edit.total(1, image), edit.total(-1, image))]
        if self.text != "none":
            text = self.read(image, edit)
            parts.append(functional.normalize(text, dim=1) * text.shape[1] ** 0.5)
        hidden = self.features(torch.cat(parts, dim=1))
        correction = torch.sigmoid(self.gate(hidden)) * self.value(hidden)
        return self.arithmetic(image, edit) + size * correction
