"""Score text-to-image search before and after fine-tuning → metrics/text_search.json and pictures.

Every system ranks the images of the test split for the same queries.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.device import DEVICE
from cir.drawing.saving import save_sheet
from cir.encoders import Encoder
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import Embeddings, embed
from cir.retrieval.ranking.ranking import cosine
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.params import ScoreTextSearch
from cir.text_search.scoring.results import AS_WRITTEN, Result, TextProtocol
from cir.text_search.scoring.results import TextSearchMetrics as Metrics
from cir.text_search.scoring.scoring import (
    load_shared_space,
    measure,
    require_answers,
    result,
    text_vectors,
)
from cir.text_search.scoring.sheet import choose, text_sheet
from stages.params import StageParams, load
from stages.run import code_of, run

BEFORE, AFTER = "before", "after"
ENCODERS = {BEFORE: Path("models/encoder"), AFTER: Path("models/text_search")}
TEST = Path("data/text_search/test")
METRICS = Path("metrics/text_search.json")
CURVE = Path("metrics/curves/text_search.csv")
SHEET = Path("metrics/pictures/text_search.jpg")
ANSWERS = 10  # kept of each query


class Params(StageParams):
    seed: int
    score_text_search: ScoreTextSearch


def main() -> None:
    params = load(Params)
    section = params.score_text_search
    images = ImageShards(TEST)
    queries = read_queries(TEST, images.ids)
    require_answers(queries, section.least_grade)
    results, fingerprints = [], []
    for name, folder in ENCODERS.items():
        encoder = load_shared_space(folder)
        encoder = encoder.to(DEVICE).eval()
        fingerprints.append({"model": f"text search, {name}", "fingerprint": encoder.fingerprint()})
        vectors = encode_images(encoder, folder, images, section)
        for what, prompt in ways(name, encoder).items():
            texts = text_vectors(encoder, [query.text for query in queries], prompt or "{}")
            protocol = TextProtocol(text=prompt or AS_WRITTEN, least_grade=section.least_grade)
            scores = cosine(texts, vectors)
            measured = measure(what, scores, queries, images.ids, protocol, ANSWERS)
            results.append(result(measured, queries, params.seed, section.resamples))
            print(said(results[-1]))
    write_metrics(results, fingerprints)
    chosen = choose([query.kind for query in queries], section.rows)
    save_sheet(text_sheet(measured, queries, images, chosen), SHEET)


def encode_images(
    encoder: Encoder, folder: Path, images: ImageShards, section: ScoreTextSearch
) -> np.ndarray:
    """Embed all images → vectors [N, D]; a run after a kill goes on where the last one stopped."""
    work = checkpoint_folder("score_text_search", *code_of(__file__), folder, TEST)
    with files.exclusive(work):
        embed(
            encoder, images.shards(), work / "vectors", work / "parts",
            section.batch_size, section.workers, "the images",
        )  # fmt: skip
        found = Embeddings.load(work / "vectors", encoder.fingerprint())
        shutil.rmtree(work)
    assert found.ids == images.ids, "embeddings keep the order of the images"
    return found.vectors


def ways(name: str, encoder: Encoder) -> dict[str, str | None]:
    """Return the prompts of the system's rows by name; None means the queries as written.

    Before fine-tuning the encoder has only seen names in its prompt. The second row shows how much
    of the difference comes from the missing prompt. A prompt that adds no words makes no such row.
    """
    prompted = name == BEFORE and encoder.prompt != "{}"
    return {name: None} | ({f"{name}, in the prompt": encoder.prompt} if prompted else {})


def write_metrics(results: Sequence[Result], fingerprints: list[dict[str, str]]) -> None:
    """Write the metrics file, and nDCG@10 by kind and system as a table to plot."""
    last = results[-1]
    Metrics(
        ndcg_at_10=last.ndcg_at_10,
        mrr=last.mrr,
        map=last.map,
        **{f"text_ndcg@10_{key(one.kind)}": one.ndcg_at_10 for one in last.by_kind},
        **{f"text_told_apart_{key(k.kind)}": k.told_apart for k in last.by_kind if k.told_apart},
        results=results,
        fingerprints=fingerprints,
    ).write(METRICS)
    rows = [
        {"system": system.what, "kind": k.kind, "queries": k.queries, "ndcg_10": k.ndcg_at_10}
        for system in results
        for k in system.by_kind
    ]
    with files.whole_file(CURVE) as path:
        pd.DataFrame(rows).to_csv(path, index=False)


def key(kind: str) -> str:
    """Return the kind as part of a key: "pair of objects" gives "pair_of_objects"."""
    return re.sub(r"\W+", "_", kind.lower()).strip("_")


def said(system: Result) -> str:
    """Return lines of figures: overall, then by kind."""
    low, high = system.ndcg_interval
    lines = [
        f"{system.what:26}nDCG@10 {system.ndcg_at_10:.3f} ({low:.3f} to {high:.3f})  "
        f"MRR {system.mrr:.3f}  MAP {system.map:.3f}  R@10 {system.r_at_10:.3f}"
    ]
    for one in system.by_kind:
        apart = "" if one.told_apart is None else f", near misses told apart {one.told_apart:.1%}"
        lines.append(f"  {one.kind:24}nDCG@10 {one.ndcg_at_10:.3f}, {one.queries:,} queries{apart}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
