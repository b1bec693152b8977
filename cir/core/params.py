"""The base of every section of params, and types that sections share."""

from typing import Annotated

import pydantic

Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class Section(pydantic.BaseModel):
    """A section of params.yaml: immutable, without unknown keys, NaN or infinity."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        populate_by_name=True,
    )


def first_problem(error: pydantic.ValidationError) -> str:
    """Describe the first problem of a failed validation: "a.b: field required"."""
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    said = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: {said}" if where else said
