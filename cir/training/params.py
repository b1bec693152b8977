"""The params of the stages that train the encoder and that compare composers."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.device import Inference
from cir.core.params import Section, Share
from cir.encoders import Encoder
from cir.training.shared.params import Decay, Optimisation, Schedule, Trained


class EncoderChoice(Section):
    """The encoder to start from: see cir.encoders.Encoder.create."""

    model: str
    pretrained: str | None
    prompt: str
    pooling: str | None
    inference: Inference  # the precision of vectors: see cir.core.device.inference_precision

    def create(self) -> Encoder:
        """Build the encoder with its pretrained weights, or with random ones."""
        encoder = Encoder.create(self.model, self.pretrained, self.prompt, self.pooling)
        encoder.inference = self.inference
        return encoder


class Pretrain(Optimisation):
    """The first step of training: see cir.training.naming. With 0 `steps` the weights stay."""

    held_out: PositiveInt  # images that choose the checkpoint
    layer_decay: Decay  # see cir.training.shared.parameter_groups.all_layers


class Finetune(Optimisation):
    """The second step of training: see cir.training.composition."""

    steps: PositiveInt
    train: Trained
    near_misses: NonNegativeInt  # of each triplet, added to the batch as negatives
    naming_weight: NonNegativeFloat
    set_weight: NonNegativeFloat
    gradient_checkpointing: bool
    gradient_chunk: PositiveInt | None  # see cir.training.composition.CompositionObjective


class EncodeForComposers(Section):
    """How many training triplets are encoded: the first `train_queries`."""

    train_queries: PositiveInt


class CompareComposers(Section):
    """How every composer is trained: see cir.training.composer_comparison.train_composer."""

    trainings: PositiveInt  # with different seeds
    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    learning_rates: dict[str, PositiveFloat]  # of single composers, by their name in `composers`
    weight_decay: NonNegativeFloat
    warmup: Share
    gradient_clip: PositiveFloat
    temperature: PositiveFloat  # of InfoNCE at the start; it is learned
    set_weight: NonNegativeFloat
    evaluate_every: PositiveInt

    def for_composer(self, name: str) -> "CompareComposers":
        """Return the same params with the learning rate of the composer `name`."""
        rate = self.learning_rates.get(name, self.learning_rate)
        return self.model_copy(update={"learning_rate": rate})

    def schedule(self) -> Schedule:
        """Build the schedule of one training, in fp32."""
        return Schedule(
            steps=self.steps,
            warmup=self.warmup,
            gradient_clip=self.gradient_clip,
            precision="no",
            evaluate_every=self.evaluate_every,
            workers=0,
        )


class ScoreComposers(Section):
    """How composers are scored: the number of `resamples` of the bootstrap."""

    resamples: PositiveInt
