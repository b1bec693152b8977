"""The form of metrics/tagger.json: how well the tagger reads each split."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

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
    """One split, measured by `cir.edits.reading.metrics.breakdown`."""

    split: Literal["seen", "unseen_templates", "unseen_objects", "both_unseen"]
    count: PositiveInt
    exact_edit: Share
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


class Metrics(MetricsFile):
    """The two scalars are those of the split `both_unseen`."""

    tagger_exact_edit: Share
    tagger_span_f1: Share
    splits: list[Split]
    sizes: list[Size]
