"""Read what is held out of training as a whole: families, and the sentences of other people.

A family is a set of verbs, phrases and names. No form of its verbs, none of its phrases and none of
its names occurs in what the tagger is trained on. The other people's templates and names were
written by another hand than the project's, and serve for measuring only.
"""

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section
from cir.edits.expansion import fill_in_order
from cir.edits.reading.templates import TaggedSentence, Template

PEOPLE = ("people_development", "people")  # splits; nothing was chosen by the second
_FILLINGS = 4  # sentences of each template of other people
T = TypeVar("T")


class Family(Section):
    """A family of data/held_out_families.json; a verb is its (base, -ing form, participle)."""

    family: str
    verbs: list[list[str]]
    phrases: list[str]
    names: list[str]

    def texts(self) -> list[str]:
        """Return the forms of the verbs, and the phrases."""
        return [*(form for verb in self.verbs for form in verb), *self.phrases]


class _Entry(Section):
    template: str
    style: str


class _Half(Section):
    templates: list[_Entry]
    names: list[str]


class _Halves(Section):
    development: _Half
    test: _Half


def read_families(path: Path | str) -> list[Family]:
    """Read data/held_out_families.json; raises UserError for another form."""
    return _read(path, TypeAdapter(list[Family]))


def of_families(families: Iterable[Family], templates: Sequence[Template]) -> list[Template]:
    """Return the templates that contain a verb or phrase of a family, in their order."""
    texts = [re.escape(text) for family in families for text in family.texts()]
    if not texts:
        return []
    pattern = re.compile(rf"(?<![\w'-])(?:{'|'.join(texts)})(?![\w'-])", re.IGNORECASE)
    return [item for item in templates if pattern.search(item.template)]


def people_sentences(path: Path | str, seed: int) -> dict[str, list[TaggedSentence]]:
    """Fill the templates of data/people_sentences.json with its names, for each split of PEOPLE.

    Raises UserError for another form of the file.
    """
    halves = _read(path, TypeAdapter(_Halves))
    return {
        split: _filled(half, random.Random(f"{split} {seed}"))
        for split, half in zip(PEOPLE, (halves.development, halves.test), strict=True)
    }


def _filled(half: _Half, rng: random.Random) -> list[TaggedSentence]:
    templates = [Template(entry.template, entry.style) for entry in half.templates]
    return [
        fill_in_order(template, rng.sample(half.names, len(template.slots)))
        for template in templates
        for _ in range(_FILLINGS)
    ]


def _read(path: Path | str, form: TypeAdapter[T]) -> T:
    try:
        return form.validate_python(files.read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {place}: {first['msg']}") from None
