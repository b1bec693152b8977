"""Encoders on the same queries: relevance, speed, size → metrics/encoders.json, table and plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from cir.core import files
from cir.core.errors import UserError
from cir.core.params import Section
from cir.drawing.plots import save_speed_plot
from cir.images.shards import ImageShards
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.blip import BlipCandidate
from cir.text_search.scoring.candidates import FolderCandidate, OpenClipCandidate
from cir.text_search.scoring.encoder_comparison import (
    Candidate,
    Settings,
    check_all,
    compare,
)
from cir.text_search.scoring.results import Encoder, Failure
from cir.text_search.scoring.results import EncodersMetrics as Metrics
from cir.text_search.scoring.scoring import require_answers
from stages.params import StageParams, load
from stages.run import run

TEST = Path("data/text_search/test")
METRICS = Path("metrics/encoders.json")
TABLE = Path("metrics/encoders.csv")
PLOT = Path("metrics/pictures/encoders.png")

Name = Annotated[str, Field(min_length=1)]


class _Model(Section):
    """`name` in tables and plot; `prompt` that a query is put into, null: as it is written."""

    name: Name
    prompt: str | None

    @field_validator("prompt")
    @classmethod
    def _has_a_place(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count("{}") != 1:
            raise ValueError(f'must hold one {{}} for the query or be null, got "{prompt}"')
        return prompt


class OpenClip(_Model):
    """See cir.encoders.Encoder.create."""

    kind: Literal["open_clip"]
    model: Name
    pretrained: Name | None

    def create(self) -> Candidate:
        return OpenClipCandidate(self.name, self.model, self.pretrained, self.prompt)


class Blip(_Model):
    """A hub repository or folder; `rerank` the first images by its matching head, 0: do not."""

    kind: Literal["blip"]
    model: Name
    rerank: NonNegativeInt

    def create(self) -> Candidate:
        return BlipCandidate(self.name, self.model, self.prompt, self.rerank)


class Folder(_Model):
    """An encoder that a stage has saved."""

    kind: Literal["folder"]
    path: Name

    def create(self) -> Candidate:
        return FolderCandidate(self.name, Path(self.path), self.prompt)


class BenchmarkEncoders(Section):
    """`models` in the order in which they are measured; `least_grade` counts as relevant."""

    batch_size: PositiveInt
    least_grade: PositiveInt
    resamples: PositiveInt
    models: Annotated[
        list[Annotated[OpenClip | Blip | Folder, Field(discriminator="kind")]],
        Field(min_length=1),
    ]


class Params(StageParams):
    seed: int
    benchmark_encoders: BenchmarkEncoders


def main() -> None:
    params = load(Params)
    section = params.benchmark_encoders
    candidates = [model.create() for model in section.models]
    check_all(candidates)
    require_answers(read_queries(TEST, ImageShards(TEST).ids), section.least_grade)
    settings = Settings(section.batch_size, section.least_grade, params.seed, section.resamples)
    rows: list[Encoder] = []
    failures: list[Failure] = []
    for outcome in compare(candidates, TEST, settings):
        if isinstance(outcome, Failure):
            failures.append(outcome)
            print(f"{outcome.name}: not measured: {outcome.reason}")
        else:
            rows += outcome
            print("\n".join(map(said, outcome)))
    if not rows:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in failures)
        raise UserError(f"none of the encoders could be measured: {reasons}")
    write(rows, failures)


def write(rows: Sequence[Encoder], failures: Sequence[Failure]) -> None:
    """The metrics, the same as a table, and the plot of relevance against speed."""
    Metrics(encoders=rows, failures=failures).write(METRICS)
    dumped = [row.model_dump(mode="json", by_alias=True) for row in rows]
    table = pd.DataFrame(dumped).drop(columns="protocol")
    for name, parts in (("ndcg@10_interval95", ("low", "high")), ("image_size", "hw")):
        table[[f"{name}_{part}" for part in parts]] = table.pop(name).tolist()
    with files.whole_file(TABLE) as path:
        table.to_csv(path, index=False, float_format="%.6g")
    points = {label(row): (row.images_per_second, row.ndcg_at_10) for row in rows}
    save_speed_plot(points, PLOT)


def label(row: Encoder) -> str:
    """The name, with what orders the images where that is not the encoder's cosine alone."""
    return row.name if row.ranking == "cosine" else f"{row.name} ({row.ranking})"


def said(row: Encoder) -> str:
    """A line of figures."""
    return (
        f"{label(row)}: nDCG@10 {row.ndcg_at_10:.3f}, R@10 {row.r_at_10:.3f}, MRR {row.mrr:.3f}, "
        f"{row.images_per_second:,.0f} images/s ({row.images_per_second_decoded:,.0f} with "
        f"decoding), {row.queries_per_second:,.0f} queries/s, {row.peak_memory_mb:,.0f} MB, "
        f"{row.parameters:,} weights"
    )


if __name__ == "__main__":
    run(main)
