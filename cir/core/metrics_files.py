"""The base of the forms of metrics files, and the parts that several forms share."""

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section


class MetricsFile(Section):
    """The form of a metrics file, which one stage writes and the report reads.

    Scalars become columns of `dvc exp show` and `dvc metrics diff`. All other figures are in
    lists, which DVC leaves out of its tables. A value of None has no key in the file.
    """

    def write(self, path: Path) -> None:
        """Write the file; an interrupted write leaves the old file as it was."""
        files.write_json(path, self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises UserError naming the file and the first key that does not fit the form.
        """
        content = files.read_json(path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"])) or "the whole file"
            said = problem["msg"][0].lower() + problem["msg"][1:]
            raise UserError(
                f"{path} does not have the form that its stage writes ({key}: {said}); "
                "run the stage again"
            ) from None


class Fingerprint(Section):
    """The digest of a model that was measured."""

    model: str
    fingerprint: str
