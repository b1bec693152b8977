"""Embed a gallery into vectors on disk, shard by shard and resumable, and read it back.

vectors-00000.npy ...   float32 [images of the shard, D], L2-normalised
ids-00000.json ...      the ids of the rows
info.json               the fingerprint of the model, and the counts
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.core import files
from cir.core.device import in_threads
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.images import decoding as images
from cir.images.shards import Shard
from cir.retrieval.ranking import over_ray
from cir.retrieval.ranking.device_batches import DeviceBatches
from cir.retrieval.ranking.mapped import MappedVectors, Vectors
from cir.retrieval.ranking.shared_storage import SharedStorage

_MOST_AT_ONCE, _PIXELS_AT_ONCE = 64, 300_000
_ROWS = 8192  # vectors that are checked at once
_Part = tuple[Shard, Path]  # a file of images, and that for their vectors
_Batch = tuple[_Part, list[tuple[str, bytes]]]  # with (id, encoded image)


class ImageEncoder(Protocol):
    """The methods of an encoder that embedding needs; the encoders are in `cir.encoders`."""

    device: torch.device
    image_size: tuple[int, int]

    def fingerprint(self) -> str:
        """Return a digest of the model."""

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into uint8 [3, S, S]."""

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [B, 3, S, S] into features [B, D], not normalised."""


@dataclass(frozen=True)
class Embeddings:
    """The vectors of a gallery: row i of `vectors` [N, D] is the image `ids[i]`.

    `vectors` are float32 and L2-normalised; `fingerprint` is the digest of their model.
    """

    ids: tuple[str, ...]
    vectors: Vectors
    fingerprint: str

    @classmethod
    def load(cls, folder: Path, fingerprint: str, mapped: bool = False) -> "Embeddings":
        """Read a folder that `embed` wrote with the model of this fingerprint.

        If `mapped`, the vectors stay on disk: `rank` takes them from there, a block at a time, so
        that the gallery may be larger than memory.

        Raises UserError for vectors of another model, a repeated id, and vectors that are missing,
        do not match their ids in number, are not finite or not of length one.
        """
        info = files.read_json(folder / "info.json")
        if info["fingerprint"] != fingerprint:
            raise UserError(
                f"{folder} holds vectors of the model {info['fingerprint']}, and the queries come "
                f"from the model {fingerprint}: embed them again"
            )
        ids: list[str] = []
        vectors: list[np.ndarray] = []
        for number in range(info["shards"]):
            shard = files.read_json(folder / f"ids-{number:05d}.json")
            vectors.append(_read_vectors(folder / f"vectors-{number:05d}.npy", shard, mapped))
            ids.extend(shard)
        if len(set(ids)) != len(ids):
            seen: set[str] = set()
            twice = next(name for name in ids if name in seen or seen.add(name))
            raise UserError(f"{folder} holds the image {twice} twice")
        joined = MappedVectors(vectors) if mapped else np.concatenate(vectors)
        return cls(tuple(ids), joined, fingerprint)


def embed(
    encoder: ImageEncoder,
    shards: Sequence[Shard],
    folder: Path,
    work: Path,
    batch_size: int = 64,
    workers: int = 0,
    what: str = "the gallery",
) -> None:
    """Embed every image of the shards into `folder`, which appears whole at the end.

    Finished shards wait in `work`, under the fingerprint of the model and of the shard, so a
    stopped run resumes there. `workers` threads decode batches and encode them (0: as many threads
    as torch computes with; on a GPU see DeviceBatches). On a processor they share a batch, so that
    memory holds the layers of about one, and the vectors of one shard. `what` names the images in
    the progress line. Raises UserError for an image that cannot be decoded or whose vector has no
    direction.
    """
    assert batch_size > 0
    if not any(shard.ids for shard in shards):
        raise UserError(f"there are no images to embed: {what} is empty")
    model = encoder.fingerprint()
    parts = [work / f"{files.fingerprint(model, shard.path)}.npy" for shard in shards]
    todo = [(s, part) for s, part in zip(shards, parts, strict=True) if not part.is_file()]
    done = sum(len(s.ids) for s in shards) - sum(len(s.ids) for s, _ in todo)
    if done:
        say(f"{done:,} images were embedded before, by the same model; going on from there")
    share = _share_of_a_batch(encoder, batch_size, workers)
    shown = progress(
        _embedded_on_ray(encoder, todo, share, workers, lambda text: shown.note(text))
        if over_ray.asked()
        else _embedded(encoder, todo, share, workers),
        sum(len(s.ids) for s, _ in todo),
        f"embedding {what}",
        "images",
        units_in=int,
    )
    for _ in shown:
        pass
    _assemble(shards, parts, folder, model)
    for part in parts:
        part.unlink(missing_ok=True)


def images_at_once(image_size: tuple[int, int], device: torch.device) -> int:
    """Return the number of images of a size in pixels to encode at once for the least time each.

    On a processor, the layers of a larger batch take memory that the system maps anew each time.
    """
    height, width = image_size
    pixels = _PIXELS_AT_ONCE if device.type == "cpu" else _MOST_AT_ONCE * height * width
    return max(1, min(_MOST_AT_ONCE, pixels // (height * width)))


def unit_rows(features: torch.Tensor, ids: Sequence[str]) -> torch.Tensor:
    """Scale the rows of `features` [N, D] to length one, float32.

    Raises UserError that names the first image whose row is not finite or all zeros.
    """
    features = features.float()
    lengths = features.norm(dim=1)
    bad = ~lengths.isfinite() | (lengths == 0)
    if bad.any():
        raise UserError(
            f"the encoder gives {int(bad.sum())} vectors without a direction (all zeros, or not "
            f"finite), the first for the image {ids[int(bad.nonzero()[0])]}"
        )
    return functional.normalize(features, dim=1)


def _share_of_a_batch(encoder: ImageEncoder, batch_size: int, workers: int) -> int:
    """Return the number of images that a thread encodes at once.

    On a processor the threads compute side by side. Each takes its share of the batch, so that
    more cores do not need more memory, but not less than is encoded in the least time per image.
    """
    if encoder.device.type != "cpu":
        return batch_size
    share = -(-batch_size // (workers or torch.get_num_threads()))
    return min(batch_size, max(share, images_at_once(encoder.image_size, encoder.device)))


def _embedded(
    encoder: ImageEncoder, todo: Iterable[_Part], batch_size: int, workers: int
) -> Iterator[int]:
    """Write the part of every shard, and yield the number of images of every batch."""
    encoded = DeviceBatches(encoder)

    def vectors(batch: _Batch) -> tuple[_Part, np.ndarray]:
        part, rows = batch
        pixels = np.stack([encoder.preprocess(images.decode(data, name)) for name, data in rows])
        with torch.inference_mode():
            return part, unit_rows(encoded(pixels), [name for name, _ in rows]).cpu().numpy()

    of_shard: list[np.ndarray] = []
    for (shard, path), rows in in_threads(vectors, _batches(todo, batch_size), workers):
        of_shard.append(rows)
        if sum(map(len, of_shard)) == len(shard.ids):
            with files.whole_file(path) as unfinished:
                np.save(unfinished, np.concatenate(of_shard))
            of_shard = []
        yield len(rows)


def _batches(todo: Iterable[_Part], batch_size: int) -> Iterator[_Batch]:
    """Yield batches of encoded images with their part; no batch holds images of two shards."""
    for part in todo:
        encoded = part[0].encoded()
        while batch := list(islice(encoded, batch_size)):
            yield part, batch


def _embedded_on_ray(
    encoder: ImageEncoder,
    todo: Sequence[_Part],
    batch_size: int,
    workers: int,
    note: Callable[[str], None],
) -> Iterator[int]:
    """Do the same on the nodes of a Ray cluster, and yield the number of images of every shard.

    An actor computes as one thread of this process would, so that its vectors are the same bits.
    Images and vectors lie in folders that all nodes see, or travel through the storage that
    CIR_SHARED names. Raises UserError at the end, for all shards with an image that cannot be
    embedded.
    """
    threads = torch.get_num_threads()
    storage = SharedStorage.asked()
    parts = [(replace(shard, path=shard.path.absolute()), path.absolute()) for shard, path in todo]
    if storage is not None:
        for shard, _ in _finished_in(storage, parts):
            yield len(shard.ids)
        parts = [(shard, path) for shard, path in parts if not path.is_file()]
    work = over_ray.Work(
        partial(_embed_shard, batch_size, storage),
        lambda part: str(part[0].path),
        encoder,
        on_gpu=encoder.device.type == "cuda",
        threads=max(1, threads // (workers or threads)),
        shared=parts[0][1].parent if parts and storage is None else None,
    )
    items = parts if storage is None else _sent_to(storage, parts)
    failed: dict[int, UserError] = {}
    for number, answer in over_ray.results(work, items, note) if parts else ():
        shard, path = parts[number]
        if isinstance(answer, UserError):
            failed[number] = answer
        if storage is not None:
            if number not in failed:
                storage.get(path.name, path)
            _clear(storage, path)
        if number not in failed:
            yield len(shard.ids)
    if failed:
        told = listed([failed[number] for number in sorted(failed)], "; ")
        raise UserError(
            f"{len(failed)} of {len(parts)} shards could not be embedded: {told}. "
            "The others are kept, and the next run does what is missing"
        )


def _finished_in(storage: SharedStorage, parts: Iterable[_Part]) -> Iterator[_Part]:
    """Fetch the vectors that a stopped run has left in the storage, and yield their parts."""
    for part in parts:
        path = part[1]
        if storage.has(path.name):
            storage.get(path.name, path)
            _clear(storage, path)
            yield part


def _sent_to(storage: SharedStorage, parts: Iterable[_Part]) -> Iterator[_Part]:
    """Copy the images of every part to the storage, when an actor is about to take it."""
    for shard, path in parts:
        storage.put(shard.path, f"{path.stem}.parquet")
        yield shard, path


def _clear(storage: SharedStorage, path: Path) -> None:
    """Remove what lies in the storage for a part: its images and its vectors."""
    for name in (path.name, f"{path.stem}.parquet"):
        storage.remove(name)


def _embed_shard(
    batch_size: int, storage: SharedStorage | None, encoder: ImageEncoder, part: _Part
) -> None:
    """Embed a shard on a node; raises UserError if another file lies there at the shard's path."""
    shard, path = part
    if storage is not None:
        with TemporaryDirectory() as folder:
            images_here, vectors_here = Path(folder, shard.path.name), Path(folder, path.name)
            storage.get(f"{path.stem}.parquet", images_here)
            here = replace(shard, path=images_here), vectors_here
            _embed_shard(batch_size, None, encoder, here)
            storage.put(vectors_here, path.name)
        return
    if files.fingerprint(encoder.fingerprint(), shard.path) != path.stem:
        raise UserError(
            f"a node has another file at {shard.path}: the images have to lie on storage that all "
            "nodes share, at the same path"
        )
    workers = 0 if encoder.device.type == "cuda" else 1
    for _ in _embedded(encoder, [part], batch_size, workers):
        pass


