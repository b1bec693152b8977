"""Declare the params of scoring, and the encoders to compare, which check and load themselves."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import open_clip
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from cir.core.errors import UserError
from cir.core.params import Section
from cir.encoders import Encoder
from cir.encoders.open_clip_models import BRINGS_WEIGHTS
from cir.text_search.scoring.blip import BlipEncoder
from cir.text_search.scoring.scoring import load_shared_space

Name = Annotated[str, Field(min_length=1)]


class ScoreTextSearch(Section):
    """Params of scoring before and after fine-tuning.

    `least_grade` is the lowest grade that counts as relevant, `resamples` the number of resamples
    of the bootstrap, and `rows` the number of rows of the sheet for each kind of query. `workers`
    threads encode a batch of images each; 0 means one per core.
    """

    batch_size: PositiveInt
    workers: NonNegativeInt
    least_grade: PositiveInt
    resamples: PositiveInt
    rows: PositiveInt


class _Model(Section):
    """Params of an encoder to compare.

    `name` stands in the table and the plot. `prompt` holds {} for the query; None leaves queries as
    written. `rerank` is the number of first images that a matching head orders again.
    """

    name: Name
    prompt: str | None

    @field_validator("prompt")
    @classmethod
    def _has_a_place(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count("{}") != 1:
            raise ValueError(f'must hold one {{}} for the query or be null, got "{prompt}"')
        return prompt


class OpenClip(_Model):
    """An open_clip model; `model` and `pretrained` are as in cir.encoders.Encoder.create."""

    kind: Literal["open_clip"]
    model: Name
    pretrained: Name | None
    rerank: ClassVar[int] = 0

    def check(self) -> None:
        """Raise UserError for a model, tag or folder that does not exist, without loading it."""
        if self.model.startswith(BRINGS_WEIGHTS):
            kind, _, rest = self.model.partition(":")
            if kind == "local-dir" and not Path(rest).is_dir():
                raise UserError(f"{self.name}: {rest} is no folder with an open_clip model")
            return
        architecture = self.model.replace("/", "-")  # as open_clip itself looks it up
        if architecture not in open_clip.list_models():
            raise UserError(f'{self.name}: open_clip knows no model "{self.model}"')
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        known = self.pretrained is None or open_clip.is_pretrained_cfg(
            architecture, self.pretrained
        )
        if not known and not Path(self.pretrained).is_file():
            raise UserError(
                f'{self.name}: "{self.pretrained}" is neither a file nor published weights of '
                f"{self.model}, for which open_clip knows {', '.join(tags) or 'none'}"
            )

    def load(self) -> Encoder:
        """Load the encoder; raises UserError if it cannot be loaded."""
        return Encoder.create(self.model, self.pretrained, "{}")


class Blip(_Model):
    """A BLIP from a hub repository or a folder."""

    kind: Literal["blip"]
    model: Name
    rerank: NonNegativeInt

    def check(self) -> None:
        """Raise UserError for a folder that does not exist, without loading it."""
        parts = Path(self.model).parts
        if not Path(self.model).is_dir() and (len(parts) != 2 or self.model.startswith((".", "/"))):
            raise UserError(
                f'{self.name}: "{self.model}" is neither a folder nor the name of a hub '
                "repository, owner/name"
            )

    def load(self) -> BlipEncoder:
        """Load the encoder; raises UserError if it cannot be loaded."""
        return BlipEncoder.load(self.model)


class Folder(_Model):
    """An encoder that a stage has saved."""

    kind: Literal["folder"]
    path: Name
    rerank: ClassVar[int] = 0

    def check(self) -> None:
        """Raise UserError if the folder does not exist."""
        if not Path(self.path).is_dir():
            raise UserError(f"{self.name}: there is no encoder in {self.path}")

    def load(self) -> Encoder:
        """Load the encoder; raises UserError if it has no space that texts and images share."""
        return load_shared_space(self.path)


Candidate = OpenClip | Blip | Folder


class BenchmarkEncoders(Section):
    """Params of the comparison; `models` is in the order of measuring.

    `batch_size` counts images, queries or pairs of them; the others are as in ScoreTextSearch.
    """

    batch_size: PositiveInt
    least_grade: PositiveInt
    resamples: PositiveInt
    models: Annotated[list[Annotated[Candidate, Field(discriminator="kind")]], Field(min_length=1)]
