"""The params that trainings have in common."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.params import Section, Share
from cir.encoders import Encoder
from cir.training.shared import parameter_groups

Precision = Literal["no", "bf16", "fp16"]
Decay = Annotated[PositiveFloat, Field(le=1)]
# AdamW, or Muon for matrices and AdamW for the rest: see cir.training.shared.optimisers. Muon
# learns faster in models that did not start from published weights. Each needs a learning rate of
# its own.
OptimiserName = Literal["adamw", "muon"]


class Schedule(Section):
    """How long `cir.training.shared.loop.fit` trains, and how it computes the steps."""

    steps: NonNegativeInt
    warmup: Share  # of the steps; the learning rate rises during them (not with MomentumInPeriods)
    gradient_clip: PositiveFloat | None  # largest norm of the gradient; null: any norm
    precision: Precision  # of autocast on a GPU; "no" is fp32, as is every run on a CPU
    evaluate_every: PositiveInt  # steps between validations, which also write checkpoints
    workers: NonNegativeInt  # processes that prepare batches; 0: the training process does


class Optimisation(Schedule):
    """How an encoder is trained."""

    batch_size: PositiveInt
    optimiser: OptimiserName
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    temperature: PositiveFloat  # at the start; it is learned

    def start_temperature(self, encoder: Encoder) -> None:
        """Set the encoder's learned temperature to the value at which training starts."""
        with torch.no_grad():
            encoder.clip.logit_scale.fill_(math.log(1 / self.temperature))


class Head(Section):
    """Train the projection of the image tower only."""

    what: Literal["head"]

    def shares(self, encoder: Encoder) -> dict[str, float]:
        """Give each trained parameter's share of the learning rate, by its name."""
        return parameter_groups.head(encoder)


class LastBlocks(Section):
    """Train the last blocks of both towers and everything after them."""

    what: Literal["last_blocks"]
    blocks: PositiveInt

    def shares(self, encoder: Encoder) -> dict[str, float]:
        """Give each trained parameter's share of the learning rate, by its name."""
        return parameter_groups.last_blocks(encoder, self.blocks)


class AllLayers(Section):
    """Train all weights; `decay` lowers the learning rate from each block to the one below."""

    what: Literal["all"]
    decay: Decay

    def shares(self, encoder: Encoder) -> dict[str, float]:
        """Give each trained parameter's share of the learning rate, by its name."""
        return parameter_groups.all_layers(encoder, self.decay)


# Which weights of an encoder are trained.
Trained = Annotated[Head | LastBlocks | AllLayers, Field(discriminator="what")]
