"""What the stages measured of class-level retrieval, read back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import Field

from cir.core.metrics_files import Measured, Sheet, read_form, read_sheet, read_table
from cir.report.results import Fingerprint


class ClassFigures(Measured):
    """Shares of some queries, each looking for the images of its class."""

    queries: int
    recall_at_1: float = Field(alias="recall@1")
    map: float
    map_at_r: float = Field(alias="map@r")


class ClassProtocol(Measured):
    """What was ranked against what; `graph` is that of a re-ranking."""

    gallery: str
    classes: str
    vectors: str
    refinement: str
    graph: str | None = None
    hit: str
    query: str
    similarity: str
    ties: str
    left_out: str | None = None


class ClassResult(ClassFigures):
    """One way to rank, with 95% intervals of recall@1 and mAP."""

    what: str
    recall_at_5: float = Field(alias="recall@5")
    recall_at_10: float = Field(alias="recall@10")
    recall_at_1_interval: tuple[float, float] = Field(alias="recall@1_interval95")
    map_interval: tuple[float, float] = Field(alias="map_interval95")
    gallery_size: int
    protocol: ClassProtocol


class OfClass(ClassFigures):
    """The queries of one class in the plain ranking."""

    name: str = Field(alias="class")
    gallery_images: int


class ClassRetrieval(Measured):
    """How queries fared; the first of `results` is the plain ranking, which is what counts.

    `by_class` has the worst class first.
    """

    results: list[ClassResult] = Field(min_length=1)
    by_class: list[OfClass]
    fingerprints: list[Fingerprint] = Field(default_factory=list)


class ClassTraining(Measured):
    """The kept weights on validation; `exponent` is that of GeM pooling, None for another."""

    val_map: float = Field(alias="class_val_map")
    best_step: int = Field(alias="class_step")
    trained_weights: int = Field(alias="class_weights")
    exponent: float | None = Field(None, alias="class_gem_exponent")


@dataclass(frozen=True)
class ClassResults:
    """All that was measured; `curve` is the table of the embedder's training."""

    retrieval: ClassRetrieval
    training: ClassTraining
    curve: pd.DataFrame
    sheet: Sheet


def read_class_results(
    retrieval: Path, training: Path, curve: Path, sheet: Path
) -> ClassResults | None:
    """Read the four files; None if there is none of them, for then nothing was measured.

    Raises UserError naming the file that is missing beside others, or is not of its form.
    """
    if not any(path.exists() for path in (retrieval, training, curve, sheet)):
        return None
    return ClassResults(
        read_form(ClassRetrieval, retrieval),
        read_form(ClassTraining, training),
        read_table(curve, ("step", "map")),
        read_sheet(sheet),
    )
