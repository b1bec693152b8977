"""Train any objective, in one process or several; an interrupted run resumes."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cir.core import distributed, files
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.training.shared.optimisers import Optimiser, adamw_with_cosine
from cir.training.shared.params import Precision, Schedule

_CHECKPOINT = "checkpoint.pt"
_SHARDING = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@distributed.said_if_another_is_lost()
def fit(
    objective: nn.Module,
    groups: Sequence[dict],
    batches: Dataset,
    validate: Callable[[], dict[str, float]],
    schedule: Schedule,
    seed: int,
    checkpoints: Path,
    what: str,
    follow: Callable[[Sequence[dict[str, float]]], None] = lambda history: None,
    optimiser: Optimiser = adamw_with_cosine,
) -> list[dict[str, float]]:
    """Train, and leave the objective with the weights that validated best.

    Args:
        objective: `objective(batch)` returns a dict of losses; their sum is minimised.
        groups: parameter groups for the optimiser, each with its "lr". The history has the
            learning rate of the last group.
        batches: item s is the batch of step s (see cir.training.shared.batches).
        validate: measures the objective; a higher "score" is better.
        schedule: how long to train, and how to compute the steps.
        seed: of everything random.
        checkpoints: a folder that is kept if the run is killed; a run that finds a checkpoint in
            it resumes from that step. The caller removes the folder: see `sole_writer`.
        what: name of the training, for progress and messages.
        follow: receives the whole history after every validation, in the first process.
        optimiser: makes the optimiser and its scheduler.

    Returns:
        The history, one row for each validation: step, learning rate, mean losses since the last
        validation, and the result of `validate`.

    Raises:
        UserError: the loss is infinite or not a number, another process of the training was lost,
            or the processes do not start from the same state.
    """
    run = _Run(objective, lambda: optimiser(groups, schedule), schedule, seed, checkpoints)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(run.step, schedule.steps),
        num_workers=schedule.workers,
    )
    bar = progress(loader, schedule.steps - run.step, what, "steps", show=run.speaks)
    objective.train()
    for batch in bar:
        loss = run.advance(batch)
        if not math.isfinite(loss):
            raise UserError(
                f"{what}: the loss became {loss} at step {run.step}; lower the learning rate."
            )
        bar.note(f"loss {loss:.3f}")
        if run.step % schedule.evaluate_every == 0 or run.step == schedule.steps:
            run.validate(validate)
            if run.speaks:
                follow(run.history)
            objective.train()
    assert run.best is not None, "a run ends with a validation"
    objective.load_state_dict(run.best)
    return run.history


def best_row(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the row of the weights that `fit` keeps: of equal scores, the later row."""
    return max(history, key=lambda row: (row["score"], row["step"]))


class _Run:
    """Hold the state of a run, which checkpoints carry from one process to the next."""

    def __init__(
        self,
        objective: nn.Module,
        updates: Callable[[], tuple],
        schedule: Schedule,
        seed: int,
        folder: Path,
    ):
        self.objective, self.seed, self.folder = objective, seed, folder
        self.gradient_clip = schedule.gradient_clip or math.inf
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self.since = 0
        self.best: dict[str, torch.Tensor] | None = None
        # A composer may not use a weight in a batch whose edits remove nothing.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        precision = _usable(schedule.precision)
        self.accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[unused])
        self.speaks = self.accelerator.is_main_process
        if self.accelerator.distributed_type in _SHARDING:
            raise UserError(
                "every process of a training holds the whole model: choose DDP (distributed_type "
                f"MULTI_GPU) in accelerate's config instead of {self.accelerator.distributed_type}"
            )
        objective.to(self.accelerator.device)
        optimiser, self.scheduler = updates()  # after the weights have moved to the device
        self._resume(optimiser)
        distributed.require_same_start(folder.name, self.step)
        self.model, self.optimiser = self.accelerator.prepare(objective, optimiser)

    def advance(self, batch: Any) -> float:
        """Take one step of the optimiser, and return the loss, which may not be finite."""
        # Random numbers, as of dropout, must not depend on interruptions of the run.
        torch.manual_seed(self.seed * 1_000_003 + self.step)
        with self.accelerator.autocast():
            losses = self.model(batch)
        loss = sum(losses.values())
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.objective.parameters(), self.gradient_clip)
        self.optimiser.step()
        self.scheduler.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.since += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
        return loss.item()

    def validate(self, measure: Callable[[], dict[str, float]]) -> None:
        """Measure the objective, keep its weights if they are the best, write a checkpoint."""
        self.objective.eval()
        losses = {name: total / self.since for name, total in self.sums.items()}
        row = {
            "step": self.step,
            "learning_rate": self.scheduler.get_last_lr()[-1],
            "loss": sum(losses.values()),
            **losses,
            **measure(),
        }
        self.history.append(row)
        self.sums, self.since = {}, 0
        if best_row(self.history) is row:
            self.best = {n: v.detach().clone() for n, v in self.objective.state_dict().items()}
        if self.speaks:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
            say(f"  {figures}")
            self._save()
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        state = {
            "step": self.step,
            "history": self.history,
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "best": self.best,
        }
        with files.whole_file(self.folder / _CHECKPOINT) as path:
            torch.save(state, path)

    def _resume(self, optimiser: torch.optim.Optimizer) -> None:
        path = self.folder / _CHECKPOINT
        if not path.is_file():
            return
        device = self.accelerator.device
        # Several processes on a processor have the device "cpu:0", which torch.load does not know.
        place = "cpu" if device.type == "cpu" else device
        state = torch.load(path, map_location=place, weights_only=True)
        self.step, self.history, self.best = state["step"], state["history"], state["best"]
        self.objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.speaks:
            say(f"resuming after step {self.step} of an interrupted run")


def _usable(precision: Precision) -> Precision:
    """Return the precision on a GPU, else "no": on a CPU autocast is slower than fp32."""
    if precision == "no" or torch.cuda.is_available():
        return precision
    say(f"no GPU: training in fp32 instead of {precision}")
    return "no"


@contextmanager
def sole_writer(model: Path, checkpoints: Path) -> Iterator[None]:
    """Lock both folders while a stage trains and saves its model, then remove the checkpoints.

    If several processes train together, only the one that writes takes the lock.

    Raises:
        UserError: another run holds the lock.
    """
    if not distributed.is_main_process():
        yield
        return
    with files.exclusive(model, checkpoints):
        yield
        shutil.rmtree(checkpoints, ignore_errors=True)
