"""Declare the metrics files of the stages that train and use a captioner, and that fine-tune."""

from pydantic import NonNegativeInt, PositiveInt

from cir.core.metrics_files import MetricsFile
from cir.core.params import Share


class CaptionerMetrics(MetricsFile):
    """metrics/captioner.json: the figures of the weights that validated best.

    Both are None for a published captioner, which is not trained, and without a captioner.
    """

    captioner_word_accuracy: Share | None = None
    captioner_step: PositiveInt | None = None


class CaptionsMetrics(MetricsFile):
    """metrics/captions.json: how many captions there are, and how many of the model's are true.

    See cir.text_search.training.caption_truth: `captions_naming_only_what_is_shown` judges the
    names and kinds of objects, `captions_true` their numbers as well. Each is None where the data
    do not tell.
    """

    captions_by_people: NonNegativeInt
    captions_by_model: NonNegativeInt
    captions_true: Share | None = None
    captions_naming_only_what_is_shown: Share | None = None


class TextFinetuneMetrics(MetricsFile):
    """metrics/text_finetune.json: the validation figures of the mixed weights.

    `text_val_mrr` is cir.text_search.training.finetuning.caption_score. `text_val_composed` is the
    accuracy on the main job's validation split, with sentences read by the tagger, and
    `text_val_composed_before` that of the encoder before fine-tuning.
    """

    text_val_mrr: Share
    text_best_step: PositiveInt
    text_val_composed: Share
    text_val_composed_before: Share
