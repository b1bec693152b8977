"""The params of the composers: one section for each, chosen by its `name`.

A section is the only declaration of what configures a composer. params.yaml, the constructors and
the composer.json of a saved model all use it. `text` names the text of an edit that the composer
reads, a key of cir.composers.base.TEXTS.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from cir.core.params import Section

Dropout = Annotated[float, Field(ge=0, lt=1)]


class _ReadsText(Section):
    text: Literal["sentence", "edit", "objects", "difference"]


class _ReadsTextInImageSpace(Section):
    """Params of a composer that adds the text to the image, so both must have one length."""

    text: Literal["sentence", "edit", "difference"]


class ImageOnlyParams(Section):
    name: Literal["image_only"]


class TextOnlyParams(_ReadsTextInImageSpace):
    name: Literal["text_only"]


class SumParams(_ReadsTextInImageSpace):
    """Params of Sum.

    Args:
        normalise: scale both features to length 1 before they are added.
    """

    name: Literal["sum"]
    normalise: bool


class ConcatenationParams(_ReadsText):
    """Params of Concatenation.

    Args:
        dropout: share of hidden units that training drops; 0.1 as published.
    """

    name: Literal["concatenation"]
    dropout: Dropout


class TIRGParams(_ReadsText):
    name: Literal["tirg"]


class ComposeAEParams(_ReadsText):
    """Params of ComposeAE.

    Args:
        image_weight, text_weight: weights of the two decoding losses; 0.1 as published.
        rotation_weight: weight of the loss of the targets rotated back; 0.01 as published.
        dropout: share of units that the projection of the image drops; 0.5 as published.
    """

    name: Literal["composeae"]
    image_weight: NonNegativeFloat
    text_weight: NonNegativeFloat
    rotation_weight: NonNegativeFloat
    dropout: Dropout


class RealSpaceConcatAEParams(_ReadsText):
    """Params of RealSpaceConcatAE.

    Args:
        image_weight, text_weight: weights of the two decoding losses; 0.1 as published.
    """

    name: Literal["real_space_concat_ae"]
    image_weight: NonNegativeFloat
    text_weight: NonNegativeFloat


class CombinerParams(_ReadsTextInImageSpace):
    """Params of Combiner.

    Args:
        projection, hidden: widths in multiples of D; 4 and 8 as published.
        dropout: share of units that every hidden layer drops; 0.5 as published.
    """

    name: Literal["combiner"]
    projection: PositiveInt
    hidden: PositiveInt
    dropout: Dropout


class ArithmeticWeights(Section):
    """Params of the arithmetic, alone or with a learned correction.

    Args:
        normalise_image: scale the image feature to length 1 first. Otherwise an image of many
            objects, whose feature is longer, counts more.
        normalise_objects: scale the feature of each object to length 1 first.
        image_weight, added_weight, removed_weight: wᵢ, wₐ and wᵣ of the formula.
    """

    normalise_image: bool
    normalise_objects: bool
    image_weight: float
    added_weight: float
    removed_weight: float


class ArithmeticParams(ArithmeticWeights):
    name: Literal["arithmetic"]


class LearnedArithmeticParams(ArithmeticWeights):
    """Params of LearnedArithmetic: the weights with which training starts."""

    name: Literal["learned_arithmetic"]


class _Correction(Section):
    text: Literal["sentence", "edit", "none"]
    hidden: PositiveInt


class CorrectedArithmeticParams(ArithmeticWeights, _Correction):
    """Params of CorrectedArithmetic.

    Args:
        hidden: width of the hidden layer.
    """

    name: Literal["corrected_arithmetic"]


AnyComposer = Annotated[
    ImageOnlyParams
    | TextOnlyParams
    | SumParams
    | ConcatenationParams
    | ArithmeticParams
    | LearnedArithmeticParams
    | CorrectedArithmeticParams
    | TIRGParams
    | ComposeAEParams
    | RealSpaceConcatAEParams
    | CombinerParams,
    Field(discriminator="name"),
]

PLAIN_ARITHMETIC = ArithmeticParams(
    name="arithmetic",
    normalise_image=False,
    normalise_objects=False,
    image_weight=1.0,
    added_weight=1.0,
    removed_weight=1.0,
)
