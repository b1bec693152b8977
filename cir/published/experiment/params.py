"""Declare the params of an experiment on a published dataset.

Each section builds what it declares. A dataset's section has the options of the dataset's class;
params.yaml must give them all.
"""

import typing
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Union

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    create_model,
    model_validator,
)
from torch import nn

from cir.composers.params import (
    CombinerParams,
    ComposeAEParams,
    ConcatenationParams,
    Dropout,
    RealSpaceConcatAEParams,
    TIRGParams,
)
from cir.core.device import DEVICE
from cir.core.params import Section, Share
from cir.encoders import Encoder
from cir.encoders.bert import FrozenBert
from cir.encoders.paired import GivenFeatures
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM
from cir.published.datasets import DATASETS, PublishedDataset
from cir.published.datasets.base import Absent
from cir.published.datasets.circo import CIRCO
from cir.published.experiment.answering import Pictures, Source
from cir.published.experiment.training import CachedFeatures
from cir.training.losses import BatchClassification, Criterion, InfoNCE, SoftTriplet
from cir.training.shared.batches import Pixels
from cir.training.shared.optimisers import MomentumInPeriods, Optimiser, adamw_with_cosine
from cir.training.shared.parameter_groups import module_groups
from cir.training.shared.params import Precision, Schedule


class _Dataset(Section):
    def create(self) -> PublishedDataset:
        """Return the dataset with these options."""
        return DATASETS[self.name](**self.model_dump(exclude={"name", "absent"}))


class _Drawn(_Dataset):
    """A dataset that draws its images, so that none is ever absent."""

    absent: ClassVar[Absent] = "refuse"


class _Stored(_Dataset):
    """A dataset in files. `absent`: refuse absent images, or leave out all that needs them."""

    absent: Absent


def _dataset_section(name: str, kind: type[PublishedDataset]) -> type[_Dataset]:
    """Declare a section with the `name` and the options of a dataset, all of them required."""
    types = typing.get_type_hints(kind)
    options = {field.name: (types[field.name], ...) for field in fields(kind)}
    base = _Stored if kind.stored else _Drawn
    return create_model(kind.__name__, __base__=base, name=(Literal[name], ...), **options)


# CIRCO has no training split.
_DATASETS = tuple(_dataset_section(*one) for one in DATASETS.items() if one[1] is not CIRCO)


class ResNetImages(Section):
    """A ResNet-18 that is trained with the composer; see cir.encoders.resnet.ResNet18.create."""

    tower: Literal["resnet18"]
    pretrained: str | None
    dim: PositiveInt
    resize: PositiveInt
    crop: PositiveInt

    def create(self, base: Path) -> ResNet18:
        """Return the tower; `base` is not needed."""
        return ResNet18.create(**self.model_dump(exclude={"tower"}))

    def in_training(self, tower: ResNet18, pictures: Pictures) -> tuple[nn.Module, Source]:
        """Return the module that stands for the tower in training, and the source of its input."""
        return tower, Pixels(pictures, tower)


class OwnImages(Section):
    """The image tower of the pretrained encoder, frozen."""

    tower: Literal["encoder_base"]

    def create(self, base: Path) -> Encoder:
        """Load the encoder of the folder `base`."""
        return Encoder.load(base).to(DEVICE)

    def in_training(self, tower: Encoder, pictures: Pictures) -> tuple[nn.Module, Source]:
        """See ResNetImages."""
        features = CachedFeatures(Pixels(pictures, tower, budget=0), tower)
        return GivenFeatures(tower.dim), features


class Words(Section):
    """See cir.encoders.words.WordLSTM."""

    reader: Literal["words"]
    dim: PositiveInt
    dropout: Dropout

    def create(self, texts: Iterable[str]) -> WordLSTM:
        """Return a reader with the vocabulary of the texts."""
        return WordLSTM.for_texts(texts, self.dim, self.dropout)


