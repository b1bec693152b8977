"""The base of every section of params, and types that sections share."""

import os
from typing import Annotated

import pydantic

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
ProperShare = Annotated[float, pydantic.Field(gt=0, lt=1)]


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


class WithWorkers(Section):
    """Params of work that several processes share; `workers` 0 means one for each core."""

    workers: pydantic.NonNegativeInt

    def processes(self) -> int:
        """Return the number of processes, at least 1."""
        return self.workers or os.cpu_count() or 1


class SplitShares(Section):
    """The shares of val and test; train gets the rest."""

    val: ProperShare
    test: ProperShare

    @pydantic.model_validator(mode="after")
    def _leaves_training(self) -> "SplitShares":
        if self.val + self.test >= 1:
            raise ValueError(f"val and test leave nothing for train: {self.val} + {self.test}")
        return self

    def shares(self) -> dict[str, float]:
        """Return the share of each part by its name."""
        return {"train": 1 - self.val - self.test, "val": self.val, "test": self.test}
