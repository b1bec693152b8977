"""Compare what the project does on a GPU with the limits of the GPU.

python -m speed.gpu                                ViTamin-L-384 with random weights, on a GPU
python -m speed.gpu --model ViTamin-Micro-64 ...   another model of open_clip, on any device
python -m speed.gpu --only embedding ranking       some of the parts alone

Weights are random, because no rate depends on them. All figures are of one run.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.core.device import DEVICE
from cir.encoders import Encoder
from cir.images import decoding, shards
from cir.retrieval.ranking import ranking
from cir.retrieval.ranking.embedding import Embeddings, embed
from speed import gpu_tagging, gpu_training

Figures = dict[str, float | str]
PARTS = ("limits", "embedding", "head", "chunks", "ranking", "tagging", "tagger", "compiled")
_QUERIES, _DIM = 1000, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViTamin-L-384", help="a model of open_clip")
    parser.add_argument("--images", type=int, default=4096, help="images to embed")
    parser.add_argument("--batch", type=int, default=64, help="images, or triplets in training")
    parser.add_argument("--together", type=int, default=512, help="triplets of a chunked step")
    parser.add_argument("--chunk", type=int, default=32, help="images of a chunk of it")
    parser.add_argument("--gallery", type=int, default=1_000_000, help="vectors to rank, > 1,000")
    parser.add_argument("--steps", type=int, default=1024, help="steps of the tagger's training")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="the parts to measure")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    torch.manual_seed(0)
    encoder = Encoder.create(options.model, None, "a photo of a {}").to(DEVICE).eval()
    measures: tuple[Callable[[], Figures], ...] = (
        limits,
        lambda: embedding(encoder, options.images, options.batch),
        lambda: gpu_training.head_alone(encoder, options.batch),
        lambda: gpu_training.in_chunks(encoder, options.together, options.chunk),
        lambda: ranked(options.gallery),
        gpu_tagging.reading,
        lambda: gpu_tagging.training(options.steps),
        lambda: compiled(encoder, options.images, options.batch),
    )
    parts = dict(zip(PARTS, measures, strict=True))
    figures: Figures = {
        "model": options.model,
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE,
        "torch": torch.__version__,
        "precision": encoder.precision,
    }
    show(figures)
    for name in options.only or PARTS:
        found = parts[name]()
        show(found)
        figures |= found
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def show(figures: Figures) -> None:
    for name, value in figures.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"{name:<58} {shown}", flush=True)


def limits() -> Figures:
    """Return the rates of large matrix products and of a copy within the device's memory."""
    size = 8192 if DEVICE == "cuda" else 1024
    figures: Figures = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        one, other = (torch.randn(size, size, device=DEVICE).to(kind) for _ in range(2))
        seconds = _repeated(lambda one=one, other=other: one @ other)
        figures[f"matrix products in {name}, TFLOP/s"] = 2 * size**3 / seconds / 1e12
    bytes_ = torch.empty((4 << 30) if DEVICE == "cuda" else (256 << 20), dtype=torch.uint8)
    bytes_ = bytes_.to(DEVICE)
    figures["copying in memory, GB/s read and written"] = (
        2 * bytes_.nbytes / _repeated(bytes_.clone) / 1e9
    )
    return figures


