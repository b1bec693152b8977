"""The compared composers on the test queries → metrics/composers.json and a plot."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from cir.composers.params import AnyComposer
from cir.core.device import DEVICE
from cir.drawing.plots import save_interval_plot
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.training.composer_comparison import (
    Trained,
    load_trained,
    measure,
    microseconds_per_query,
    protocol,
)
from cir.training.encoded_split import EncodedSplit, encode_folder
from cir.training.params import ScoreComposers
from cir.training.results import ComposerFigures
from cir.training.results import ComposersMetrics as Metrics
from stages.params import StageParams, load
from stages.run import run

ENCODER = Path("models/encoder_base")
TAGGER = Path("models/tagger")
TEST = Path("data/retrieval/test")
MODELS = Path("models/composers")
METRICS = Path("metrics/composers.json")
PLOT = Path("metrics/pictures/composers.png")


class Params(StageParams):
    seed: int
    composers: dict[str, AnyComposer]
    score_composers: ScoreComposers


def main() -> None:
    params = load(Params)
    encoder, tagger = Encoder.load(ENCODER).to(DEVICE).eval(), Tagger.load(TAGGER, DEVICE)
    test = encode_folder(TEST, encoder, tagger, whole_gallery=True)
    rows = [figures(name, load_trained(MODELS / name), test, params) for name in params.composers]
    rows.sort(key=lambda row: -row.accuracy)
    Metrics(
        best_composer=rows[0].composer, best_composer_accuracy=rows[0].accuracy, composers=rows
    ).write(METRICS)
    bars = {row.composer: (row.accuracy, *row.interval95) for row in rows}
    save_interval_plot(bars, "accuracy, 95% interval", PLOT)
    for row in rows:
        low, high = row.interval95
        print(f"{row.composer:22}{row.accuracy:7.1%} ({low:.1%} to {high:.1%})")


def figures(
    name: str, trained: Sequence[Trained], test: EncodedSplit, params: Params
) -> ComposerFigures:
    """The row of one composer; what differs between its trainings is their mean."""
    composers = [one.composer for one in trained]
    first = composers[0]
    return ComposerFigures(
        composer=name,
        text=first.text,
        **measure(composers, test, params.seed, params.score_composers.resamples),
        val_accuracy=fmean(one.val_accuracy for one in trained),
        parameters=sum(weight.numel() for weight in first.parameters()),
        trainings=len(trained),
        training_seconds=fmean(one.seconds for one in trained),
        microseconds_per_query=microseconds_per_query(first, test),
        protocol=protocol(test, first).to_dict(),
    )


if __name__ == "__main__":
    run(main)
