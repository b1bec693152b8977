"""The optimisers of all trainings, each with the schedule of its learning rates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_cosine_schedule_with_warmup

from cir.training.shared.params import Schedule

_MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ADAMW_STEP = 0.2  # the root mean square of AdamW's usual steps, at a learning rate of 1


# Makes the optimiser of parameter groups, each with its "lr", and the scheduler of their rates.
Optimiser = Callable[[Sequence[dict], Schedule], tuple[torch.optim.Optimizer, LRScheduler]]


def adamw_with_cosine(
    groups: Sequence[dict], schedule: Schedule
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Use AdamW, with a learning rate that rises linearly and then falls as a cosine to 0.

    AdamW is algorithm 2 of Loshchilov and Hutter, ICLR 2019 (https://arxiv.org/abs/1711.05101). The
    cosine is equation 5 of Loshchilov and Hutter, ICLR 2017 (https://arxiv.org/abs/1608.03983),
    without restarts.
    """
    return _with_cosine(torch.optim.AdamW(groups, fused=True), schedule)


def muon_with_cosine(
    groups: Sequence[dict], schedule: Schedule
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Use Muon, with the learning rates of `adamw_with_cosine`."""
    return _with_cosine(Muon(groups), schedule)


BY_NAME: dict[str, Optimiser] = {"adamw": adamw_with_cosine, "muon": muon_with_cosine}


def _with_cosine(
    optimiser: torch.optim.Optimizer, schedule: Schedule
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    rising = round(schedule.warmup * schedule.steps)
    return optimiser, get_cosine_schedule_with_warmup(optimiser, rising, schedule.steps)


@dataclass(frozen=True)
class MomentumInPeriods:
    """Use SGD with momentum, and a learning rate that falls by `factor` after every `period` steps.

    The published code of TIRG (Vo et al., CVPR 2019) and of ComposeAE (Anwaar et al., WACV 2021)
    trains in this way.
    """

    momentum: float
    period: int
    factor: float

    def __call__(
        self, groups: Sequence[dict], schedule: Schedule
    ) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Make the optimiser and its scheduler."""
        optimiser = torch.optim.SGD(groups, momentum=self.momentum)
        scheduler = torch.optim.lr_scheduler.StepLR(optimiser, self.period, self.factor)
        return optimiser, scheduler


class Muon(torch.optim.AdamW):
    """Update matrices by momentum whose singular values are all about 1; other weights by AdamW.

    Muon is by Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/). A matrix [m, n]
    moves by 0.2·√max(m, n) times the learning rate in each direction, so that its step has the size
    of one of AdamW and both can use the same learning rates and weight decay (Liu et al. 2025,
    "Muon is Scalable for LLM Training", https://arxiv.org/abs/2502.16982, equation 4).
    torch.optim.Muon does the same in bf16, which takes three times as long on a processor without
    bf16, and only for weights of two dimensions.

    Args:
        groups: parameter groups, each with its "lr" and "weight_decay". Those with a true
            "matrices" hold weights of two dimensions or more; all after the first count as one.
    """

    def __init__(self, groups: Iterable[dict]):
        super().__init__([{"matrices": False, **group} for group in groups], fused=True)
        # The fused AdamW leaves out a step whose gradients overflow in fp16, and tells torch's
        # scaler so. Muon does not: the scaler has to leave out the step of both.
        self._step_supports_amp_scaling = False

    def step(self, closure: None = None) -> None:
        """Update all weights that have a gradient."""
        assert closure is None, "a closure would be evaluated for a part of the weights only"
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if not group["matrices"]]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["matrices"]:
                self._update_matrices(group)

    @torch.no_grad()
    def _update_matrices(self, group: dict) -> None:
        rate = group["lr"]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
                state["step"] = torch.zeros(())  # AdamW expects it in every state that it loads
            momentum = state["momentum"].lerp_(weight.grad, 1 - _MOMENTUM)
            # Nesterov's momentum looks one step ahead.
            update = weight.grad.lerp(momentum, _MOMENTUM).flatten(1)
            step = orthogonalised(update) * (_ADAMW_STEP * max(update.shape) ** 0.5)
            weight.mul_(1 - rate * group["weight_decay"])
            weight.sub_(step.view_as(weight), alpha=rate)


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix [m, n] with the same singular vectors and singular values of 0.7 to 1.2.

    These are five Newton-Schulz iterations X ← aX + (bA + cA²)X with A = XXᵀ, from a matrix of norm
    1, with the coefficients of Jordan et al. Singular values below a thousandth of the norm stay
    lower.
    """
    a, b, c = _QUINTIC
    upright = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if upright else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if upright else x
