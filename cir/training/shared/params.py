"""What the stages that train encoders have in common."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core import distributed, files
from cir.core.params import Section
from cir.core.progress import say
from cir.encoders import Encoder
from cir.training.shared.loop import Schedule

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Precision = Literal["no", "bf16", "fp16"]


def usable(precision: Precision) -> Precision:
    """The precision on a GPU; without one "no", which is fp32, and a line that says so."""
    if precision == "no" or torch.cuda.is_available():
        return precision
    say(f"no GPU: training in fp32 instead of {precision}")
    return "no"


class Optimisation(Section):
    """AdamW with warm-up and cosine; see cir.training.shared.loop.Schedule.

    `precision` is for GPUs: on a CPU autocast is slower than fp32, so there it is not used.
    `temperature` is where the learned temperature starts.
    """

    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    warmup: Annotated[float, Field(ge=0, le=1)]
    gradient_clip: PositiveFloat
    temperature: PositiveFloat
    precision: Precision
    evaluate_every: PositiveInt
    workers: NonNegativeInt

    def schedule(self, seed: int) -> Schedule:
        """The schedule that cir.training.shared.loop.fit takes."""
        return Schedule(
            steps=self.steps,
            warmup=self.warmup,
            gradient_clip=self.gradient_clip,
            precision=usable(self.precision),
            evaluate_every=self.evaluate_every,
            workers=self.workers,
            seed=seed,
        )

    def start_temperature(self, encoder: Encoder) -> None:
        """Set the encoder's learned temperature to where training starts."""
        with torch.no_grad():
            encoder.clip.logit_scale.fill_(math.log(1 / self.temperature))


@contextmanager
def sole_writer(model: Path, checkpoints: Path) -> Iterator[None]:
    """Hold the right to write both; once the model is safely on disk, remove the checkpoints.

    Of several processes that train together, the one that writes holds it. A second run gets a
    UserError.
    """
    if not distributed.is_main_process():
        yield
        return
    with files.exclusive(model, checkpoints):
        yield
        shutil.rmtree(checkpoints, ignore_errors=True)
