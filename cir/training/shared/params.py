"""The params that trainings have in common."""

import math
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.params import Section, Share
from cir.encoders import Encoder

Precision = Literal["no", "bf16", "fp16"]


class Schedule(Section):
    """How long `cir.training.shared.loop.fit` trains, and how it computes the steps."""

    steps: NonNegativeInt
    warmup: Share  # of the steps; the learning rate rises during them (adamw_with_cosine only)
    gradient_clip: PositiveFloat | None  # largest norm of the gradient; null: any norm
    precision: Precision  # of autocast on a GPU; "no" is fp32, as is every run on a CPU
    evaluate_every: PositiveInt  # steps between validations, which also write checkpoints
    workers: NonNegativeInt  # processes that prepare batches; 0: the training process does


class Optimisation(Schedule):
    """How an encoder is trained with AdamW."""

    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    temperature: PositiveFloat  # at the start; it is learned

    def start_temperature(self, encoder: Encoder) -> None:
        """Set the encoder's learned temperature to the value at which training starts."""
        with torch.no_grad():
            encoder.clip.logit_scale.fill_(math.log(1 / self.temperature))
