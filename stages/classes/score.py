"""Score class-level retrieval → metrics/class_retrieval.json, a curve, a plot and a sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cir.classes.embedder.baselines import ColourHistogram, FlipAveraged
from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.scoring import ranking_file
from cir.classes.scoring.params import ScoreClasses
from cir.classes.scoring.results import Metrics, Result
from cir.classes.scoring.scoring import (
    Measured,
    Part,
    Vectors,
    measure,
    protocol_of,
    result,
)
from cir.classes.scoring.sheet import class_sheet
from cir.core import files
from cir.core.errors import UserError
from cir.drawing.plots import save_interval_plot
from cir.drawing.saving import save_sheet
from cir.images.shards import ImageShards, read_info
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.ranking.metrics import by_class, recall_curve
from stages.params import StageParams, load
from stages.run import run

MODEL = Path("models/class_embedder")
QUERY = Path("data/classes/query")
GALLERY = Path("data/classes/gallery")
EMBEDDINGS = Path("data/class_embeddings")
METRICS = Path("metrics")
SUBMISSION = Path("export/class_ranking.json")
CURVE_KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)


class Params(StageParams):
    seed: int
    score_classes: ScoreClasses


def main() -> None:
    params = load(Params)
    section = params.score_classes
    images = [ImageShards(folder) for folder in (QUERY, GALLERY)]
    queries, gallery = map(Part.read, images)
    vectors, fingerprint = read_vectors(queries, gallery)
    section.require(len(gallery.ids))
    protocol = protocol_of(read_info(QUERY), read_info(GALLERY))
    ways = measure(vectors, queries, gallery, protocol, section, max(10, section.answers))
    results: list[Result] = []
    plain: Measured | None = None
    for measured in ways:
        plain = plain or measured
        results.append(result(measured, params.seed, section.resamples))
        print(said(results[-1]))
    write_metrics(results, plain, queries, gallery, fingerprint)
    answers = plain.ranking.top_indices[:, : section.answers]
    ranked = [[gallery.ids[place] for place in places] for places in answers]
    ranking_file.write(SUBMISSION, queries.ids, ranked)
    draw(results, plain, queries, gallery, images, section.rows)


def read_vectors(queries: Part, gallery: Part) -> tuple[dict[str, Vectors], str]:
    """Read the vectors by their names in ClassProtocol.vectors, and the embedder's fingerprint.

    Raises UserError for vectors of another embedder or of other images. The vectors of the tower
    before training cannot be checked, because that tower is not kept.
    """
    embedder = ClassEmbedder.load(MODEL)
    own, flipped = embedder.fingerprint(), FlipAveraged(embedder).fingerprint()
    start = EMBEDDINGS / "untrained" / "query" / "info.json"
    kinds = {
        "plain": ("embedder", own),
        "flip": ("flip-averaged", flipped),
        "untrained": (
            "tower before training",
            files.read_json(start)["fingerprint"] if start.is_file() else "",
        ),
        "colours": ("colour histograms", ColourHistogram().fingerprint()),
    }
    found = {}
    for folder, (name, fingerprint) in kinds.items():
        if folder == "plain" or (EMBEDDINGS / folder).is_dir():
            parts = [
                Embeddings.load(EMBEDDINGS / folder / part, fingerprint)
                for part in ("query", "gallery")
            ]
            if [part.ids for part in parts] != [queries.ids, gallery.ids]:
                raise UserError(
                    f"{EMBEDDINGS / folder} holds vectors of other images than {QUERY} and "
                    f"{GALLERY}: run the embed_classes stage again"
                )
            found[name] = Vectors(*(part.vectors for part in parts))
    return found, own


def write_metrics(
    results: Sequence[Result], plain: Measured, queries: Part, gallery: Part, fingerprint: str
) -> None:
    """Write the metrics file and the curve of recall."""
    ranks, first = plain.ranking.hit_ranks, results[0]
    rows = by_class(ranks, queries.classes, gallery.classes)
    Metrics(
        recall_at_1=first.recall_at_1,
        map=first.map,
        map_at_r=first.map_at_r,
        results=results,
        by_class=sorted(rows, key=lambda of_class: of_class["map"]),
        fingerprints=[{"model": "class embedder", "fingerprint": fingerprint}],
    ).write(METRICS / "class_retrieval.json")
    curve = recall_curve(ranks, [k for k in CURVE_KS if k <= len(gallery.ids)])
    with files.whole_file(METRICS / "curves" / "class_recall_at_k.csv") as path:
        pd.DataFrame(curve.items(), columns=["k", "recall"]).to_csv(path, index=False)


def draw(
    results: Sequence[Result],
    plain: Measured,
    queries: Part,
    gallery: Part,
    images: Sequence[ImageShards],
    rows: int,
) -> None:
    """Draw a plot of all ways to rank, and a sheet with half of its queries failed."""
    folder = METRICS / "pictures"
    bars = {one.what: (one.map, *one.map_interval) for one in results}
    save_interval_plot(bars, "mAP, 95% interval", folder / "class_retrieval.png")
    first = np.array([own[0] for own in plain.ranking.hit_ranks])
    lost = spaced(np.flatnonzero(first > 1), rows // 2)
    found = spaced(np.flatnonzero(first == 1), rows - len(lost))
    sheet = class_sheet(plain.ranking, queries, gallery, *images, [*found, *lost])
    save_sheet(sheet, folder / "class_retrieval.jpg")


def spaced(queries: np.ndarray, count: int) -> list[int]:
    """Choose up to `count` queries evenly spaced, because neighbours often share a class."""
    places = np.linspace(0, len(queries) - 1, min(count, len(queries))).round().astype(int)
    return queries[places].tolist()


def said(one: Result) -> str:
    """Return a line of figures."""
    low, high = one.recall_at_1_interval
    return (
        f"{one.what:40}recall@1 {one.recall_at_1:6.1%} ({low:.1%} to {high:.1%})  "
        f"mAP {one.map:6.1%}  mAP@R {one.map_at_r:6.1%}"
    )


if __name__ == "__main__":
    run(main)
