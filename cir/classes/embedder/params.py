"""The params of the class-level embedder and of how its training images are changed."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from cir.classes.embedder.augmentation import Augmentation
from cir.classes.embedder.embedder import ClassEmbedder, TokenTower
from cir.classes.embedder.pooling import ClassToken
from cir.core.params import Section
from cir.images.shards import ImageShards

Share = Annotated[float, Field(ge=0, le=1)]


class Embedder(Section):
    """See cir.classes.embedder.embedder.ClassEmbedder.create and cir.classes.embedder.pooling."""

    tower: str
    pretrained: str | None
    pooling: Literal["gem", "average", "max", "class_token"]
    dim: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)]

    def create(self) -> ClassEmbedder:
        """One as training starts with it."""
        return ClassEmbedder.create(**self.model_dump())

    def start(self) -> TokenTower:
        """Its tower as training starts with it; published weights are at their best by their class
        token, where the tower has one, and not by a pooling that they have never met.
        """
        backbone = self.create().backbone
        published = self.pretrained is not None and backbone.tower.cls_token is not None
        return TokenTower(backbone.tower, ClassToken()) if published else backbone


class Augmented(Section):
    """See cir.classes.embedder.augmentation.Augmentation."""

    smallest_crop: Annotated[float, Field(gt=0, le=1)]
    flip: bool
    brightness: NonNegativeFloat
    contrast: NonNegativeFloat
    saturation: NonNegativeFloat
    hue: Annotated[float, Field(ge=0, le=0.5)]
    erase: Share

    def create(self) -> Augmentation:
        """What the batches take."""
        return Augmentation(**self.model_dump())


def read_classes(images: ImageShards) -> list[str]:
    """The class of each image of a part of data/classes, in order."""
    return [images.objects(name)[0] for name in images.ids]
