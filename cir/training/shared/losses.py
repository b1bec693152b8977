"""The contrastive loss that trainings of encoders share."""

import torch
from torch.nn import functional


def multi_positive_info_nce(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Return the InfoNCE loss of anchors that may have several positives.

    It is the cross-entropy between the softmax of an anchor's logits and the uniform distribution
    over its positives, averaged over the anchors that have a positive. This is L_out of supervised
    contrastive learning (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2).

    Args:
        logits: float [A, C], similarities of anchors and candidates divided by the temperature.
        positive: bool [A, C].
    """
    counts = positive.sum(dim=1)
    anchors = counts > 0
    log_p = functional.log_softmax(logits[anchors], dim=1)
    return -(log_p * positive[anchors]).sum(dim=1).div(counts[anchors]).mean()
