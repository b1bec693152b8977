"""Declare metrics/benchmark.json, which the training on a published dataset writes."""

from pydantic import Field, PositiveInt

from cir.core.metrics_files import MetricsFile
from cir.core.params import Share


class Metrics(MetricsFile):
    """How the chosen weights do on the published dataset.

    The recalls are means over `results`: the share of queries with a right answer among the
    first k. `results` holds one row per query set, as cir.published.experiment.scoring.results
    makes it; its figures depend on the dataset's protocol.
    """

    benchmark_recall_1: Share = Field(alias="benchmark_recall@1")
    benchmark_recall_10: Share = Field(alias="benchmark_recall@10")
    benchmark_val_recall_1: Share | None = Field(None, alias="benchmark_val_recall@1")
    benchmark_step: PositiveInt
    benchmark_weights: PositiveInt
    results: list[dict[str, object]]
