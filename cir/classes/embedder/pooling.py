"""Pool the tokens of a transformer into one vector."""

import torch
from torch import nn

_SMALLEST = 1e-6  # the gradient of a root is infinite at 0


class GeM(nn.Module):
    """Take the generalised mean of every channel over the patches: (mean of x^p)^(1/p).

    Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019,
    equation 2. p is learned; p = 1 gives the average and p → ∞ the maximum. Negative values count
    as 0: the paper pools after a ReLU, which the tokens of a transformer lack.

    Args:
        exponent: the first value of p.
    """

    needs_class_token = False

    def __init__(self, exponent: float = 3.0):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(float(exponent)))

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """Pool tokens [B, prefix + N, C], patches after the prefix → float32 [B, C]."""
        # The powers overflow in the half precision of autocast.
        patches = tokens[:, prefix:].float().clamp(min=_SMALLEST)
        return patches.pow(self.exponent).mean(dim=1).pow(1 / self.exponent)


class AveragePool(nn.Module):
    """Take the mean of the patches."""

    needs_class_token = False

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """See GeM."""
        return tokens[:, prefix:].float().mean(dim=1)


class MaxPool(nn.Module):
    """Take the largest value of every channel over the patches."""

    needs_class_token = False

    def forward(self, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
        """See GeM."""
        return tokens[:, prefix:].float().amax(dim=1)


class ClassToken(nn.Module):
    """Take the class token, the first token, which stands for the whole image."""

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
}  # saved embedders hold these names