class Bert(Section):
    """See cir.encoders.bert.FrozenBert."""

    reader: Literal["bert"]
    checkpoint: str
    longest: Annotated[int, Field(ge=3)]

    def create(self, texts: Iterable[str]) -> FrozenBert:
        """Return the reader, which is the same for all texts."""
        return FrozenBert.create(self.checkpoint, self.longest)


class SoftTripletLoss(Section):
    """See cir.training.losses.SoftTriplet."""

    name: Literal["soft_triplet"]
    halved: bool

    def create(self) -> Criterion:
        return SoftTriplet(self.halved)


class BatchClassificationLoss(Section):
    """See cir.training.losses.BatchClassification."""

    name: Literal["batch_classification"]

    def create(self) -> Criterion:
        return BatchClassification()


class InfoNCELoss(Section):
    """See cir.training.losses.InfoNCE."""

    name: Literal["info_nce"]
    temperature: PositiveFloat

    def create(self) -> Criterion:
        return InfoNCE.starting_at(self.temperature)


class _Optimiser(Section):
    """`backbone_share`: share of the learning rate for a pretrained image tower in training."""

    learning_rate: PositiveFloat
    backbone_share: Share
    weight_decay: NonNegativeFloat


class SGD(_Optimiser):
    """SGD as in the published code; see MomentumInPeriods."""

    kind: Literal["sgd"]
    momentum: Share
    period: PositiveInt
    factor: Share
    warmup: ClassVar[float] = 0.0
    gradient_clip: ClassVar[None] = None

    def create(self) -> Optimiser:
        return MomentumInPeriods(self.momentum, self.period, self.factor)

    def groups(self, objective: nn.Module, images: nn.Module) -> list[dict]:
        """Return the parameter groups of `objective`, whose image tower is `images`.

        As in the published code, all weights decay, also biases.
        """
        return module_groups(
            objective,
            self.learning_rate,
            self.weight_decay,
            slower=images.backbone,
            share=self.backbone_share,
            vectors_decay=True,
        )


class AdamW(_Optimiser):
    """AdamW with a cosine schedule; biases and norms do not decay."""

    kind: Literal["adamw"]
    warmup: Share
    gradient_clip: PositiveFloat | None

    def create(self) -> Optimiser:
        return adamw_with_cosine

    def groups(self, objective: nn.Module, images: nn.Module) -> list[dict]:
        """See SGD."""
        return module_groups(
            objective,
            self.learning_rate,
            self.weight_decay,
            slower=images.backbone,
            share=self.backbone_share,
        )


class Experiment(Section):
    """The dataset, the model and its training.

    `steps`, `evaluate_every`, `precision` and `workers` are those of
    cir.training.shared.params.Schedule; `batch_size` counts pairs.
    """

    dataset: Annotated[Union[_DATASETS], Field(discriminator="name")]  # noqa: UP007
    images: Annotated[ResNetImages | OwnImages, Field(discriminator="tower")]
    texts: Annotated[Words | Bert, Field(discriminator="reader")]
    composer: Annotated[
        ConcatenationParams
        | TIRGParams
        | ComposeAEParams
        | RealSpaceConcatAEParams
        | CombinerParams,
        Field(discriminator="name"),
    ]
    criterion: Annotated[
        SoftTripletLoss | BatchClassificationLoss | InfoNCELoss, Field(discriminator="name")
    ]
    optimiser: Annotated[SGD | AdamW, Field(discriminator="kind")]
    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    evaluate_every: PositiveInt
    precision: Precision
    workers: NonNegativeInt

    @model_validator(mode="after")
    def _nothing_is_tagged(self) -> "Experiment":
        if self.composer.text != "sentence":
            raise ValueError(
                "composer.text must be 'sentence', as no tagger reads these queries, got "
                f"'{self.composer.text}'"
            )
        return self

    def schedule(self) -> Schedule:
        """Return the schedule for cir.training.shared.loop.fit."""
        return Schedule(
            steps=self.steps,
            warmup=self.optimiser.warmup,
            gradient_clip=self.optimiser.gradient_clip,
            precision=self.precision,
            evaluate_every=self.evaluate_every,
            workers=self.workers,
        )
