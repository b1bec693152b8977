"""The arithmetic composer with a small network that corrects its errors."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.arithmetic import ArithmeticComposer
from cir.composers.base import EditFeatures, LearnedComposer
from cir.composers.params import CorrectedArithmeticParams


class CorrectedArithmetic(LearnedComposer):
    """query = arithmetic(image, edit) + ‖image‖/√D · σ(g(h)) ⊙ v(h), a method of this project.

    h = GELU(Linear([image; Σ added; Σ removed; text])) reads the inputs of the arithmetic and, if
    there is one, the text. The three inputs in image space are divided by the length of the image,
    and the text by its own length. The encoder's scale therefore does not matter, but the size of
    the edit relative to the image does. v starts at zero: before training the query equals the
    arithmetic's.
    """

    reads_objects = True

    def __init__(self, params: CorrectedArithmeticParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        self.arithmetic = ArithmeticComposer(params)
        inputs = 3 * dim + (0 if params.text == "none" else text_dim)
        self.features = nn.Sequential(nn.Linear(inputs, params.hidden), nn.GELU())
        self.gate = nn.Linear(params.hidden, dim)
        self.value = nn.Linear(params.hidden, dim)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        size = image.norm(dim=1, keepdim=True).clamp(min=1e-6) / image.shape[1] ** 0.5
        parts = [part / size for part in (image, edit.total(1, image), edit.total(-1, image))]
        if self.text != "none":
            text = self.read(image, edit)
            parts.append(functional.normalize(text, dim=1) * text.shape[1] ** 0.5)
        hidden = self.features(torch.cat(parts, dim=1))
        correction = torch.sigmoid(self.gate(hidden)) * self.value(hidden)
        return self.arithmetic(image, edit) + size * correction
