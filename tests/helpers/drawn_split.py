"""A small drawn split of triplets, and the encoder that tests use."""

import io

import numpy as np

from cir.core.records import Triplet
from cir.datasets.scenes import draw_scene
from cir.images import shards

MICRO = "ViTamin-Micro-64"
PROMPT = "a photo of a {}"


def write_drawn_split(folder, queries, seed):
    """Draw triplets that exchange one object for another, and write them as a split."""
    rng = np.random.default_rng(seed)
    names = ["red mug", "blue car", "green fish", "yellow hat", "purple key", "pink tree"]
    images, triplets = [], []
    for number in range(queries):
        kept, removed, added, other = (str(name) for name in rng.permutation(names)[:4])
        ids = [f"{kind}{number}" for kind in ("reference", "target", "miss")]
        for name, shown in zip(ids, (removed, added, other), strict=True):
            image = io.BytesIO()
            draw_scene([kept, shown], np.random.default_rng((seed, len(images)))).save(image, "PNG")
            images.append((name, image.getvalue(), (kept, shown)))
        text = f"replace the {removed} with a {added}"
        triplets.append(
            Triplet(f"q{number}", ids[0], text, ids[1], (added,), (removed,), (ids[2],))
        )
    shards.write(folder, images, triplets, {"source": "test"}, rows_per_shard=50)
