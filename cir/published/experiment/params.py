"""The params of an experiment on a published dataset: its data, its towers, and all together."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import nn

from cir.composers.params import (
    CombinerParams,
    ComposeAEParams,
    ConcatenationParams,
    Dropout,
    RealSpaceConcatAEParams,
    TIRGParams,
)
from cir.core.params import Section
from cir.encoders import Encoder
from cir.encoders.bert import FrozenBert
from cir.encoders.paired import GivenFeatures
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM
from cir.published.datasets import DATASETS, BenchmarkDataset
from cir.published.datasets.base import Absent
from cir.published.experiment.answering import Pictures, Source
from cir.published.experiment.training import CachedFeatures
from cir.published.experiment.training_params import (
    SGD,
    AdamW,
    BatchClassificationLoss,
    InfoNCELoss,
    SoftTripletLoss,
)
from cir.retrieval.ranking.protocol import Captions, Text
from cir.training.shared.batches import Pixels
from cir.training.shared.loop import Schedule
from cir.training.shared.params import DEVICE, Precision, usable


class _Dataset(Section):
    """See the class of that name in cir.published.datasets.DATASETS."""

    reference_kept: bool

    def create(self) -> BenchmarkDataset:
        """The dataset with these options."""
        return DATASETS[self.name](**self.model_dump(exclude={"name", "absent"}))


class _Stored(_Dataset):
    """One with files; `absent` images are refused, or left out with all that needs them."""

    root: Path
    absent: Absent


class MITStates(_Stored):
    name: Literal["mit_states"]
    text: Text


class Fashion200k(_Stored):
    name: Literal["fashion200k"]
    text: Text
    deletion: Literal["legacy", "fixed"]


class FashionIQ(_Stored):
    name: Literal["fashioniq"]
    gallery: Literal["full", "val", "pooled"]
    captions: Captions
    categories: tuple[Literal["dress", "shirt", "toptee"], ...]


class CIRR(_Stored):
    name: Literal["cirr"]


class DrawnAttributes(_Dataset):
    name: Literal["drawn_attributes"]
    absent: ClassVar[Absent] = "refuse"  # what is drawn is never absent
    seed: NonNegativeInt
    train_pairs: PositiveInt
    train_images: PositiveInt
    queries: PositiveInt
    gallery: PositiveInt
    image_size: PositiveInt


class ResNetImages(Section):
    """A ResNet-18 that is trained along; see cir.encoders.resnet.ResNet18.create."""

    tower: Literal["resnet18"]
    pretrained: str | None
    dim: PositiveInt
    resize: PositiveInt
    crop: PositiveInt

    def create(self, base: Path) -> ResNet18:
        """The tower; `base` is not needed."""
        return ResNet18.create(**self.model_dump(exclude={"tower"}))

    def in_training(self, tower: ResNet18, pictures: Pictures) -> tuple[nn.Module, Source]:
        """What is trained in the tower's place, and what that takes."""
        return tower, Pixels(pictures, tower)


class OwnImages(Section):
    """The image half of our own encoder as it is pretrained; it stands still."""

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
        """One that knows the words of the texts."""
        return WordLSTM.for_texts(texts, self.dim, self.dropout)


class Bert(Section):
    """See cir.encoders.bert.FrozenBert."""

    reader: Literal["bert"]
    checkpoint: str
    longest: Annotated[int, Field(ge=3)]

    def create(self, texts: Iterable[str]) -> FrozenBert:
        """The same for all texts."""
        return FrozenBert.create(self.checkpoint, self.longest)


class Experiment(Section):
    """What is trained on which dataset, and how; see cir.training.shared.loop.Schedule."""

    dataset: Annotated[
        MITStates | Fashion200k | FashionIQ | CIRR | DrawnAttributes, Field(discriminator="name")
    ]
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

    def schedule(self, seed: int) -> Schedule:
        """The schedule that cir.training.shared.loop.fit takes."""
        return Schedule(
            steps=self.steps,
            warmup=self.optimiser.warmup,
            gradient_clip=self.optimiser.gradient_clip or math.inf,
            precision=usable(self.precision),
            evaluate_every=self.evaluate_every,
            workers=self.workers,
            seed=seed,
        )
