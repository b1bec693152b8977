"""Create a dataset from options given as text, as on a command line."""

import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cir.core.errors import UserError
from cir.published.datasets.base import PublishedDataset


def with_options(
    kind: type[PublishedDataset], root: Path | None, options: Mapping[str, str]
) -> PublishedDataset:
    """Return the dataset with these options, the fields of its class; commas separate list items.

    Raises UserError for an unknown option or value.
    """
    known = [field.name for field in fields(kind) if field.name != "root"]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UserError(
            f"{kind.title} has no option {', '.join(unknown)}: it has {', '.join(known)}"
        )
    types = typing.get_type_hints(kind)
    values: dict[str, object] = {
        name: text.split(",") if typing.get_origin(types[name]) is tuple else text
        for name, text in options.items()
    }
    try:
        return TypeAdapter(kind).validate_python({"root": root, **values} if root else values)
    except ValidationError as error:
        wrong = error.errors()[0]
        said = wrong["msg"].removeprefix("Input ")
        raise UserError(
            f'{kind.title}: the option {wrong["loc"][0]} {said}, got "{wrong["input"]}"'
        ) from None
