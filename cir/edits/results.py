"""The form of metrics/tagger.json: how well the tagger reads each split."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from cir.core.metrics_files import MetricsFile
from cir.core.params import Section, Share


class ByObjects(Section):
    """Sentences with the same number of objects."""

    objects: PositiveInt
    count: PositiveInt
    exact_edit: Share


class ByStyle(Section):
    """Sentences of one style."""

    style: str
    count: PositiveInt
    exact_edit: Share


class Confusion(Section):
    """Words with the true label `true`, counted by the label that the tagger gave them."""

    true: Literal["other", "pos", "neg"]
    other: NonNegativeInt
    pos: NonNegativeInt
    neg: NonNegativeInt


class Split(Section):
    """One split, measured by `cir.edits.reading.metrics.breakdown`.

    `exact_edit_forgiven` counts an edit with a describing word more or less as right, too.
    """

    split: Literal[
        "seen",
        "unseen_templates",
        "unseen_objects",
        "both_unseen",
        "unseen_families",
        "people_development",
        "people",
    ]
    count: PositiveInt
    exact_edit: Share
    exact_edit_forgiven: Share
    span_precision: Share
    span_recall: Share
    span_f1: Share
    by_objects: list[ByObjects]
    by_style: list[ByStyle]
    confusion: list[Confusion]


class Size(Section):
    """The number of sentences in a split."""

    split: str
    sentences: PositiveInt


class Disturbed(Section):
    """The sentences of `both_unseen`, disturbed as `cir.edits.reading.disturbances` does.

    changed: share of the sentences that the disturbance changes.
    of_clean: `exact_edit` as a share of the figure without a disturbance.
    """

    what: str
    count: PositiveInt
    changed: Share
    exact_edit: Share
    of_clean: NonNegativeFloat


class Confident(Section):
    """Sentences of the split `people` with a confidence between two limits."""

    least: Share
    most: Share
    count: PositiveInt
    confidence: Share  # their mean
    exact_edit: Share


class Metrics(MetricsFile):
    """The first two scalars are those of the split `both_unseen`, the third that of `people`."""

    tagger_exact_edit: Share
    tagger_span_f1: Share
    tagger_people_exact_edit: Share
    robustness: list[Disturbed]
    reliability: list[Confident]
    splits: list[Split]
    sizes: list[Size]
