"""The base of every params section, and the types that sections share."""

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