def embedding(encoder: Encoder, images: int, batch: int) -> Figures:
    """Return rates, peaks and the agreement of the vectors with those in fp32."""
    encoded, pixels = _noise(encoder, batch)

    def bare() -> None:
        for _ in range(images // batch):
            forward(encoder, pixels)

    with TemporaryDirectory() as place:
        rows = ((f"{n:06d}", encoded[n % batch], ()) for n in range(images))
        shards.write(Path(place, "images"), rows, [], {})
        gallery = shards.ImageShards(Path(place, "images")).shards()
        out = Path(place, "out")
        forward(encoder, pixels)  # warm up
        bare_seconds, bare_peak = measured(bare)
        seconds, peak = measured(lambda: embed(encoder, gallery, out, Path(place, "work"), batch))
        vectors = torch.from_numpy(Embeddings.load(out, encoder.fingerprint()).vectors[:batch])
    asked, encoder.inference = encoder.inference, "fp32"
    forward(encoder, pixels)  # warm up
    exact_seconds, _ = measured(lambda: forward(encoder, pixels))
    exact = torch.cat([forward(encoder, part) for part in pixels.split(8)])
    encoder.inference = asked
    return {
        "bare rate, images/s": images / bare_seconds,
        "the same in fp32": batch / exact_seconds,
        "embedding / the bare rate": bare_seconds / seconds,
        "peak memory / that of the bare forward": peak / bare_peak if bare_peak else float("nan"),
        "least cosine with fp32": float(functional.cosine_similarity(exact, vectors).min()),
    }


def compiled(encoder: Encoder, images: int, batch: int) -> Figures:
    """Return what torch.compile of the image tower's blocks gains, and how long it takes.

    It comes last, because the encoder stays compiled.
    """
    _, pixels = _noise(encoder, batch)

    def bare() -> None:
        for _ in range(images // batch):
            forward(encoder, pixels)

    forward(encoder, pixels)  # warm up
    plain, _ = measured(bare)
    for block in encoder.clip.visual.trunk.blocks:
        block.compile()
    first, _ = measured(lambda: forward(encoder, pixels))
    seconds, _ = measured(bare)
    return {
        "compiled blocks / plain, rate of the bare forward": plain / seconds,
        "compiling, s": first,
    }


def ranked(images: int) -> Figures:
    """Rank random vectors on the device and in numpy; return times, and whether they agree."""
    generator = torch.Generator(DEVICE).manual_seed(0)
    gallery = torch.randn(images, _DIM, device=DEVICE, generator=generator)
    gallery = functional.normalize(gallery, dim=1).cpu().numpy()
    queries = gallery[: _QUERIES + 1][1:]
    queries = queries + 0.1 * np.random.default_rng(0).standard_normal(queries.shape, np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    names, ids = [str(n) for n in range(_QUERIES)], [str(n) for n in range(images)]

    def run(device: str | None) -> ranking.Ranking:
        return ranking.rank(queries, gallery, names, ids, np.arange(1, 1001), device=device)

    def copy() -> None:
        for start in range(0, images, 65_536):
            torch.tensor(gallery[start : start + 65_536], device=DEVICE)

    run(DEVICE)  # warm up
    copied, _ = measured(copy)
    started = time.perf_counter()
    here = run(DEVICE)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    there = run(None)
    by_numpy = time.perf_counter() - started
    same = (here.top_indices == there.top_indices).all(axis=1)
    return {
        f"ranking {images:,} x {_DIM} for {_QUERIES:,} queries, s": seconds,
        "copying the gallery to the device / that": copied / seconds,
        "the same by numpy, s": by_numpy,
        "queries with the same ten images in the same order": float(same.mean()),
        "queries with the same rank of the target": float(
            (here.target_ranks == there.target_ranks).mean()
        ),
        "largest difference of a score": float(np.abs(here.top_scores - there.top_scores).max()),
    }


@torch.inference_mode()
def forward(encoder: Encoder, pixels: torch.Tensor) -> torch.Tensor:
    """Return the features of one batch, on the processor."""
    return encoder.encode_images(pixels).cpu()


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Return the seconds of the work and the peak of the GPU's memory in bytes, 0 without one."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return seconds, torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0


def _repeated(work: Callable[[], object], times: int = 10) -> float:
    """Return the mean seconds of ten runs, after three to warm up."""

    def run(count: int) -> None:
        for _ in range(count):
            work()

    run(3)
    return measured(lambda: run(times))[0] / times


def _noise(encoder: Encoder, count: int) -> tuple[list[bytes], torch.Tensor]:
    """Return images of coarse noise, encoded and as pixels."""
    height, width = encoder.image_size
    noise = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), np.uint8)
    encoded = [decoding.encode(Image.fromarray(one).resize((width, height))) for one in noise]
    pictures = [decoding.decode(data, "noise") for data in encoded]
    return encoded, torch.from_numpy(np.stack([encoder.preprocess(one) for one in pictures]))


if __name__ == "__main__":
    main()
