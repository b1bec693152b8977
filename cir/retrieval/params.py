"""Declare the params of scoring the retriever and of exporting it."""

from pathlib import Path

from pydantic import PositiveInt

from cir.core.params import Section


class Score(Section):
    """How the test queries are scored.

    `batch_size`: queries encoded at once. `resamples`: bootstrap samples behind each interval.
    `rows`: queries on each sheet of pictures.
    """

    batch_size: PositiveInt
    resamples: PositiveInt
    rows: PositiveInt


class ExportSubmission(Section):
    """`batch_size`: images that the exported folder encodes at once."""

    batch_size: PositiveInt


class Photos(Section):
    """Which photographs the stage `photos` measures the encoder on, before and after fine-tuning.

    `folder`: queries in the contest's format, perhaps with captions.jsonl beside them; with null,
    nothing is measured. `classes`: whether the class embedder of this run was trained on
    photographs too.
    """

    folder: Path | None
    classes: bool
