"""Score the test queries against the embedded gallery → metrics/retrieval.json and pictures."""

from pathlib import Path

import numpy as np
import pandas as pd

from cir.core import files
from cir.core.metrics_files import Fingerprint
from cir.drawing.plots import save_bar_plot, save_line_plot
from cir.drawing.saving import save_sheet
from cir.images.shards import ImageShards, read_triplets
from cir.retrieval.ablation import compare_arithmetic
from cir.retrieval.breakdown import answers, edits_to_group_by, failures, kind_of, spread
from cir.retrieval.params import Score
from cir.retrieval.paraphrases import read_held_out
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.results import Metrics
from cir.retrieval.retriever import Retriever
from cir.retrieval.scoring import Scores, recall_curves, score
from cir.retrieval.sheet import query_sheet
from cir.retrieval.task import Task
from stages.params import StageParams, load
from stages.run import run

ENCODER = Path("models/encoder")
TAGGER = Path("models/tagger")
TEST = Path("data/retrieval/test")
TEMPLATES = Path("data/tagging/templates.json")
EMBEDDINGS = Path("data/embeddings")
METRICS = Path("metrics")
ANSWERS = Path("data/answers.parquet")


class Params(StageParams):
    seed: int
    score: Score


def main() -> None:
    params = load(Params)
    retriever = Retriever.load(ENCODER, TAGGER, params.score.batch_size)
    embeddings = Embeddings.load(EMBEDDINGS, retriever.encoder.fingerprint(), mapped=True)
    images = ImageShards(TEST)
    task = Task(read_triplets(TEST), embeddings)
    fingerprints = [
        Fingerprint(model="encoder", fingerprint=embeddings.fingerprint),
        Fingerprint(model="tagger", fingerprint=files.fingerprint(TAGGER)),
    ]
    size, held_out = params.score.resamples, read_held_out(TEMPLATES)
    scores = score(retriever, images, task, params.seed, size, fingerprints, held_out)
    metrics: Metrics = scores.metrics
    metrics.write(METRICS / "retrieval.json")
    write_answers(scores, task, retriever)
    write_tables(scores, task)
    write_csv("ablation.csv", compare_arithmetic(retriever, scores.features, task, scores.edits))
    draw_pictures(scores, task, images, retriever, params.score.rows)
    low, high = metrics.interval95
    print(
        f"accuracy {metrics.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}) of "
        f"{len(task.triplets):,} queries in a gallery of {len(embeddings.ids):,} images"
    )


def write_answers(scores: Scores, task: Task, retriever: Retriever) -> None:
    """Write what every query asked for and found, for the report."""
    rows = answers(scores.hard, task.triplets, scores.edits)
    labels = retriever.tagger.word_labels([triplet.text for triplet in task.triplets])
    for row, of_words in zip(rows, labels, strict=True):
        row["labels"] = list(of_words)
    with files.whole_file(ANSWERS) as path:
        pd.DataFrame(rows).to_parquet(path, index=False)


def write_tables(scores: Scores, task: Task) -> None:
    """Write the curve of recall and the failures as CSV, and the two plots."""
    curve = pd.DataFrame(recall_curves(scores))
    with files.whole_file(METRICS / "curves" / "recall_at_k.csv") as path:
        curve.to_csv(path, index=False)
    columns = ["query", "sentence", "add", "remove", "reference", "target", "first"]
    columns += ["target_rank", "target_score", "first_score"]
    lost = failures(scores.hard, task.triplets, scores.edits)
    write_csv("failures.csv", lost, columns)
    lines = {"the whole gallery": (curve["k"], curve["recall"])}
    if scores.contest_like is not None:
        lines["targets and references only"] = (curve["k"], curve["recall_contest_like"])
    folder = METRICS / "pictures"
    save_line_plot(lines, "k", "recall at k", folder / "recall_at_k.png")
    bars = {row.kind: row.accuracy for row in scores.metrics.by_kind}
    save_bar_plot(bars, "accuracy", folder / "accuracy_by_kind.png")


def write_csv(name: str, rows: list[dict], columns: list[str] | None = None) -> None:
    """Write rows as metrics/`name`, whole."""
    with files.whole_file(METRICS / name) as path:
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False, float_format="%.4f")


def draw_pictures(
    scores: Scores, task: Task, images: ImageShards, retriever: Retriever, rows: int
) -> None:
    """Draw sheets of queries that found their target and that did not, and one for the README."""
    edits = edits_to_group_by(task.triplets, scores.edits)
    kinds = [kind_of(edit) for edit in edits]
    correct = scores.hard.correct
    found, lost = (spread(np.flatnonzero(these), kinds, rows) for these in (correct, ~correct))
    richest = sorted(found, key=lambda row: len(edits[row].add + edits[row].remove))[-1:]
    for name, queries, with_target in (
        ("successes.jpg", found, False),
        ("failures.jpg", lost, True),
        ("example.png", richest, False),
    ):
        labels = retriever.tagger.word_labels([task.triplets[query].text for query in queries])
        sheet = query_sheet(
            scores.hard, task.triplets, images, queries, labels, with_target=with_target
        )
        save_sheet(sheet, METRICS / "pictures" / name)


if __name__ == "__main__":
    run(main)
