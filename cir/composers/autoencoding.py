"""The parts that ComposeAE and its variant in real space share: mappings and decoders."""

import torch
from torch import nn
from torch.nn import functional


class Decoders(nn.Module):
    """Reconstruct the image and the text from a query; only the training losses use them.

    Args:
        dim, text_dim: D and E, lengths of image and text features.
        image_weight, text_weight: weights of the two losses.
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
        """Return the mean squared errors of both reconstructions from queries [B, D].

        Gradients reach the queries and also `image` and `text`.
        """
        image_error = functional.mse_loss(self.image(query), image)
        text_error = functional.mse_loss(self.text(query), text)
        return {
            "image_decoding": self.image_weight * image_error,
            "text_decoding": self.text_weight * text_error,
        }


def mapping(inputs: int, outputs: int) -> nn.Sequential:
    """Build ρ of the paper: BN → ReLU → Linear(inputs, O) → ReLU → Linear(O, O)."""
    return nn.Sequential(
        nn.BatchNorm1d(inputs),
        nn.ReLU(),
        nn.Linear(inputs, outputs),
        nn.ReLU(),
        nn.Linear(outputs, outputs),
    )
