"""Image-text encoders measured alike: what they find for the same queries, how fast, how large.

Each is loaded and measured in a process of its own, so that the peak of memory is its own. All
compute in float32, on a GPU if there is one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from cir.core.errors import UserError
from cir.core.processes import in_own_process, peak_memory
from cir.core.progress import say
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import bootstrap_interval, graded_figures
from cir.retrieval.ranking.ranking import cosine
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.encoder_speed import SearchEncoder, device, encode_images, encode_texts
from cir.text_search.scoring.reranking import rerank
from cir.text_search.scoring.results import AS_WRITTEN, Encoder, Failure, TextProtocol
from cir.text_search.scoring.scoring import Measured, measure

_MEGABYTE = 1_000_000


class Candidate(Protocol):
    """An encoder that may be measured; it can be pickled.

    `prompt` holds one {} for the query, or is None for the query as written. `rerank`: how many of
    the first images its `match` orders again, in a second result; 0 for none.
    """

    name: str
    prompt: str | None
    rerank: int

    def check(self) -> None:
        """Raise UserError, without loading anything, for what is certain to fail."""

    def load(self) -> SearchEncoder:
        """The encoder; UserError where it cannot be loaded."""


@dataclass(frozen=True)
class Settings:
    """How all are measured; `batch_size` counts images, queries or pairs of them."""

    batch_size: int
    least_grade: int
    seed: int
    resamples: int


def check_all(candidates: Sequence[Candidate]) -> None:
    """Raise UserError for a name that comes twice, and for what is certain not to load."""
    names = [one.name for one in candidates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two encoders to compare have the name {twice}")
    for one in candidates:
        one.check()


def compare(
    candidates: Sequence[Candidate], split: Path, settings: Settings
) -> Iterator[list[Encoder] | Failure]:
    """Measure one after the other on the queries and images of a split.

    One that fails is told of and does not stop the others. An encoder that orders again what it
    has found gives two results, the plain one first.
    """
    for number, candidate in enumerate(candidates, 1):
        say(f"encoder {number} of {len(candidates)}: {candidate.name}")
        try:
            outcome = in_own_process(measure_here, candidate, split, settings)
        except UserError as error:
            outcome = Failure(name=candidate.name, reason=str(error))
        yield outcome


@torch.inference_mode()
def measure_here(candidate: Candidate, split: Path, settings: Settings) -> list[Encoder]:
    """Measure one encoder in this process; its memory is then that of the whole process."""
    torch.manual_seed(settings.seed)  # for weights that are random
    before = peak_memory()
    images = ImageShards(split)
    queries = read_queries(split, images.ids)
    texts = [(candidate.prompt or "{}").replace("{}", query.text) for query in queries]
    model = candidate.load().to("cuda" if torch.cuda.is_available() else "cpu").eval()
    gallery, rate, rate_decoded = encode_images(model, images, settings.batch_size)
    vectors, text_rate = encode_texts(model, texts, settings.batch_size)
    protocol = TextProtocol(text=candidate.prompt or AS_WRITTEN, least_grade=settings.least_grade)
    kept = max(1, candidate.rerank)
    plain = measure(candidate.name, cosine(vectors, gallery), queries, images.ids, protocol, kept)
    rates = {"images_per_second": rate, "images_per_second_decoded": rate_decoded}
    speed = rates | {"queries_per_second": text_rate} | _memory(before)
    results = [_result(plain, model, speed, settings)]
    if candidate.rerank:
        start = time.perf_counter()
        top = plain.ranking.top_indices[:, : candidate.rerank]
        scores = rerank(model, images, texts, top, vectors @ gallery.T, settings.batch_size)
        taken = time.perf_counter() - start + len(texts) / text_rate
        ranking = f"cosine, the first {top.shape[1]} then by matching"
        protocol = protocol.model_copy(update={"ranking": ranking})
        again = measure(candidate.name, scores.__getitem__, queries, images.ids, protocol)
        speed = rates | {"queries_per_second": len(texts) / taken} | _memory(before)
        results.append(_result(again, model, speed, settings))
    return results


def _result(
    measured: Measured,
    model: SearchEncoder,
    speed: Mapping[str, float | None],
    settings: Settings,
) -> Encoder:
    ranking = measured.ranking
    found = graded_figures(ranking.hit_ranks, ranking.hit_grades, settings.least_grade)
    return Encoder(
        name=measured.what,
        ranking=measured.protocol.ranking,
        **{name: float(found[name].mean()) for name in ("ndcg@10", "r@10", "mrr")},
        ndcg_interval=bootstrap_interval(found["ndcg@10"], settings.seed, settings.resamples),
        **speed,
        parameters=sum(weights.numel() for weights in model.parameters()),
        dim=model.dim,
        image_size=tuple(model.image_size),
        queries=len(ranking.hit_ranks),
        gallery_size=measured.ranking.gallery_size,
        device=device(),
        protocol=measured.protocol,
    )


def _memory(before: int) -> dict[str, float | None]:
    gpu = torch.cuda.max_memory_allocated() / _MEGABYTE if torch.cuda.is_available() else None
    return {
        "peak_memory_mb": peak_memory() / _MEGABYTE,
        "memory_before_mb": before / _MEGABYTE,
        "gpu_memory_mb": gpu,
    }
