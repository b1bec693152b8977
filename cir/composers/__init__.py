"""Composers turn a reference image and an edit into one query vector.

Contract: `composer(image [B, D], edit) -> query [B, D]`, the same in training and in inference.
`create` builds a composer from its params, `rebuild` from the settings of a saved one. To add a
composer, write its file, its section in params.py and its line in COMPOSERS.
"""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from cir.composers.arithmetic import ArithmeticComposer, LearnedArithmetic
from cir.composers.base import Composer, EditFeatures
from cir.composers.baselines import Concatenation, ImageOnly, Sum, TextOnly
from cir.composers.combiner import Combiner
from cir.composers.composeae import ComposeAE
from cir.composers.corrected_arithmetic import CorrectedArithmetic
from cir.composers.params import PLAIN_ARITHMETIC, AnyComposer
from cir.composers.real_space_concat_ae import RealSpaceConcatAE
from cir.composers.tirg import TIRG
from cir.core.errors import UserError
from cir.core.params import Section, first_problem

COMPOSERS: dict[str, type[Composer]] = {
    "image_only": ImageOnly,
    "text_only": TextOnly,
    "sum": Sum,
    "concatenation": Concatenation,
    "arithmetic": ArithmeticComposer,
    "learned_arithmetic": LearnedArithmetic,
    "corrected_arithmetic": CorrectedArithmetic,
    "tirg": TIRG,
    "composeae": ComposeAE,
    "real_space_concat_ae": RealSpaceConcatAE,
    "combiner": Combiner,
}

__all__ = [
    "COMPOSERS",
    "PLAIN_ARITHMETIC",
    "ArithmeticComposer",
    "Composer",
    "EditFeatures",
    "create",
    "rebuild",
]

_SECTIONS = TypeAdapter(AnyComposer)
_LENGTHS = ("dim", "text_dim")


def create(params: Section | Mapping[str, object], dim: int, text_dim: int) -> Composer:
    """Build a fresh composer.

    Args:
        params: a section of cir.composers.params, or its keys and values.
        dim, text_dim: lengths of the encoder's image and text features.

    Raises:
        UserError: no composer has these params.
    """
    section = _section(params)
    kind = COMPOSERS[section.name]
    return kind(section, **kind.lengths(dim, text_dim, getattr(section, "text", "none")))


def rebuild(settings: Mapping[str, object]) -> Composer:
    """Build a composer like the one that returned these `settings`, with fresh weights.

    Raises UserError if the settings do not describe a composer.
    """
    lengths = {key: settings[key] for key in _LENGTHS if key in settings}
    section = _section({key: value for key, value in settings.items() if key not in lengths})
    kind = COMPOSERS[section.name]
    try:
        return kind(section, **lengths)
    except TypeError as error:
        raise UserError(f"{kind.__name__} cannot be built from {dict(settings)}: {error}") from None


def _section(params: Section | Mapping[str, object]) -> Section:
    if isinstance(params, Mapping) and params.get("name") not in COMPOSERS:
        name = params.get("name")
        raise UserError(f'a composer must be one of {", ".join(COMPOSERS)}; got "{name}"')
    try:
        return _SECTIONS.validate_python(params)
    except ValidationError as error:
        raise UserError(
            f"no composer has the params {dict(params)}: {first_problem(error)}"
        ) from None
