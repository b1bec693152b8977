"""Compute one batch on several processes, with the result of a single process.

Each process encodes its slice of the global batch. The features are gathered, and every process
computes the loss of the whole batch. Gradients flow back only into the process's own slice, so the
backward pass communicates only for the averaging of DistributedDataParallel.
"""

import os

import torch
from torch import distributed


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_main_process() -> bool:
    """Tell whether this process writes files; works before the process group is set up."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """Return the number of launched processes; works before the process group is set up."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def gather(features: torch.Tensor) -> torch.Tensor:
    """Gather the rows [B, D] of W processes to [W·B, D], in order of rank.

    The gradient of a process's own rows is multiplied by W. DistributedDataParallel then averages
    over the W processes, so each weight gets the sum of all rows' gradients, as in one process.
    Weights that do the same work on every process (for names) have equal gradients everywhere, and
    the average does not change them.
    """
    rank, count = world()
    if count == 1:
        return features
    everyone = [torch.empty_like(features) for _ in range(count)]
    distributed.all_gather(everyone, features.detach().contiguous())
    everyone[rank] = count * features - (count - 1) * features.detach()
    return torch.cat(everyone)


def own_slice(rows: int) -> slice:
    """Return this process's part of the `rows` rows of a global batch.

    `rows` must be divisible by the number of processes.
    """
    rank, count = world()
    assert rows % count == 0, f"{rows} rows over {count} processes"
    share = rows // count
    return slice(rank * share, (rank + 1) * share)
