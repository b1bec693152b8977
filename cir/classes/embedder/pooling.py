"""How the tokens of a transformer become one vector."""

import torch
from torch import nn

_SMALLEST = 1e-6  # a root's gradient at 0 is infinite


class GeM(nn.Module):
    """Generalised mean of every channel over the patches: (mean of x^p)^(1/p), p learned.

    Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019,
    equation 2. p = 1 is the average and p → ∞ the maximum. What is negative counts as 0: there the
    papers have a ReLU before, and the tokens of a transformer have none.

    Args:
        exponent: where p starts.
    """

    needs_class_token = False

    def __init__(self, exponent: float = 3.0):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(float(exponent)))

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """Tokens [B, prefix + N, C], the patches after the prefix → [B, C], in float32."""
        # Autocast's half precision has no room for the powers.
        patches = tokens[:, prefix:].float().clamp(min=_SMALLEST)
        return patches.pow(self.exponent).mean(dim=1).pow(1 / self.exponent)


class AveragePool(nn.Module):
    """The mean of the patches."""

    needs_class_token = False

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """See GeM."""
        return tokens[:, prefix:].float().mean(dim=1)


class MaxPool(nn.Module):
    """The largest value of every channel over the patches."""

    needs_class_token = False

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """See GeM."""
        return tokens[:, prefix:].float().amax(dim=1)


class ClassToken(nn.Module):
    """The token that stands for the whole image, in front of the patches."""

    needs_class_token = True

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """See GeM."""
        assert prefix, "the tower has no class token"
        return tokens[:, 0].float()


Pooling = GeM | AveragePool | MaxPool | ClassToken
POOLINGS: dict[str, type[Pooling]] = {
    "gem": GeM,
    "average": AveragePool,
    "max": MaxPool,
    "class_token": ClassToken,
}  # the names under which saved embedders know them
