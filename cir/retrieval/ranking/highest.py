"""Find the highest scores of each row, on any device, the leftmost of equals first."""

import torch
from torch import Tensor


def highest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the columns [Q, k] of the k highest of `scores` [Q, N], and these scores, best first.

    Of equals the leftmost come first. `torch.topk` chooses any of the equals at the border, so
    rows with equals on both sides of the border are looked at again.
    """
    count = min(k + 1, scores.shape[1])
    values, columns = scores.topk(count, dim=1)
    torn = values[:, k - 1] == values[:, k] if count > k else values.new_zeros(0, dtype=torch.bool)
    columns, order = columns[:, :k].sort(dim=1)
    values, order = values[:, :k].gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    if torn.any():
        columns[torn] = _leftmost_at_border(scores[torn], values[torn], columns[torn])
    return columns, values


def _leftmost_at_border(scores: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """Replace the columns [q, k] that hold the lowest value by the leftmost that hold it."""
    border = values[:, -1:]
    width, k = scores.shape[1], values.shape[1]
    from_right = torch.arange(width, 0, -1, dtype=torch.int32, device=scores.device)
    leftmost = width - torch.where(scores == border, from_right, 0).topk(k, dim=1).values.long()
    place = torch.arange(k, device=scores.device) - (values > border).sum(dim=1, keepdim=True)
    return torch.where(place < 0, columns, leftmost.gather(1, place.clamp(min=0)))
