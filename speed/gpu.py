"""Compare embedding with the bare rate of a large encoder, and its peak with the bare peak.

python -m speed.gpu                                ViTamin-L-384 with random weights, on a GPU
python -m speed.gpu --model ViTamin-Micro-64 ...   another model of open_clip, on any device

Weights are random, because no rate depends on them. All figures are ratios of one run, but for the
bare rate.
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
from cir.retrieval.ranking.embedding import Embeddings, embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViTamin-L-384", help="a model of open_clip")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    torch.manual_seed(0)
    encoder = Encoder.create(options.model, None, "a photo of a {}").to(DEVICE).eval()
    figures = {
        "model": options.model,
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE,
        "torch": torch.__version__,
        "precision": encoder.precision,
        **embedding(encoder, options.images, options.batch),
    }
    for name, value in figures.items():
        print(f"{name:<42} {value:.4g}" if isinstance(value, float) else f"{name:<42} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def embedding(encoder: Encoder, images: int, batch: int) -> dict[str, float]:
    """Return rates, peaks and the agreement of the vectors with those in fp32."""
    height, width = encoder.image_size
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (batch, 12, 12, 3), np.uint8)
    encoded = [decoding.encode(Image.fromarray(one).resize((width, height))) for one in noise]
    pictures = [decoding.decode(data, "noise") for data in encoded]
    pixels = torch.from_numpy(np.stack([encoder.preprocess(picture) for picture in pictures]))

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
    encoder.inference = "fp32"
    exact = torch.cat([forward(encoder, part) for part in pixels.split(8)])
    return {
        "bare rate, images/s": images / bare_seconds,
        "embedding / the bare rate": bare_seconds / seconds,
        "peak memory / that of the bare forward": peak / bare_peak if bare_peak else float("nan"),
        "least cosine with fp32": float(functional.cosine_similarity(exact, vectors).min()),
    }


@torch.inference_mode()
def forward(encoder: Encoder, pixels: torch.Tensor) -> torch.Tensor:
    """Return the features of one batch, on the processor."""
    return encoder.encode_images(pixels).cpu()


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Return the seconds of the work and the peak of the GPU's memory in bytes, 0 without one."""
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return seconds, torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0


if __name__ == "__main__":
    main()
