"""Composers: from the features of a reference image and of an edit to one query vector.

Every composer is called `composer(image [B, D], edit) -> query [B, D]`, in training and in
inference alike. A new one is a file here and a line in COMPOSERS.
"""

from collections.abc import Mapping

from cir.composers.arithmetic import ArithmeticComposer
from cir.composers.base import Composer, EditFeatures
from cir.composers.combiner import Combiner
from cir.composers.composeae import ComposeAE
from cir.composers.concatenation import Concatenation
from cir.composers.corrected_arithmetic import CorrectedArithmetic
from cir.composers.image_only import ImageOnly
from cir.composers.real_space_concat_ae import RealSpaceConcatAE
from cir.composers.sum import Sum
from cir.composers.text_only import TextOnly
from cir.composers.tirg import TIRG
from cir.core.errors import UserError

COMPOSERS: dict[str, type[Composer]] = {
    "image_only": ImageOnly,
    "text_only": TextOnly,
    "sum": Sum,
    "concatenation": Concatenation,
    "arithmetic": ArithmeticComposer,
    "corrected_arithmetic": CorrectedArithmetic,
    "tirg": TIRG,
    "composeae": ComposeAE,
    "real_space_concat_ae": RealSpaceConcatAE,
    "combiner": Combiner,
}

__all__ = [
    "COMPOSERS",
    "ArithmeticComposer",
    "Composer",
    "EditFeatures",
    "create",
    "rebuild",
    "settings_of",
]


def create(settings: Mapping[str, object], dim: int, text_dim: int) -> Composer:
    """Build a fresh composer from its name and params, for features of these lengths."""
    sizes = _kind(settings.get("name")).sizes(dim, text_dim, str(settings.get("text")))
    return rebuild({**settings, **sizes})


def rebuild(settings: Mapping[str, object]) -> Composer:
    """Build a composer from `settings_of`; UserError for what no composer here understands."""
    arguments = {key: value for key, value in settings.items() if key != "name"}
    kind = _kind(settings.get("name"))
    try:
        return kind(**arguments)
    except TypeError as error:
        raise UserError(f"{kind.__name__} cannot be built from {arguments}: {error}") from None


def settings_of(composer: Composer) -> dict[str, object]:
    """The composer's name in COMPOSERS and the arguments that build it again."""
    name = next(name for name, kind in COMPOSERS.items() if type(composer) is kind)
    return {"name": name, **composer.settings()}


def _kind(name: object) -> type[Composer]:
    if name not in COMPOSERS:
        raise UserError(f'a composer must be one of {", ".join(COMPOSERS)}; got "{name}"')
    return COMPOSERS[name]
