"""Measure the compared composers on the test queries, and draw a plot."""

from pathlib import Path

from cir.composers.params import AnyComposer
from cir.core.device import DEVICE
from cir.drawing.plots import save_interval_plot
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.training.composer_comparison import load_trained, measure
from cir.training.encoded_split import encode_folder
from cir.training.params import ScoreComposers
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
    resamples = params.score_composers.resamples
    rows = [
        measure(name, load_trained(MODELS / name), test, params.seed, resamples)
        for name in params.composers
    ]
    rows.sort(key=lambda row: -row.accuracy)
    Metrics(
        best_composer=rows[0].composer, best_composer_accuracy=rows[0].accuracy, composers=rows
    ).write(METRICS)
    bars = {row.composer: (row.accuracy, *row.interval95) for row in rows}
    save_interval_plot(bars, "accuracy, 95% interval", PLOT)
    for row in rows:
        low, high = row.interval95
        print(f"{row.composer:22}{row.accuracy:7.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    run(main)
