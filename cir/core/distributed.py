"""One batch over several processes, with the result of one process.

Each process encodes its slice of the global batch; the features are gathered, and every process
computes the loss of the whole batch. Gradients flow back into the process's own slice alone, so
there is no communication in the backward pass but the averaging of DistributedDataParallel.
"""

import os

import torch
from torch import distributed


def world() -> tuple[int, int]:
    """(this process's rank, number of processes)."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_main_process() -> bool:
    """Whether this process writes files; known before the processes have met."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """How many processes were launched together; known before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def gather(features: torch.Tensor) -> torch.Tensor:
    """Rows of all processes [W·B, D], in order of rank, from [B, D] on each.

    The gradient of the own rows comes back times W: each weight's gradient is then the sum over
    processes of what their rows give it, divided by W in DistributedDataParallel's average, which
    is what one process would compute. Weights that act alike on every process (the names') get
    the same gradient everywhere, and the average leaves it as it is.
    """
    rank, count = world()
    if count == 1:
        return features
    everyone = [torch.empty_like(features) for _ in range(count)]
    distributed.all_gather(everyone, features.detach().contiguous())
    everyone[rank] = count * features - (count - 1) * features.detach()
    return torch.cat(everyone)


def own_slice(rows: int) -> slice:
    """This process's part of `rows` rows of a global batch.

    `rows` must divide by the number of processes.
    """
    rank, count = world()
    assert rows % count == 0, f"{rows} rows over {count} processes"
    share = rows // count
    return slice(rank * share, (rank + 1) * share)
