"""Compute one batch on several processes, with the result of a single process.

Each process encodes its slice of the global batch. The features are gathered, and every process
computes the loss of the whole batch. Gradients flow back only into the process's own slice, so the
backward pass communicates only for the averaging of DistributedDataParallel.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from cir.core.errors import UserError

# gloo, which connects processors, has no class of error of its own.
_OF_GLOO = ("gloo/", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


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


def require_same_start(checkpoints: str, step: int) -> None:
    """Raise UserError unless all processes start a training from the same state.

    `checkpoints`: the name of the folder, which has the fingerprint of code, params and data.
    `step`: that of the checkpoint that was found there, or 0.
    """
    _, count = world()
    if count == 1:
        return
    everyone: list[Any] = [None] * count
    distributed.all_gather_object(everyone, (checkpoints, step))
    folders, steps = (set(column) for column in zip(*everyone, strict=True))
    if len(folders) > 1:
        raise UserError(
            f"the {count} processes of this training do not have the same code, params and data: "
            "give every node the same copy of the project"
        )
    if len(steps) > 1:
        raise UserError(
            f"not all of the {count} processes of this training see the checkpoint of step "
            f"{max(steps)}: set CIR_CHECKPOINTS to a folder that all nodes share"
        )


@contextmanager
def said_if_another_is_lost() -> Iterator[None]:
    """Raise UserError if a training fails because the connection to another process is lost."""
    try:
        yield
    except RuntimeError as error:
        of_torch = isinstance(error, distributed.DistError)
        if not of_torch and not any(sign in str(error) for sign in _OF_GLOO):
            raise
        raise UserError(
            f"another of the {processes()} processes of this training was lost, and its own output "
            "says why: start all of them again, and they go on from the last checkpoint"
        ) from error
