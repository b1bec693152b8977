"""Give the images of queries their ids, and draw and encode them in parallel."""

import hashlib
import io
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process

import numpy as np
from PIL import Image

from cir.core.records import Triplet
from cir.datasets.scenes.draw import draw_scene
from cir.datasets.scenes.triplets import SceneTriplet

_CHUNK = 128  # number of images that a process draws at a time
_AHEAD = 3  # chunks per process that are being drawn or waiting; this limits the memory

Drawn = tuple[str, bytes, tuple[str, ...]]
Draw = Callable[[Sequence[str], np.random.Generator, int], Image.Image]


def name_images(
    triplets: Sequence[SceneTriplet], prefix: str
) -> tuple[dict[str, tuple[str, ...]], list[Triplet]]:
    """Give each image of each query an id; return the names to draw by id, and the triplets.

    Query 7 of the prefix "test" is "test-00007". Its images are "test-00007-reference", "-target"
    and "-near-0", "-near-1", ...
    """
    shown: dict[str, tuple[str, ...]] = {}
    records: list[Triplet] = []
    for number, triplet in enumerate(triplets):
        query = f"{prefix}-{number:05d}"
        nearly = tuple(f"{query}-near-{i}" for i in range(len(triplet.near_misses)))
        ids = (f"{query}-reference", f"{query}-target", *nearly)
        shown.update(zip(ids, triplet.images(), strict=True))
        records.append(
            Triplet(
                id=query,
                reference=ids[0],
                text=triplet.text,
                target=ids[1],
                add=triplet.add,
                remove=triplet.remove,
                near_misses=nearly,
                novel=triplet.novel,
            )
        )
    return shown, records


def draw_one(
    image_id: str, names: Sequence[str], size: int, seed: int, draw: Draw = draw_scene
) -> Image.Image:
    """Draw one image; the same id, names, size and seed give the same pixels."""
    own = hashlib.blake2b(image_id.encode(), digest_size=8).digest()
    rng = np.random.default_rng([seed, int.from_bytes(own, "little")])
    return draw(names, rng, size)


def draw_many(
    named_sets: Mapping[str, Sequence[str]],
    size: int,
    seed: int,
    workers: int = 1,
    draw: Draw = draw_scene,
) -> Iterator[Drawn]:
    """Draw each set of names; yield (id, encoded image, names) in the order of `named_sets`.

    `draw` is draw_scene, or draw_cells for names with fixed places. Images are squares of `size`
    pixels, encoded as BMP: training decodes all of them, and a JPEG of this size takes four times
    as long to decode, a quarter of the time of the encoder. An image depends only on its names,
    its id, the size and the seed, not on the other images or the number of worker processes.
    """
    items = iter(named_sets.items())
    chunks = iter(lambda: list(islice(items, _CHUNK)), [])
    if workers <= 1:
        for chunk in chunks:
            yield from _draw_chunk(chunk, size, seed, draw)
        return
    # Spawned, not forked: the caller may hold threads and locks of torch and Arrow.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_follow_parent)
    waiting: deque[Future[list[Drawn]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_draw_chunk, chunk, size, seed, draw))
            if len(waiting) == _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_chunk(
    chunk: Sequence[tuple[str, Sequence[str]]], size: int, seed: int, draw: Draw
) -> list[Drawn]:
    drawn = []
    for image_id, names in chunk:
        encoded = io.BytesIO()
        draw_one(image_id, names, size, seed, draw).save(encoded, "BMP")
        drawn.append((image_id, encoded.getvalue(), tuple(names)))
    return drawn


def _follow_parent() -> None:
    """Make a worker ignore Ctrl-C, which its parent handles, and end if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
