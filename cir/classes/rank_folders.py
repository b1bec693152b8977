"""Rank the images of a folder for each query image, by the class embedder or an encoder."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from cir.classes.datasets import folders
from cir.classes.datasets.base import counted
from cir.classes.scoring import ranking_file as class_submission
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.images import decoding as images
from cir.images import image_files, walk
from cir.images.shards import ImageShards

if TYPE_CHECKING:
    from cir.classes.embedder.embedder import ClassEmbedder
    from cir.encoders import Encoder
    from cir.encoders.paired import PairedEncoder
    from cir.retrieval.refine import Settings

_BLOCK = 256  # queries
_K2 = 3  # of re-ranking, as in conf/config.yaml


@dataclass(frozen=True)
class _Images:
    """Images of the user: their ids, and by id how they are encoded and where they lie.

    Equal places are the same image. `files` are those to be checked; shards have none.
    """

    ids: tuple[str, ...]
    encoded: Callable[[str], bytes | Path]
    places: Mapping[str, object]
    files: Mapping[str, Path]


_Selves = Mapping[str, Sequence[int]]  # by query, its own places in the gallery


def rank(
    queries: Path, gallery: Path, out: Path, model: Path, k: int, k1: int | None = None
) -> str:
    """Write for each image of `queries` the `k` most similar ones of `gallery`.

    Each is a folder of image files, whose ids are their paths in it, one such file, whose id is
    its name, or a folder with the shards of a part of the class data. An image that is in both is
    no answer to itself; a copy of it in another file is one. With `k1`, the order is that of
    k-reciprocal re-ranking by a graph of the gallery alone, so that no answer depends on the
    other queries. Where the gallery has fewer than `k` images to give, all lists have as many.

    Returns:
        A sentence on the file (see cir.classes.scoring.ranking_file.check).

    Raises:
        UserError: `out` is a folder, no images, images that cannot be decoded, no whole class
            embedder or encoder in the folder `model`, or a gallery with too few images for `k1`.
    """
    from cir.retrieval.refine import Settings  # it takes seconds to import, as the embedder does

    if out.is_dir():
        raise UserError(f"--out is a folder: {out}; expected the name of a file to write")
    embedder = _load(model)
    asked, stored = _read(queries), _read(gallery)
    selves = _selves(asked, stored)
    k = _most(k, stored, selves)
    if selves:
        those = counted(len(selves), "query is", "queries are")
        say(f"{those} in the gallery, too, and no answer to themselves: {listed(list(selves))}")
    reranking = Settings(k1, min(_K2, k1)) if k1 else None
    if reranking:
        reranking.require(len(stored.ids), "the gallery")
    _check_all(asked, stored)
    embedder.to(_device())
    spare = max(map(len, selves.values()), default=0)
    order = _order(_embed(embedder, asked), _embed(embedder, stored), k + spare, reranking)
    answers = []
    for name, row in zip(asked.ids, order, strict=True):
        own = selves.get(name, ())
        answers.append([stored.ids[place] for place in row if place not in own][:k])
    class_submission.write(out, asked.ids, answers)
    return class_submission.check(out, asked.ids, stored.ids, k)


def check(file: Path, queries: Path, gallery: Path, k: int) -> str:
    """Say that a file answers the queries with `k` gallery images each, or as many as there are.

    What `queries` and `gallery` may be, see `rank`. Raises UserError with all that is wrong.
    """
    asked, stored = _read(queries), _read(gallery)
    most = _most(k, stored, _selves(asked, stored))
    return class_submission.check(file, asked.ids, stored.ids, most)


def find_images(place: Path) -> dict[str, Path]:
    """The image files of a folder, at any depth, by their paths in it; the others are told of.

    A file in place of a folder is taken for an image, by its name. Raises UserError for neither,
    a folder without images, and names that are not in UTF-8.
    """
    if place.is_file():
        folders.require_utf8([place.name], "file names")
        return {place.name: place}
    if not place.is_dir():
        raise UserError(f"{place} is no folder, and no image file")
    inside, others = folders.find_images(place)
    left_out = walk.told(others)
    if not inside:
        more = f"; {left_out}" if left_out else ""
        raise UserError(f"{place} has no images: expected files such as a.jpg or dogs/b.png{more}")
    found = {name: place / name for name in inside}
    folders.require_utf8(found, f"file names in {place}")
    if left_out:
        say(f"{place}: {left_out}")
    return found


def _read(place: Path) -> _Images:
    if place.is_dir() and any(place.glob("images-*.parquet")):
        shards, folder, lock = ImageShards(place), os.path.realpath(place), Lock()

        def encoded(name: str) -> bytes:
            with lock:  # the shards' cache is for one reader at a time
                return shards.encoded(name)

        return _Images(shards.ids, encoded, {name: (folder, name) for name in shards.ids}, {})
    found = find_images(place)
    places = {name: os.path.realpath(path) for name, path in found.items()}
    return _Images(tuple(found), found.__getitem__, places, found)


def _selves(asked: _Images, stored: _Images) -> _Selves:
    """The queries that are in the gallery, too: by id, their places there."""
    there: dict[object, list[int]] = {}
    for place, name in enumerate(stored.ids):
        there.setdefault(stored.places[name], []).append(place)
    return {name: there[own] for name, own in asked.places.items() if own in there}


def _most(k: int, stored: _Images, selves: _Selves) -> int:
    """The length of all lists: `k`, or what the gallery has for the query with fewest answers."""
    fewest = len(stored.ids) - max(map(len, selves.values()), default=0)
    if fewest < 1:
        raise UserError(f"the gallery holds nothing but the query itself: {listed(list(selves))}")
    return min(k, fewest)


def _load(model: Path) -> "ClassEmbedder | Encoder | PairedEncoder":
    """Load a class embedder, or an encoder, whose vectors of images are used."""
    from cir.classes.embedder.embedder import ClassEmbedder
    from cir.encoders.paired import load_encoder

    if (model / ClassEmbedder.SETTINGS).is_file():
        return ClassEmbedder.load(model).eval()
    try:
        return load_encoder(model).eval()
    except UserError as error:
        raise UserError(
            f"{model} holds no class embedder and no encoder: run dvc repro "
            "stages/classes/dvc.yaml:train, which makes models/class_embedder, or name another "
            f"model ({error})"
        ) from error


def _check_all(asked: _Images, stored: _Images) -> None:
    """Decode all files once, so that what is unreadable is named at once and before the work."""
    everything = {str(path): path for each in (asked, stored) for path in each.files.values()}
    if everything:
        image_files.check(everything, os.cpu_count() or 1)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _embed(embedder: "ClassEmbedder | Encoder | PairedEncoder", source: _Images) -> np.ndarray:
    """The vectors [N, D] of the images, of length one, a batch per thread (see
    cir.retrieval.ranking.embedding)."""
    import torch

    from cir.retrieval.ranking.device_batches import DeviceBatches
    from cir.retrieval.ranking.embedding import images_at_once, unit_rows

    encoded = DeviceBatches(embedder)

    def vectors(batch: Sequence[str]) -> np.ndarray:
        decoded = (images.decode(source.encoded(name), name) for name in batch)
        pixels = np.stack([embedder.preprocess(image) for image in decoded])
        with torch.inference_mode():
            return unit_rows(encoded(pixels), batch).cpu().numpy()

    total, threads = len(source.ids), torch.get_num_threads()
    size = images_at_once(embedder.image_size, embedder.device)
    batches = [source.ids[start : start + size] for start in range(0, total, size)]
    workers = min(threads, len(batches))
    share = (threads // workers,)
    try:
        with ThreadPoolExecutor(workers, "embed", torch.set_num_threads, share) as pool:
            found = pool.map(vectors, batches)
            return np.concatenate(list(progress(found, total, "embedding", "images", units_in=len)))
    finally:
        torch.set_num_threads(threads)  # the setting is the whole process's


def _order(
    queries: np.ndarray, gallery: np.ndarray, k: int, reranking: "Settings | None"
) -> np.ndarray:
    """The positions [Q, k] of the first k of the gallery, best first."""
    from cir.retrieval.ranking.ranking import top_k
    from cir.retrieval.refine import GalleryGraph, nearest

    if reranking is None:
        return nearest(queries, gallery, k).indices
    graph = GalleryGraph(gallery, reranking)
    blocks = (queries[start : start + _BLOCK] for start in range(0, len(queries), _BLOCK))
    return np.concatenate([top_k(-graph.distances(block), k) for block in blocks])
