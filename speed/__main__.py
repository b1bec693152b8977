"""Run every benchmark and print its figure beside the target.

python -m speed           exits with 0 in any case
python -m speed --check   exits with 1 if a target is missed
"""

import sys
from collections.abc import Sequence

import numpy as np

from cir.retrieval.retriever import Retriever
from speed import (
    composers,
    encoding,
    gallery,
    indexing,
    lone_query,
    memory,
    photographs,
    reranking,
    service,
    small_runs,
    vector_stores,
)
from speed.workload import Workload, larger_retriever, load_retriever, load_workload

QUERIES = 512
BATCH, SMALL_BATCH = 64, 16
TAGGED_TOGETHER = 256
SMALL, LARGE = 2_000, 20_000
RERANKED = 2_000, 23_000  # queries and images
RERANKED_DENSELY = 100, 1_400
STORED = 100_000  # vectors

Line = tuple[str, str, str, bool]  # what, figure, target, whether the target is met


def main(check: bool) -> int:
    retriever, models = load_retriever(BATCH)
    workload, queries = load_workload(QUERIES)
    print(f"models: {models}; queries and images: {queries}\n")
    lines = [
        *encoding_lines(retriever, workload),
        *composer_lines(retriever, workload),
        *reranking_lines(),
        *store_lines(),
        *service_lines(workload),
        *small_run_lines(),
    ]
    show(lines)
    return 1 if check and not all(met for *_, met in lines) else 0


def encoding_lines(retriever: Retriever, workload: Workload) -> list[Line]:
    """Queries in batches, embedding a gallery, and indexing a folder."""
    speed_up = encoding.speed_up(retriever, workload)
    share = gallery.share_of_bare_rate(retriever.encoder, workload, 80 * BATCH, BATCH)
    indexed = indexing.share_of_bare_rate(retriever, workload, 80 * BATCH, BATCH)
    published_size = indexing.share_of_bare_rate(
        larger_retriever(retriever, SMALL_BATCH), workload, 4 * SMALL_BATCH, SMALL_BATCH
    )
    of_photographs, rate = photographs.share_of_bare_rate()
    width, height = photographs.SIZE
    lone = lone_query.measure(retriever, workload)
    tagging = encoding.tagging_share(retriever.tagger, workload.texts * 4, TAGGED_TOGETHER)
    return [
        (
            f"{QUERIES} queries in batches / one at a time, a text call per object",
            f"{speed_up:.1f}x",
            ">= 20x",
            speed_up >= 20,
        ),
        (
            f"a lone query of the app, {lone.milliseconds:.1f} ms of processor / the slow way",
            f"{lone.share:.0%}",
            "<= 50%",
            lone.share <= 0.5,
        ),
        (
            "the same with names that were not encoded before",
            f"{lone.new_names_share:.0%}",
            "<= 80%",
            lone.new_names_share <= 0.8,
        ),
        (
            f"reading edits, {TAGGED_TOGETHER} at a time / the bare rate of the tagger's model",
            f"{tagging:.0%}",
            ">= 60%",
            tagging >= 0.60,
        ),
        ("embedding a gallery / the bare forward rate", f"{share:.0%}", ">= 85%", share >= 0.85),
        ("indexing a folder / the bare forward rate", f"{indexed:.0%}", ">= 80%", indexed >= 0.80),
        (
            "the same with ViTamin-S at 224 pixels",
            f"{published_size:.0%}",
            ">= 80%",
            published_size >= 0.80,
        ),
        (
            f"the same with EfficientNet-Lite2, {rate:.0f} photos of {width} x {height} a second",
            f"{of_photographs:.0%}",
            ">= 80%",
            of_photographs >= 0.80,
        ),
    ]


def composer_lines(retriever: Retriever, workload: Workload) -> list[Line]:
    """Training a composer, composing, and the memory that a larger gallery takes."""
    standing, learning = (
        composers.epoch_speed_up(retriever.encoder, workload, learns) for learns in (False, True)
    )
    composing = composers.share_of_encoding(retriever.encoder, workload)
    growth = memory.growth(workload, SMALL, LARGE, BATCH)
    return [
        (
            "an epoch of a composer and its encoder / on cached features",
            f"{learning:.1f}x",
            ">= 20x",
            learning >= 20,
        ),
        (
            "the same with a frozen encoder in the loop",
            f"{standing:.1f}x",
            ">= 20x",
            standing >= 20,
        ),
        (
            "our learned composer / encoding image and names",
            f"{composing:.1%}",
            "<= 10%",
            composing <= 0.10,
        ),
        (
            f"peak memory for {LARGE:,} images / for {SMALL:,}",
            f"{growth:.0%}",
            "80% to 120%",
            0.8 <= growth <= 1.2,
        ),
    ]


