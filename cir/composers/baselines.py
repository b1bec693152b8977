"""Baselines: the image alone, the text alone, their sum, and a network over both."""

import torch
from torch import nn
from torch.nn import functional

from cir.composers.base import Composer, EditFeatures, LearnedComposer, require_equal_lengths
from cir.composers.params import ConcatenationParams, SumParams, TextOnlyParams


class ImageOnly(Composer):
    """query = image (Vo et al., CVPR 2019, arXiv:1812.07119, table 1, row "image only").

    It shows how often a query is answered by images like the reference, whatever the edit.
    """

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Return the image features [B, D] as query features."""
        return image


class TextOnly(LearnedComposer):
    """query = text (Vo et al., CVPR 2019, arXiv:1812.07119, table 1, row "text only").

    The text is ranked among images, so D and E must be equal.
    """

    reads_image = False

    def __init__(self, params: TextOnlyParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        require_equal_lengths(dim, text_dim, params.name)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Return the text features [B, D] as query features."""
        return self.read(image, edit)


class Sum(LearnedComposer):
    """query = image + text, without learned weights; D and E must be equal.

    CLIP4Cir tunes CLIP with this composition before it trains the Combiner (Baldrati et al., CVPR
    2022 workshops, "Conditioned and composed image retrieval combining and partially fine-tuning
    CLIP-based features", section 3.2). The paper adds the features without normalising them.
    """

    def __init__(self, params: SumParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        require_equal_lengths(dim, text_dim, params.name)

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        parts = (image, self.read(image, edit))
        if self.params.normalise:
            parts = tuple(functional.normalize(part, dim=1) for part in parts)
        return parts[0] + parts[1]


class Concatenation(LearnedComposer):
    """query = MLP([x; t]), the baseline "concat" of Vo et al. (CVPR 2019, arXiv:1812.07119).

    The layers follow the code of that paper. With u = [x; t] of length U = D + E (there 2·512):
    BN(U) → ReLU → Linear(U, U) → BN(U) → ReLU → Dropout → Linear(U, D). The first Linear has no
    bias here, because the BN behind it subtracts any bias, so no bias would ever be trained.
    """

    def __init__(self, params: ConcatenationParams, dim: int, text_dim: int):
        super().__init__(params, dim, text_dim)
        both = dim + text_dim
        self.network = nn.Sequential(
            nn.BatchNorm1d(both),
            nn.ReLU(),
            nn.Linear(both, both, bias=False),
            nn.BatchNorm1d(both),
            nn.ReLU(),
            nn.Dropout(params.dropout),
            nn.Linear(both, dim),
        )

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D] and an edit to query features [B, D]."""
        return self.network(torch.cat([image, self.read(image, edit)], dim=1))
