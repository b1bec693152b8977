"""Compare image-text encoders on the same queries: relevance, speed and size.

Each encoder runs in its own process, so that the peak of memory is its own. All compute in float32,
on a GPU if there is one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.core.processes import in_own_process, peak_memory
from cir.core.progress import say
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import bootstrap_interval, graded_figures
from cir.retrieval.ranking.ranking import cosine
from cir.text_search.data.queries import read_queries
from cir.text_search.scoring.encoder_speed import SearchEncoder, device, encode_images, encode_texts
from cir.text_search.scoring.params import BenchmarkEncoders, Candidate
from cir.text_search.scoring.reranking import rerank
from cir.text_search.scoring.results import AS_WRITTEN, Encoder, Failure, TextProtocol
from cir.text_search.scoring.scoring import Measured, measure

_MEGABYTE = 1_000_000


def check_all(candidates: Sequence[Candidate]) -> None:
    """Raise UserError for a name that comes twice, and for an encoder that cannot load."""
    names = [one.name for one in candidates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two encoders to compare have the name {twice}")
    for one in candidates:
        one.check()


def compare(params: BenchmarkEncoders, split: Path, seed: int) -> Iterator[list[Encoder] | Failure]:
    """Measure one encoder after the other on the queries and images of a split.

    An encoder that fails yields a Failure and does not stop the others. An encoder that reorders
    its first images yields two results, the plain one first.
    """
    for number, candidate in enumerate(params.models, 1):
        say(f"encoder {number} of {len(params.models)}: {candidate.name}")
        try:
            outcome = in_own_process(measure_here, candidate, split, params, seed)
        except UserError as error:
            outcome = Failure(name=candidate.name, reason=str(error))
        yield outcome


@torch.inference_mode()
def measure_here(
    candidate: Candidate, split: Path, params: BenchmarkEncoders, seed: int
) -> list[Encoder]:
    """Measure one encoder in this process, whose memory counts as the encoder's."""
    torch.manual_seed(seed)  # for random weights
    before = peak_memory()
    images = ImageShards(split)
    queries = read_queries(split, images.ids)
    texts = [(candidate.prompt or "{}").replace("{}", query.text) for query in queries]
    model = candidate.load().to(DEVICE).eval()
    gallery, rate, rate_decoded = encode_images(model, images, params.batch_size)
    vectors, text_rate = encode_texts(model, texts, params.batch_size)
    protocol = TextProtocol(text=candidate.prompt or AS_WRITTEN, least_grade=params.least_grade)
    kept = max(1, candidate.rerank)
    plain = measure(candidate.name, cosine(vectors, gallery), queries, images.ids, protocol, kept)
    rates = {"images_per_second": rate, "images_per_second_decoded": rate_decoded}
    speed = rates | {"queries_per_second": text_rate} | _memory(before)
    results = [_result(plain, model, speed, params, seed)]
    if candidate.rerank:
        start = time.perf_counter()
        top = plain.ranking.top_indices[:, : candidate.rerank]
        scores = rerank(model, images, texts, top, vectors @ gallery.T, params.batch_size)
        taken = time.perf_counter() - start + len(texts) / text_rate
        ranking = f"cosine, the first {top.shape[1]} then by matching"
        protocol = protocol.model_copy(update={"ranking": ranking})
        again = measure(candidate.name, scores.__getitem__, queries, images.ids, protocol)
        speed = rates | {"queries_per_second": len(texts) / taken} | _memory(before)
        results.append(_result(again, model, speed, params, seed))
    return results


def _result(
    measured: Measured,
    model: SearchEncoder,
    speed: Mapping[str, float | None],
    params: BenchmarkEncoders,
    seed: int,
) -> Encoder:
    ranking = measured.ranking
    found = graded_figures(ranking.hit_ranks, ranking.hit_grades, params.least_grade)
    return Encoder(
        name=measured.what,
        ranking=measured.protocol.ranking,
        **{name: float(found[name].mean()) for name in ("ndcg@10", "r@10", "mrr")},
        ndcg_interval=bootstrap_interval(found["ndcg@10"], seed, params.resamples),
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
