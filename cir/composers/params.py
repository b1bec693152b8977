"""The composers' params: one section for each, told apart by its name."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from cir.core.params import Section

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Reads(Section):
    """A composer that reads a text: see cir.composers.base.TEXTS."""

    text: Literal["sentence", "edit", "objects", "difference"]


class ReadsInImageSpace(Section):
    """A composer that adds the text to the image: it takes no two sums side by side."""

    text: Literal["sentence", "edit", "difference"]


class ImageOnly(Section):
    name: Literal["image_only"]


class TextOnly(ReadsInImageSpace):
    name: Literal["text_only"]


class Sum(ReadsInImageSpace):
    """See cir.composers.sum.Sum."""

    name: Literal["sum"]
    normalise: bool


class Concatenation(Reads):
    """See cir.composers.concatenation.Concatenation."""

    name: Literal["concatenation"]
    dropout: Dropout


class TIRG(Reads):
    """See cir.composers.tirg.TIRG."""

    name: Literal["tirg"]


class ComposeAE(Reads):
    """See cir.composers.composeae.ComposeAE."""

    name: Literal["composeae"]
    image_weight: NonNegativeFloat
    text_weight: NonNegativeFloat
    rotation_weight: NonNegativeFloat
    dropout: Dropout


class RealSpaceConcatAE(Reads):
    """See cir.composers.real_space_concat_ae.RealSpaceConcatAE."""

    name: Literal["real_space_concat_ae"]
    image_weight: NonNegativeFloat
    text_weight: NonNegativeFloat


class Combiner(ReadsInImageSpace):
    """See cir.composers.combiner.Combiner."""

    name: Literal["combiner"]
    projection: PositiveInt
    hidden: PositiveInt
    dropout: Dropout


class _Weights(Section):
    normalise_image: bool
    normalise_objects: bool
    image_weight: float
    added_weight: float
    removed_weight: float


class Arithmetic(_Weights):
    """See cir.composers.arithmetic.ArithmeticComposer."""

    name: Literal["arithmetic"]


class CorrectedArithmetic(_Weights):
    """See cir.composers.corrected_arithmetic.CorrectedArithmetic."""

    name: Literal["corrected_arithmetic"]
    text: Literal["sentence", "edit", "none"]
    hidden: PositiveInt


AnyComposer = Annotated[
    ImageOnly
    | TextOnly
    | Sum
    | Concatenation
    | Arithmetic
    | CorrectedArithmetic
    | TIRG
    | ComposeAE
    | RealSpaceConcatAE
    | Combiner,
    Field(discriminator="name"),
]
