"""What the stages measured, read back from the files of metrics."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import Field

from cir.core.metrics_files import Measured, read_form, read_table

CURVES = ("tagger", "pretrain", "finetune", "recall_at_k")


class Result(Measured):
    """One way of asking and how well it went; None where the source cannot tell."""

    what: str
    accuracy: float
    queries: int | None = None
    gallery_size: int | None = None
    interval95: tuple[float, float] | None = None
    recall_at_5: float | None = Field(None, alias="recall@5")
    recall_at_10: float | None = Field(None, alias="recall@10")
    mrr: float | None = None
    protocol: dict[str, str | bool] | None = None


class Group(Measured):
    """Accuracy of the queries of one kind of edit, or with one number of objects."""

    kind: str | None = None
    objects: int | None = None
    queries: int
    accuracy: float


class Cause(Measured):
    cause: str
    queries: int


class Absent(Measured):
    what: str
    why: str


class Fingerprint(Measured):
    model: str
    fingerprint: str


class Retrieval(Measured):
    """How queries fared; the first of `results` is the headline."""

    accuracy: float
    interval95: tuple[float, float]
    results: list[Result] = Field(min_length=1)
    by_kind: list[Group]
    by_objects: list[Group]
    errors: list[Cause]
    absent: list[Absent] = Field(default_factory=list)
    fingerprints: list[Fingerprint] = Field(default_factory=list)

    @property
    def headline(self) -> Result:
        return self.results[0]

    def result(self, what: str) -> Result | None:
        """The result of that name, if the source could give it."""
        return next((result for result in self.results if result.what == what), None)


class Share(Measured):
    """Exact edits of the sentences with so many objects, or of one style."""

    objects: int | None = None
    style: str | None = None
    count: int
    exact_edit: float


class Confusion(Measured):
    """How many words that are truly `true` were read as each label."""

    true: str
    other: int
    pos: int
    neg: int


class Split(Measured):
    split: str
    count: int
    exact_edit: float
    span_precision: float
    span_recall: float
    span_f1: float
    by_objects: list[Share] = Field(default_factory=list)
    by_style: list[Share] = Field(default_factory=list)
    confusion: list[Confusion] = Field(default_factory=list)


class Tagger(Measured):
    """How sentences were read, split by split."""

    splits: list[Split]


class Finetune(Measured):
    """The kept weights on validation."""

    val_accuracy: float
    val_mrr: float
    best_step: int
    trained_weights: int


class Compared(Measured):
    """One composer, on an encoder that stands still, in the same gallery as all others."""

    composer: str
    text: str
    accuracy: float
    interval95: tuple[float, float]
    seen_accuracy: float | None = None
    novel_accuracy: float | None = None
    recall_at_10: float = Field(alias="recall@10")
    parameters: int
    microseconds_per_query: float


class Comparison(Measured):
    """Composers trained alike, the best first."""

    composers: list[Compared]


@dataclass(frozen=True)
class Results:
    """All that was measured. `curves` has a table by name; `experiments` is None if not made."""

    retrieval: Retrieval
    tagger: Tagger
    finetune: Finetune
    comparison: Comparison
    ablation: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    experiments: pd.DataFrame | None


def read_results(
    retrieval: Path,
    tagger: Path,
    finetune: Path,
    composers: Path,
    ablation: Path,
    curves: Path,
    experiments: Path,
) -> Results:
    """Read the files; `curves` is the folder that holds a CSV file for each of CURVES.

    Raises UserError naming a file that is missing or not of its form. Only `experiments` may be
    missing or empty: it is written by hand when there is something to compare.
    """
    return Results(
        read_form(Retrieval, retrieval),
        read_form(Tagger, tagger),
        read_form(Finetune, finetune),
        read_form(Comparison, composers),
        read_table(ablation, ("variant", "accuracy")),
        {name: read_table(curves / f"{name}.csv") for name in CURVES},
        _experiments(experiments),
    )


def _experiments(path: Path) -> pd.DataFrame | None:
    if not path.is_file() or not path.read_text(encoding="utf-8").strip():
        return None
    table = read_table(path)
    return table if len(table) else None
