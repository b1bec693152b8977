"""What the stages measured of search by words, read back."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cir.core.metrics_files import Measured, Sheet, read_form, read_sheet
from cir.report.results import Fingerprint

Interval = tuple[float, float]


class TextFigures(Measured):
    """Means over some queries."""

    queries: int
    p_at_1: float = Field(alias="p@1")
    r_at_10: float = Field(alias="r@10")
    ndcg_at_10: float = Field(alias="ndcg@10")
    ndcg_interval: Interval = Field(alias="ndcg@10_interval95")
    mrr: float
    map: float


class OfKind(TextFigures):
    """The queries of one kind, and how often an answer of theirs scores above a near miss."""

    kind: str
    told_apart: float | None = None


class TextProtocol(Measured):
    """What was ranked against what; see cir.text_search.scoring.scoring."""

    text: str
    least_grade: int
    ranking: str
    gallery: str
    gain: str
    ties: str


class TextResult(TextFigures):
    """One system; all have the same queries, and so the same kinds."""

    what: str
    gallery_size: int
    protocol: TextProtocol
    by_kind: list[OfKind]


class TextSearch(Measured):
    """The systems; the last of `results` is the one that fine-tuning made."""

    results: list[TextResult] = Field(min_length=1)
    fingerprints: list[Fingerprint] = Field(default_factory=list)


class Encoder(Measured):
    """One encoder of those that were compared, or what orders its first images again."""

    name: str
    ranking: str
    ndcg_at_10: float = Field(alias="ndcg@10")
    ndcg_interval: Interval = Field(alias="ndcg@10_interval95")
    r_at_10: float = Field(alias="r@10")
    mrr: float
    images_per_second: float
    images_per_second_decoded: float
    queries_per_second: float
    peak_memory_mb: float
    memory_before_mb: float
    gpu_memory_mb: float | None = None
    parameters: int
    dim: int
    image_size: tuple[int, int]
    queries: int
    gallery_size: int
    device: str
    protocol: TextProtocol


class Failed(Measured):
    """An encoder that could not be measured."""

    name: str
    reason: str


class Encoders(Measured):
    """All that were compared."""

    encoders: list[Encoder] = Field(min_length=1)
    failures: list[Failed] = Field(default_factory=list)


@dataclass(frozen=True)
class TextResults:
    """All that was measured; None where encoders were not compared."""

    search: TextSearch
    sheet: Sheet
    encoders: Encoders | None


def read_text_results(search: Path, sheet: Path, encoders: Path) -> TextResults | None:
    """Read the three files; None if there is none of them, for then nothing was measured.

    Encoders need not have been compared. Raises UserError naming a file that is missing beside
    others, or is not of its form.
    """
    if not any(path.exists() for path in (search, sheet, encoders)):
        return None
    return TextResults(
        read_form(TextSearch, search),
        read_sheet(sheet),
        read_form(Encoders, encoders) if encoders.exists() else None,
    )
