"""Words that look for images, before and after fine-tuning → metrics/text_search.json and pictures.

Every system ranks the same images of the test split for the same queries.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from cir.core import files
from cir.core.metrics_files import MetricsFile
from cir.core.params import Section
from cir.drawing import query_sheet as pictures
from cir.encoders import Encoder
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import Embeddings, embed
from cir.retrieval.ranking.hits import cosine
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.scoring import (
    AS_WRITTEN,
    TextProtocol,
    load_shared_space,
    measure,
    require_answers,
    row,
    text_vectors,
)
from cir.text_search.scoring.sheet import choose, rows_of, sheet
from stages.params import StageParams, load
from stages.run import code_of, run

BEFORE, AFTER = "before", "after"
ENCODERS = {BEFORE: Path("models/encoder"), AFTER: Path("models/text_search")}
TEST = Path("data/text_search/test")
METRICS = Path("metrics/text_search.json")
CURVE = Path("metrics/curves/text_search.csv")
SHEET = Path("metrics/pictures/text_search.jpg")
ANSWERS = 10  # kept of each query

Share = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Share, Share]


class ScoreTextSearch(Section):
    """`least_grade` counts as relevant; `rows` of the sheet for each kind of query.

    `workers` threads encode a batch of images each (0: one per core).
    """

    batch_size: PositiveInt
    workers: NonNegativeInt
    least_grade: PositiveInt
    resamples: PositiveInt
    rows: PositiveInt


class Params(StageParams):
    seed: int
    score_text_search: ScoreTextSearch


class Figures(MetricsFile):
    """See cir.text_search.scoring.metrics.figures, and
    cir.text_search.scoring.scoring.told_apart."""

    p_1: Share = Field(alias="p@1")
    p_5: Share = Field(alias="p@5")
    p_10: Share = Field(alias="p@10")
    r_1: Share = Field(alias="r@1")
    r_5: Share = Field(alias="r@5")
    r_10: Share = Field(alias="r@10")
    ndcg_1: Share = Field(alias="ndcg@1")
    ndcg_5: Share = Field(alias="ndcg@5")
    ndcg_10: Share = Field(alias="ndcg@10")
    mrr: Share
    map: Share
    ndcg_10_interval: Interval = Field(alias="ndcg@10_interval95")
    mrr_interval: Interval = Field(alias="mrr_interval95")
    map_interval: Interval = Field(alias="map_interval95")
    queries: PositiveInt
    told_apart: Share | None = None


class OfKind(Figures):
    kind: str


class Result(Figures):
    """One system and its protocol: see cir.text_search.scoring.scoring.row."""

    what: str
    gallery_size: PositiveInt
    protocol: dict[str, str | int]
    by_kind: list[OfKind]


class Metrics(MetricsFile):
    """The scalars are those of the last of the results, after fine-tuning.

    For each kind of query stands nDCG@10, too, under "text_ndcg@10_" and the kind's own name in
    small letters with _ for all else, such as text_ndcg@10_one_object; likewise text_told_apart_.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Share]

    text_ndcg_10: Share = Field(alias="text_ndcg@10")
    text_mrr: Share
    text_map: Share
    results: list[Result]
    fingerprints: list[dict[Literal["model", "fingerprint"], str]]


def main() -> None:
    params = load(Params)
    section = params.score_text_search
    images = ImageShards(TEST)
    queries = read_queries(TEST, images.ids)
    require_answers(queries, section.least_grade)
    results, fingerprints = [], []
    for name, folder in ENCODERS.items():
        encoder = load_shared_space(folder)
        encoder = encoder.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        fingerprints.append({"model": f"text search, {name}", "fingerprint": encoder.fingerprint()})
        vectors = encode_images(encoder, folder, images, section)
        for what, prompt in ways(name, encoder).items():
            texts = text_vectors(encoder, [query.text for query in queries], prompt or "{}")
            protocol = TextProtocol(prompt or AS_WRITTEN, section.least_grade)
            scores = cosine(texts, vectors)
            measured = measure(what, scores, queries, images.ids, protocol, ANSWERS)
            results.append(Result(**row(measured, queries, params.seed, section.resamples)))
            print(said(results[-1]))
    write_metrics(results, fingerprints)
    chosen = choose([query.kind for query in queries], section.rows)
    pictures.save_sheet(sheet(rows_of(measured, queries, images, chosen)), SHEET)


def encode_images(
    encoder: Encoder, folder: Path, images: ImageShards, section: ScoreTextSearch
) -> np.ndarray:
    """Vectors [N, D] of all images; what was embedded before a kill is not embedded again."""
    work = files.checkpoint_folder("score_text_search", *code_of(__file__), folder, TEST)
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
    """The system's rows and their prompts; None for the queries as written.

    Before fine-tuning the encoder knows names within its prompt alone, and bare words are foreign
    to it: the second row says how much of the difference is that.
    """
    return {name: None} | ({f"{name}, in the prompt": encoder.prompt} if name == BEFORE else {})


def write_metrics(results: Sequence[Result], fingerprints: list[dict[str, str]]) -> None:
    """Write text_search.json, and nDCG@10 by kind and system as a table to plot."""
    last = results[-1]
    Metrics(
        **{"text_ndcg@10": last.ndcg_10, "text_mrr": last.mrr, "text_map": last.map},
        **{f"text_ndcg@10_{key(one.kind)}": one.ndcg_10 for one in last.by_kind},
        **{f"text_told_apart_{key(k.kind)}": k.told_apart for k in last.by_kind if k.told_apart},
        results=[result.model_dump(by_alias=True, exclude_none=True) for result in results],
        fingerprints=fingerprints,
    ).write(METRICS)
    rows = [
        {"system": result.what, "kind": one.kind, "queries": one.queries, "ndcg_10": one.ndcg_10}
        for result in results
        for one in result.by_kind
    ]
    with files.whole_file(CURVE) as path:
        pd.DataFrame(rows).to_csv(path, index=False)


def key(kind: str) -> str:
    """ "pair of objects" as "pair_of_objects"."""
    return re.sub(r"\W+", "_", kind.lower()).strip("_")


def said(result: Result) -> str:
    """Lines of figures: overall, then by kind."""
    low, high = result.ndcg_10_interval
    lines = [
        f"{result.what:26}nDCG@10 {result.ndcg_10:.3f} ({low:.3f} to {high:.3f})  "
        f"MRR {result.mrr:.3f}  MAP {result.map:.3f}  R@10 {result.r_10:.3f}"
    ]
    for one in result.by_kind:
        apart = "" if one.told_apart is None else f", near misses told apart {one.told_apart:.1%}"
        lines.append(f"  {one.kind:24}nDCG@10 {one.ndcg_10:.3f}, {one.queries:,} queries{apart}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
