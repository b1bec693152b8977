"""The params of how an experiment on a published dataset is trained: its loss, its optimiser."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from cir.core.params import Section
from cir.published.experiment.training import published_groups
from cir.training.composer_alone import weight_groups
from cir.training.criteria import BatchClassification, Criterion, InfoNCE, SoftTriplet
from cir.training.shared.loop import AdamWWithCosine, MomentumInPeriods, Optimiser

Share = Annotated[float, Field(ge=0, le=1)]


class SoftTripletLoss(Section):
    """See cir.training.criteria.SoftTriplet."""

    name: Literal["soft_triplet"]
    halved: bool

    def create(self) -> Criterion:
        return SoftTriplet(self.halved)


class BatchClassificationLoss(Section):
    """See cir.training.criteria.BatchClassification."""

    name: Literal["batch_classification"]

    def create(self) -> Criterion:
        return BatchClassification()


class InfoNCELoss(Section):
    """See cir.training.criteria.InfoNCE."""

    name: Literal["info_nce"]
    temperature: PositiveFloat

    def create(self) -> Criterion:
        return InfoNCE.starting_at(self.temperature)


class _Optimiser(Section):
    """`backbone_share`: of the learning rate, for a pretrained image tower that is trained."""

    learning_rate: PositiveFloat
    backbone_share: Share
    weight_decay: NonNegativeFloat


class SGD(_Optimiser):
    """As published: see cir.training.shared.loop.MomentumInPeriods and published_groups."""

    kind: Literal["sgd"]
    momentum: Share
    period: PositiveInt
    factor: Share
    warmup: ClassVar[float] = 0.0
    gradient_clip: ClassVar[None] = None

    def create(self) -> Optimiser:
        return MomentumInPeriods(self.momentum, self.period, self.factor)

    def groups(self, objective: nn.Module, images: nn.Module) -> list[dict]:
        """Parameter groups of all that is trained, `images` being its image tower."""
        return published_groups(
            objective, images, self.learning_rate, self.backbone_share, self.weight_decay
        )


class AdamW(_Optimiser):
    """See cir.training.shared.loop.AdamWWithCosine; biases and norms do not decay."""

    kind: Literal["adamw"]
    warmup: Share
    gradient_clip: PositiveFloat | None

    def create(self) -> Optimiser:
        return AdamWWithCosine()

    def groups(self, objective: nn.Module, images: nn.Module) -> list[dict]:
        """See SGD."""
        rate, decay = self.learning_rate, self.weight_decay
        backbone = weight_groups([images.backbone], rate * self.backbone_share, decay)
        return [*backbone, *weight_groups([objective], rate, decay, backbone)]