def show(lines: Sequence[Line]) -> None:
    """Print the lines as a table."""
    width = max(len(what) for what, *_ in lines)
    print(f"\n{'':{width}}  {'figure':>8}  {'target':>12}")
    for what, figure, target, met in lines:
        print(f"{what:{width}}  {figure:>8}  {target:>12}  {'ok' if met else 'MISSED'}")


def reranking_lines() -> list[Line]:
    """Measure the time and memory of k-reciprocal re-ranking, and compare dense matrices."""
    seconds, gigabytes = reranking.seconds_and_memory(*RERANKED)
    faster = reranking.speed_up(*RERANKED_DENSELY)
    what = "re-ranking {:,} queries x {:,} images"
    large, small = what.format(*RERANKED), what.format(*RERANKED_DENSELY)
    return [
        (large, f"{seconds:.1f} s", "<= 15 s", seconds <= 15),
        ("the same: memory beside the vectors", f"{gigabytes:.2f} GB", "<= 1 GB", gigabytes <= 1),
        (f"{small}: whole matrices / ours", f"{faster:.1f}x", ">= 4x", faster >= 4),
    ]


def store_lines() -> list[Line]:
    """Measure the default store: exact against the local mode of Qdrant's client, and by graph."""
    found = vector_stores.measure(STORED)
    what = f"nearest 10 of {STORED:,}"
    recall, milliseconds = found.recall, found.graph_seconds * 1000
    return [
        (
            f"{what}, exactly: qdrant-client's local mode / ours",
            f"{found.speed_up:.1f}x",
            ">= 5x",
            found.speed_up >= 5,
        ),
        (f"{what}, by the graph: recall", f"{recall:.1%}", ">= 98%", recall >= 0.98),
        ("the same: median time", f"{milliseconds:.1f} ms", "< 3 ms", milliseconds < 3),
    ]


def service_lines(workload: Workload) -> list[Line]:
    """Compare the service with many clients at once and with one, and flood it."""
    found, flood = service.compare(workload), service.flood(workload)
    what = f"{service.CLIENTS} clients of the service"
    together = f"{service.FLOOD} requests at once"
    p95 = float(np.percentile(found.composed * 1000, 95))
    return [
        (f"{together}: lost, neither answered nor refused", f"{flood.lost}", "0", flood.lost == 0),
        (
            f"{together}: a refusal / the last answer, time",
            f"{flood.early:.0%}",
            "<= 50%",
            0 < flood.early <= 0.5,
        ),
        (
            f"{together}: then answers as before",
            "yes" if flood.recovered else "no",
            "yes",
            flood.recovered,
        ),
        (f"{what}: p95 of a composed search", f"{p95:.0f} ms", "<= 150 ms", p95 <= 150),
        (
            f"{what} / one: requests a second",
            f"{found.throughput:.1f}x",
            ">= 3x",
            found.throughput >= 3,
        ),
        (f"{what}: p95 / p50", f"{found.slowest:.1f}", "< 5", found.slowest < 5),
        (f"{what}: answers lost or not the lone client's", f"{found.lost}", "0", found.lost == 0),
    ]


def small_run_lines() -> list[Line]:
    """Compare the smoke pipeline with its imports, and a batched request with a direct call."""
    pipeline, request = small_runs.smoke_over_imports(), small_runs.batcher_over_direct()
    return [
        (
            "smoke pipeline / importing the libraries for each stage: processor time",
            f"{pipeline:.1f}x",
            "<= 1x",
            pipeline <= 1,
        ),
        (
            "a lone request in the batcher / in a direct call",
            f"{request:.1f}x",
            "<= 2x",
            request <= 2,
        ),
    ]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        sys.exit("usage: python -m speed [--check]")
    sys.exit(main(check=bool(arguments)))
