"""Write report/index.html: all results and a choice of queries, in one file."""

from pathlib import Path

from cir.core import files
from cir.images.shards import ImageShards
from cir.report import (
    build_gallery,
    read_answers,
    read_class_results,
    read_results,
    read_text_results,
    render,
)
from cir.report.params import Report
from stages.params import StageParams, load
from stages.run import run

TEST = Path("data/retrieval/test")
ANSWERS = Path("data/answers.parquet")
RETRIEVAL = Path("metrics/retrieval.json")
TAGGER = Path("metrics/tagger.json")
FINETUNE = Path("metrics/finetune.json")
COMPOSERS = Path("metrics/composers.json")
ABLATION = Path("metrics/ablation.csv")
CURVES = Path("metrics/curves")
EXPERIMENTS = Path("metrics/experiments.csv")
CLASS_RETRIEVAL = Path("metrics/class_retrieval.json")
CLASS_EMBEDDER = Path("metrics/class_embedder.json")
CLASS_CURVE = CURVES / "class_embedder.csv"
CLASS_SHEET = Path("metrics/pictures/class_retrieval.jpg")
TEXT_SEARCH = Path("metrics/text_search.json")
TEXT_SHEET = Path("metrics/pictures/text_search.jpg")
ENCODERS = Path("metrics/encoders.json")
PAGE = Path("report/index.html")

HOW_TO_COMPARE = (
    "No experiments have been kept yet. Run some with dvc exp run, then write their figures to "
    f"{EXPERIMENTS} with python -m tools.experiments."
)


class Params(StageParams):
    report: Report


def main() -> None:
    params = load(Params).report
    results = read_results(RETRIEVAL, TAGGER, FINETUNE, COMPOSERS, ABLATION, CURVES, EXPERIMENTS)
    classes = read_class_results(CLASS_RETRIEVAL, CLASS_EMBEDDER, CLASS_CURVE, CLASS_SHEET)
    text = read_text_results(TEXT_SEARCH, TEXT_SHEET, ENCODERS)
    answers = read_answers(ANSWERS)
    gallery = build_gallery(answers, ImageShards(TEST), params.queries, params.thumbnail)
    with files.whole_file(PAGE) as path:
        html = render(results, classes, text, gallery, HOW_TO_COMPARE)
        path.write_text(html, encoding="utf-8", newline="\n")
    print(
        f"{PAGE}: {PAGE.stat().st_size / 1e6:,.1f} MB, {len(gallery.shown)} of {gallery.total:,} "
        f"queries, {gallery.failures} of them failed"
    )


if __name__ == "__main__":
    run(main)
