"""Declare metrics/class_embedder.json: the training stage writes it and the report reads it."""

from pydantic import Field, PositiveInt

from cir.core.metrics_files import MetricsFile
from cir.core.params import Share


class Metrics(MetricsFile):
    """Give the validation figures of the weights that validated best.

    `exponent` is the exponent of GeM pooling, None for another pooling.
    """

    val_map: Share = Field(alias="class_val_map")
    val_recall_at_1: Share = Field(alias="class_val_recall@1")
    best_step: PositiveInt = Field(alias="class_step")
    trained_weights: PositiveInt = Field(alias="class_weights")
    exponent: float | None = Field(None, alias="class_gem_exponent")
