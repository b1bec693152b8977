"""The forms of metrics/finetune.json and metrics/composers.json."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from cir.core.metrics_files import MetricsFile
from cir.core.params import Section, Share


class FinetuneMetrics(MetricsFile):
    """Measure the weights that validated best, on the validation split."""

    val_accuracy: Share
    val_mrr: Share
    best_step: PositiveInt
    trained_weights: PositiveInt


class Recall(Section):
    """Give recall@k for one k."""

    k: PositiveInt
    recall: Share


class ComposerFigures(Section):
    """Measure one composer on the test queries.

    Accuracies, recalls and `mrr` are means over the trainings; `by_seed` holds the accuracy of
    each. Keys are as cir.training.composer_comparison.measure returns them.
    """

    composer: str
    text: str
    accuracy: Share
    interval95: tuple[Share, Share]
    by_seed: list[Share]
    recall_5: Share = Field(alias="recall@5")
    recall_10: Share = Field(alias="recall@10")
    mrr: Share
    seen_accuracy: Share | None = None
    novel_accuracy: Share | None = None
    queries: PositiveInt
    gallery_size: PositiveInt
    recall: list[Recall]
    val_accuracy: Share
    parameters: NonNegativeInt
    trainings: PositiveInt
    training_seconds: NonNegativeFloat
    microseconds_per_query: NonNegativeFloat
    protocol: dict[str, str | bool]


class ComposersMetrics(MetricsFile):
    """Compare the composers; the rows go from the best accuracy to the worst."""

    best_composer: str
    best_composer_accuracy: Share
    composers: list[ComposerFigures]
