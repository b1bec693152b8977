"""Params of composers for tests: those of conf/composer, with changes."""

from ruamel.yaml import YAML

from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from tests.helpers import ROOT

_CONF = {
    path.stem: YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    for path in (ROOT / "conf" / "composer").glob("*.yaml")
}


def params(name, **changes):
    """The composer's params as conf/composer has them, but for the changes."""
    return {**_CONF[name], **changes}


def arithmetic(**changes):
    """The arithmetic composer without normalisation and with weights of 1, but for the changes."""
    return ArithmeticComposer(PLAIN_ARITHMETIC.model_copy(update=changes))
