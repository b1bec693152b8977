"""Compare encoders by relevance, speed and size → metrics/encoders.json, a table and a plot."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cir.core import files
from cir.core.errors import UserError
from cir.drawing.plots import save_speed_plot
from cir.images.shards import ImageShards
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.encoder_comparison import check_all, compare
from cir.text_search.scoring.params import BenchmarkEncoders
from cir.text_search.scoring.results import Encoder, Failure
from cir.text_search.scoring.results import EncodersMetrics as Metrics
from cir.text_search.scoring.scoring import require_answers
from stages.params import StageParams, load
from stages.run import run

TEST = Path("data/text_search/test")
METRICS = Path("metrics/encoders.json")
TABLE = Path("metrics/encoders.csv")
PLOT = Path("metrics/pictures/encoders.png")


class Params(StageParams):
    seed: int
    benchmark_encoders: BenchmarkEncoders


def main() -> None:
    params = load(Params)
    section = params.benchmark_encoders
    check_all(section.models)
    require_answers(read_queries(TEST, ImageShards(TEST).ids), section.least_grade)
    rows: list[Encoder] = []
    failures: list[Failure] = []
    for outcome in compare(section, TEST, params.seed):
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
    """Write the metrics, the same as a table, and the plot of relevance against speed."""
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
    """Return the name, with the ranking unless it is by the cosine alone."""
    return row.name if row.ranking == "cosine" else f"{row.name} ({row.ranking})"


def said(row: Encoder) -> str:
    """Return a line of figures."""
    return (
        f"{label(row)}: nDCG@10 {row.ndcg_at_10:.3f}, R@10 {row.r_at_10:.3f}, MRR {row.mrr:.3f}, "
        f"{row.images_per_second:,.0f} images/s ({row.images_per_second_decoded:,.0f} with "
        f"decoding), {row.queries_per_second:,.0f} queries/s, {row.peak_memory_mb:,.0f} MB, "
        f"{row.parameters:,} weights"
    )


if __name__ == "__main__":
    run(main)
