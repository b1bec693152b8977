"""Contrastive losses over a batch; all take features and compare by cosine."""

import torch
from torch.nn import functional


def multi_positive_info_nce(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """InfoNCE where an anchor has any number of positives.

    The cross-entropy between the softmax of an anchor's logits and the uniform distribution over
    its positives, averaged over anchors that have any: L_out of supervised contrastive learning
    (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2).

    Args:
        logits: float [A, C], similarities of anchors and candidates over the temperature.
        positive: bool [A, C].
    """
    counts = positive.sum(dim=1)
    anchors = counts > 0
    log_p = functional.log_softmax(logits[anchors], dim=1)
    return -(log_p * positive[anchors]).sum(dim=1).div(counts[anchors]).mean()


def symmetric_info_nce(
    query: torch.Tensor,
    candidates: torch.Tensor,
    temperature: torch.Tensor | float,
    same: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE from query to target and from target to query (van den Oord et al. 2018,
    https://arxiv.org/abs/1807.03748, equation 4; the symmetric form is CLIP's).

    Args:
        query: float [B, D].
        candidates: float [C, D]; row i < B is the target of query i, the rest (references, near
            misses) are negatives of every query.
        temperature: what the cosines are divided by.
        same: bool [B, C], candidates that show what query i's target shows and are therefore no
            negatives of it; the target itself may be marked or not.

    Returns:
        The mean of both directions, a scalar.
    """
    batch = len(query)
    query, candidates = functional.normalize(query, dim=1), functional.normalize(candidates, dim=1)
    logits = query @ candidates.T / temperature
    answers = torch.arange(batch, device=query.device)
    if same is not None:
        itself = torch.zeros_like(same)
        itself[answers, answers] = True
        logits = logits.masked_fill(same & ~itself, float("-inf"))
    forward = functional.cross_entropy(logits, answers)
    backward = functional.cross_entropy(logits[:, :batch].T, answers)
    return (forward + backward) / 2
