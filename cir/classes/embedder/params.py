"""Declare the params of the class embedder, of its training and of embedding with it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from timm.models import EfficientNet

from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.pooling import AveragePool, ClassToken
from cir.classes.embedder.towers import TokenTower
from cir.core.params import Section, Share
from cir.training.shared.params import OptimiserName, Schedule


class Embedder(Section):
    """Params of a class embedder; see ClassEmbedder.create."""

    tower: str
    pretrained: str | None
    pooling: Literal["gem", "average", "max", "class_token"]
    dim: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)]
    image_size: PositiveInt | None

    def create(self) -> ClassEmbedder:
        """Build the embedder with which training starts."""
        return ClassEmbedder.create(**self.model_dump())

    def untrained_tower(self) -> TokenTower:
        """Build the tower with which training starts.

        A published tower with a class token is pooled by that token, and an EfficientNet by the
        average: its weights were trained for it, and not for the params' pooling.
        """
        backbone = self.create().backbone
        tower = backbone.tower
        if self.pretrained is None:
            return backbone
        if isinstance(tower, EfficientNet):
            return TokenTower(tower, AveragePool())
        return backbone if tower.cls_token is None else TokenTower(tower, ClassToken())


class Augmentation(Section):
    """Params of the random changes that make a view of a training image.

    Args:
        smallest_crop: the smallest share of the picture that a crop keeps; 1 crops nothing.
        flip: whether to mirror half of the pictures.
        brightness, contrast, saturation: the largest relative change.
        hue: the largest turn of the colour circle, at most 0.5. 0 keeps colours that tell classes
            apart.
        erase: the share of pictures in which a random box is painted over.
    """

    smallest_crop: Annotated[float, Field(gt=0, le=1)]
    flip: bool
    brightness: NonNegativeFloat
    contrast: NonNegativeFloat
    saturation: NonNegativeFloat
    hue: Annotated[float, Field(ge=0, le=0.5)]
    erase: Share


class TrainClassEmbedder(Schedule):
    """Params of training; see cir.classes.embedder.training.

    A batch holds `images` images of each of `classes` classes. From epoch `mining_from` on, counted
    from 0, only hard pairs count. An epoch has enough steps to see as many images as there are.
    """

    steps: PositiveInt
    classes: Annotated[int, Field(ge=2)]
    images: Annotated[int, Field(ge=2)]
    optimiser: OptimiserName
    learning_rate: PositiveFloat
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegativeFloat
    margin: Annotated[float, Field(ge=0, lt=1)]
    scale: PositiveFloat
    mining_from: NonNegativeInt
    mining_margin: NonNegativeFloat
    augmentation: Augmentation
    gradient_checkpointing: bool


class EmbedClasses(Section):
    """Params of embedding queries and gallery.

    `flip` adds vectors averaged over each image and its mirror image. `baselines` adds vectors of
    the tower before training, and colour histograms.
    """

    batch_size: PositiveInt
    workers: NonNegativeInt
    flip: bool
    baselines: bool
