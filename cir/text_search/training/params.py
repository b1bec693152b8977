"""Declare the params of the captioner, of captioning, and of fine-tuning on captions."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.params import Section, Share
from cir.text_search.data.captions_file import By
from cir.training.shared.params import Optimisation, Trained


class Published(Section):
    """Params of a published open_clip CoCa, which is not trained here.

    `model` is a name, with a tag or a file of weights as `pretrained`; or hf-hub:owner/repository
    or local-dir:folder, which bring their weights, with None.
    """

    kind: Literal["published"]
    model: str
    pretrained: str | None


class NoCaptioner(Section):
    """Params of no captioner: images have the captions by people, or none."""

    kind: Literal["none"]


class Micro(Optimisation):
    """Params of a small captioner and its training; see Captioner.micro.

    The image tower learns at `tower_rate` times the learning rate.
    """

    kind: Literal["micro"]
    layers: PositiveInt
    heads: PositiveInt
    steps: PositiveInt
    captioning_weight: PositiveFloat
    tower_rate: Share


class CaptionImages(Section):
    """Params of captioning.

    `folder` holds shards or image files; None means the training split. `people` is a file of
    captions by people beside the images, in a form of cir.text_search.data.captioned_folder; the
    training split has its own. Every other image gets `each` captions: the likeliest at temperature
    0, drawn ones above.
    """

    folder: Path | None
    people: Path | None
    each: NonNegativeInt
    temperature: NonNegativeFloat
    batch_size: PositiveInt


class Finetune(Optimisation):
    """Params of fine-tuning; see cir.text_search.training.finetuning.

    A step sees at most `captions` captions of each image, by the authors in `use`.
    `train` says which weights learn. `hard_negatives` is that of CaptionObjective, `share` that of
    `mixed`.
    """

    steps: PositiveInt
    captions: PositiveInt
    hard_negatives: NonNegativeFloat | None
    train: Trained
    gradient_checkpointing: bool
    share: Annotated[float, Field(gt=0, le=1)]
    use: Annotated[list[By], Field(min_length=1)]
