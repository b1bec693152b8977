"""Encoders to compare that open_clip or the pipeline itself knows; see encoder_benchmark."""

from dataclasses import dataclass
from pathlib import Path

import open_clip

from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.text_search.scoring.scoring import load_shared_space

_BRINGS_WEIGHTS = ("hf-hub:", "local-dir:")


@dataclass(frozen=True)
class OpenClipCandidate:
    """An open_clip model; `model` and `pretrained` as in cir.encoders.Encoder.create."""

    name: str
    model: str
    pretrained: str | None = None
    prompt: str | None = None
    rerank: int = 0

    def check(self) -> None:
        """Raise UserError for a model or tag that open_clip does not know, or no such folder."""
        if self.model.startswith(_BRINGS_WEIGHTS):
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
        """The model; UserError where it cannot be loaded."""
        return Encoder.create(self.model, self.pretrained, "{}")


@dataclass(frozen=True)
class FolderCandidate:
    """An encoder that the pipeline has saved."""

    name: str
    path: Path
    prompt: str | None = None
    rerank: int = 0

    def check(self) -> None:
        """Raise UserError where the folder does not exist."""
        if not self.path.is_dir():
            raise UserError(f"{self.name}: there is no encoder in {self.path}")

    def load(self) -> Encoder:
        """The encoder; UserError where the folder holds none with a shared space."""
        return load_shared_space(self.path)
