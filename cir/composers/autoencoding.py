"""What ComposeAE and its real-space variant share: two decoders, and the mapping to a query."""

import torch
from torch import nn
from torch.nn import functional


class Decoders(nn.Module):
    """Read the image and the text back out of a query.

    Each is a `mapping` of its own, to length D for the image and E for the text. They matter in
    training only.

    Args:
        dim, text_dim: D and E.
        image_weight, text_weight: of the two losses.
    """

    def __init__(self, dim: int, text_dim: int, image_weight: float, text_weight: float):
        super().__init__()
        self.image_weight = image_weight
        self.text_weight = text_weight
        self.image = mapping(dim, dim)
        self.text = mapping(dim, text_dim)

    def losses(
        self, query: torch.Tensor, image: torch.Tensor, text: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Mean squared errors of what is read out of queries [B, D]; gradients reach both sides."""
        image_error = functional.mse_loss(self.image(query), image)
        text_error = functional.mse_loss(self.text(query), text)
        return {
            "image_decoding": self.image_weight * image_error,
            "text_decoding": self.text_weight * text_error,
        }


def mapping(inputs: int, outputs: int) -> nn.Sequential:
    """BN → ReLU → Linear(inputs, O) → ReLU → Linear(O, O): ρ in the paper."""
    return nn.Sequential(
        nn.BatchNorm1d(inputs),
        nn.ReLU(),
        nn.Linear(inputs, outputs),
        nn.ReLU(),
        nn.Linear(outputs, outputs),
    )
