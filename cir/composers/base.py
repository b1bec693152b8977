"""What every composer takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cir.records import Edit


@dataclass(frozen=True)
class EditFeatures:
    """The encoded edits of B queries, which name P objects in all.

    Args:
        objects: float [P, D], one row for each object named, not normalised.
        owner: int64 [P], the query (0 … B-1) that names it.
        sign: float [P], +1 where the object is added and -1 where it is removed.
    """

    objects: torch.Tensor
    owner: torch.Tensor
    sign: torch.Tensor

    @classmethod
    def gather(
        cls, edits: Sequence[Edit], names: Sequence[str], features: torch.Tensor
    ) -> "EditFeatures":
        """Pick the rows that the edits name from the features [N, D] of N different names."""
        row_of = {name: row for row, name in enumerate(names)}
        picks = [
            (row_of[name], query, sign)
            for query, edit in enumerate(edits)
            for sign, part in ((1.0, edit.add), (-1.0, edit.remove))
            for name in part
        ]
        rows, owner, sign = zip(*picks, strict=True) if picks else ((), (), ())
        device = features.device
        return cls(
            features[torch.tensor(rows, dtype=torch.long, device=device)],
            torch.tensor(owner, dtype=torch.long, device=device),
            torch.tensor(sign, dtype=features.dtype, device=device),
        )


class Composer(nn.Module):
    """Base of all composers."""

    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D], not normalised, and edit → query features [B, D]."""
        raise TypeError(f"{type(self).__name__} does not say how it composes.")

    def settings(self) -> dict[str, float | bool | int | str]:
        """The constructor's arguments, as JSON, from which the same composer is built again."""
        raise TypeError(f"{type(self).__name__} does not say how it is built.")

    def auxiliary_losses(self) -> dict[str, torch.Tensor]:
        """Losses of the last forward pass that the method adds to the contrastive one, by name."""
        return {}


def names_in(edits: Sequence[Edit]) -> list[str]:
    """Every name in the edits once, in order of appearance, so that each is encoded once."""
    return list(dict.fromkeys(name for edit in edits for name in (*edit.add, *edit.remove)))
