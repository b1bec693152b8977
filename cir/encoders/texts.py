"""Encode many texts, each different text once."""

from collections.abc import Callable, Sequence

import torch


def encode_each_once(
    texts: Sequence[str], encode: Callable[[Sequence[str]], torch.Tensor], batch_size: int = 256
) -> torch.Tensor:
    """Return the features [T, D] of T texts; `encode` gets each different text once.

    Batches are sorted by the length of the texts, because the longest text of a batch sets its
    cost.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    starts = range(0, max(len(distinct), 1), batch_size)
    features = torch.cat([encode(distinct[start : start + batch_size]) for start in starts])
    row_of = {text: row for row, text in enumerate(distinct)}
    rows = torch.tensor([row_of[text] for text in texts], dtype=torch.long)
    return features[rows.to(features.device)]