def _assemble(shards: Sequence[Shard], parts: Sequence[Path], folder: Path, model: str) -> None:
    dim = 0
    with files.whole_folder(folder) as unfinished:
        for number, (shard, part) in enumerate(zip(shards, parts, strict=True)):
            dim = _read_vectors(part, shard.ids).shape[1]
            shutil.copyfile(part, unfinished / f"vectors-{number:05d}.npy")
            files.write_json(unfinished / f"ids-{number:05d}.json", list(shard.ids))
        info = {
            "fingerprint": model,
            "images": sum(len(shard.ids) for shard in shards),
            "dim": dim,
            "shards": len(shards),
        }
        files.write_json(unfinished / "info.json", info)


def _read_vectors(path: Path, ids: Sequence[str], mapped: bool = False) -> np.ndarray:
    try:
        vectors = np.load(path, "r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a file of vectors: {error}") from None
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(ids):
        raise UserError(
            f"{path} should hold float32 vectors for {len(ids)} images, "
            f"and holds {vectors.dtype} of shape {vectors.shape}"
        )
    # A file may be larger than memory, and numpy copies what it measures.
    parts = (vectors[start : start + _ROWS] for start in range(0, len(vectors), _ROWS))
    lengths = np.concatenate([np.zeros(0), *(np.linalg.norm(part, axis=1) for part in parts)])
    wrong = ~(np.abs(lengths - 1) < 1e-3)  # so that NaN counts as wrong
    if wrong.any():
        raise UserError(
            f"{path} holds {wrong.sum()} vectors that are not finite or not of length one, "
            f"the first for the image {ids[int(wrong.argmax())]}"
        )
    return vectors
