"""The one training loop: any objective, one process or several, resumable."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import get_cosine_schedule_with_warmup

from cir.core import distributed, files
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.training.shared.params import Precision, Schedule

_CHECKPOINT = "checkpoint.pt"


class Optimiser(Protocol):
    """Makes what updates the weights, and what changes the learning rate after every step."""

    def __call__(
        self, groups: Sequence[dict], schedule: Schedule
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """Both, for these parameter groups, each of which has its "lr"."""


@dataclass(frozen=True)
class AdamWWithCosine:
    """AdamW; the learning rate rises, then falls as a cosine to nothing at the last step."""

    def __call__(self, groups, schedule):
        """See Optimiser."""
        optimiser = torch.optim.AdamW(groups, fused=True)
        rising = round(schedule.warmup * schedule.steps)
        return optimiser, get_cosine_schedule_with_warmup(optimiser, rising, schedule.steps)


@dataclass(frozen=True)
class MomentumInPeriods:
    """SGD with momentum; the learning rate is multiplied by `factor` after every `period` steps."""

    momentum: float
    period: int
    factor: float

    def __call__(self, groups, schedule):
        """See Optimiser."""
        optimiser = torch.optim.SGD(groups, momentum=self.momentum)
        scheduler = torch.optim.lr_scheduler.StepLR(optimiser, self.period, self.factor)
        return optimiser, scheduler


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
    optimiser: Optimiser = AdamWWithCosine(),
) -> list[dict[str, float]]:
    """Train, and leave the objective with the weights that validated best.

    Args:
        objective: `objective(batch)` returns a dict of losses; their sum is minimised.
        groups: parameter groups for the optimiser, each with its "lr". The learning rate that is
            reported is that of the last.
        batches: item s is the batch of step s (see cir.training.shared.batches).
        validate: measures the objective as it stands; the higher its "score" the better.
        checkpoints: a folder that outlives a killed run. A run that finds a checkpoint there
            goes on from it. Whoever calls removes the folder when nothing more depends on it.
        what: what is trained, for the progress line.
        follow: is told the whole history after every validation, in the first process.
        optimiser: makes the optimiser and its learning rates.

    Returns:
        One row per validation: step, learning rate, mean losses since the last, validation.

    Raises:
        UserError: the loss is no longer a number.
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


class _Run:
    """The state of a run: it advances by a step, is validated, and outlives its process."""

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
        # A composer may leave a weight unused in a batch in which nothing is removed.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        precision = _usable(schedule.precision)
        self.accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[unused])
        self.speaks = self.accelerator.is_main_process
        objective.to(self.accelerator.device)
        optimiser, self.scheduler = updates()  # of weights that are where they will stay
        self._resume(optimiser)
        self.model, self.optimiser = self.accelerator.prepare(objective, optimiser)

    def advance(self, batch: Any) -> float:
        """Take one step of the optimiser; returns the loss, which may be no finite number."""
        # Dropout must not depend on how often the run was interrupted.
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
        """Measure, keep the weights if they are the best so far, and write a checkpoint."""
        self.objective.eval()
        losses = {name: total / self.since for name, total in self.sums.items()}
        row = {
            "step": self.step,
            "learning_rate": self.scheduler.get_last_lr()[-1],
            "loss": sum(losses.values()),
            **losses,
            **measure(),
        }
        best_so_far = max((earlier["score"] for earlier in self.history), default=-math.inf)
        self.history.append(row)
        self.sums, self.since = {}, 0
        if row["score"] >= best_so_far:  # of equal scores the later: it has seen more
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
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
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
