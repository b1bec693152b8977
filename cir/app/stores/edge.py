"""Keep a store in a folder, and search it in this process with Qdrant Edge.

    store.json     the purpose of the store
    shard/         Qdrant's own files

Qdrant Edge is in beta, so its version is pinned and only this file uses it. Only one process may
open a store at a time; use a Qdrant server for several processes.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import qdrant_edge as qdrant

from cir.app.stores import base, records
from cir.app.stores.base import Nearest, Store
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo, safe_text, to_payload
from cir.core import files
from cir.core.errors import UserError

_INFO, _SHARD = "store.json", "shard"
_POINTS = 500  # points that are written at once


class EdgeStore(Store):
    """Implements cir.app.stores.base.Store with a folder.

    While `optimise` builds the graph, no other thread of this process runs, because Qdrant Edge
    keeps Python's lock (about a minute for 100,000 vectors of length 512 on two cores).
    """

    def __init__(self, folder: Path, info: StoreInfo, shard: qdrant.EdgeShard):
        self.info = info
        self._folder = folder
        self._shard = shard
        self._writing = Lock()
        self._closed = False

    @classmethod
    def open(cls, folder: Path, info: StoreInfo | None, moved: bool = False) -> "EdgeStore":
        """Open the store in a folder; create it if `info` is given and it does not exist.

        With `moved`, the images may lie in a new place, which the store notes.

        Raises UserError if the store has another purpose, is in use by another process, is
        broken, is not a store, or does not exist and `info` is None.
        """
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            name = safe_text(str(folder))
            raise UserError(f"the name of a store must be UTF-8; got {name}") from None
        try:
            if folder.is_symlink():  # the store is its target, which may not exist yet
                folder = Path(os.path.realpath(folder))
            if _vacant(folder):
                if info is None:
                    raise base.missing(str(folder))
                if os.path.realpath(folder) == os.path.realpath(Path.cwd()):
                    # A new store is renamed into its place, which must not be this folder.
                    raise UserError(
                        "the current folder cannot become a store: give a folder inside it as "
                        "--store"
                    )
                with files.exclusive(folder):
                    if _vacant(folder):
                        _create(folder, info)
            found = _read_info(folder)
        except OSError as error:
            raise _unusable(folder, error) from None
        held = found if info is None else base.agreed(str(folder), found, info, moved)
        shard = _load(folder, found)  # from here on, no other process has the store open
        if held != found:
            files.write_json(folder / _INFO, records.info_payload(held))
        return cls(folder, held, shard)

    def upsert(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> None:
        vectors = self._check(images, vectors)
        points = [
            qdrant.Point(image.id, vector, to_payload(image))
            for image, vector in zip(images, vectors.tolist(), strict=True)
        ]
        with self._failing(), self._writing:
            for start in range(0, len(points), _POINTS):
                part = points[start : start + _POINTS]
                self._shard.update(qdrant.UpdateOperation.upsert_points(part))

    def update(self, images: Sequence[IndexedImage]) -> None:
        if not images:
            return
        with self._failing(), self._writing:
            there = {str(r.id) for r in self._shard.retrieve([i.id for i in images], False, False)}
            for image in images:
                if image.id in there:
                    overwrite = qdrant.UpdateOperation.overwrite_payload
                    self._shard.update(overwrite([image.id], to_payload(image)))

    def delete(self, ids: Collection[str]) -> None:
        if ids:
            with self._failing(), self._writing:
                self._shard.update(qdrant.UpdateOperation.delete_points(list(ids)))

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        with self._failing():
            found = self._shard.retrieve(list(ids), False, True) if ids else []
        return {str(record.id): np.array(record.vector, np.float32) for record in found}

    def count(self, where: Filter = ANY) -> int:
        with self._failing():
            return self._shard.count(
                qdrant.CountRequest(True, records.to_filter(where, qdrant, qdrant.RangeFloat))
            )

    def note(self, info: StoreInfo) -> None:
        with self._failing(), self._writing:
            files.write_json(self._folder / _INFO, records.info_payload(info))
        self.info = info

    def optimise(self) -> None:
        with self._failing(), self._writing:
            self._shard.optimize()

    def close(self) -> None:
        with self._writing:
            self._closed = True
            self._shard.close()

    def _payloads(self, ids: Sequence[str]) -> dict[str, dict]:
        with self._failing():
            found = self._shard.retrieve(list(ids), True, False)
        return {str(record.id): record.payload for record in found}

    def _page(
        self, start: str | None, size: int, where: Filter
    ) -> tuple[list[tuple[str, dict]], str | None]:
        only = records.to_filter(where, qdrant, qdrant.RangeFloat)
        request = qdrant.ScrollRequest(offset=start, limit=size, filter=only, with_payload=True)
        with self._failing():
            found, after = self._shard.scroll(request)
        page = [(str(record.id), record.payload) for record in found]
        return page, None if after is None else str(after)

    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        with self._failing():
            found = self._shard.facet(qdrant.FacetRequest(key, most, exact=True))
        return [(hit.value, hit.count) for hit in found.hits]

    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        params = qdrant.SearchParams(hnsw_ef=max(most, base.GRAPH_CANDIDATES), exact=exact)
        only = records.to_filter(where, qdrant, qdrant.RangeFloat)
        requests = [
            qdrant.QueryRequest(most, query=qdrant.Query.Nearest(query), filter=only, params=params)
            for query in queries
        ]
        with self._failing():
            found = self._shard.query_batch(qdrant.QueryBatchRequest(requests))
        return [[(str(point.id), point.score) for point in points] for points in found]

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn errors of Qdrant Edge, which have no types of their own, into UserError."""
        try:
            yield
        except (AssertionError, TypeError, UserError):
            raise
        except Exception as error:
            reason = "it was closed" if self._closed else _reason(error)
            raise UserError(f"the store {self._folder} fails: {reason}") from error


def read_info(folder: Path) -> StoreInfo | None:
    """Return the purpose of the store in a folder, which may be in use; None if there is none."""
    try:
        return None if _vacant(folder) else _read_info(folder)
    except OSError as error:
        raise _unusable(folder, error) from None


def _vacant(folder: Path) -> bool:
    """Return whether the folder is missing or empty. Raises UserError for a file."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise UserError(f"a store must be a folder or the address of a server; {folder} is a file")
    return not any(folder.iterdir())


def _create(folder: Path, info: StoreInfo) -> None:
    """Create an empty store, which appears when it is complete."""
    with files.whole_folder(folder) as unfinished:
        shard = qdrant.EdgeShard.create(str(unfinished / _SHARD), _config(info.dim))
        index = qdrant.UpdateOperation.create_field_index
        for key in records.KEYWORDS:
            shard.update(index(key, qdrant.PayloadSchemaType.Keyword))
        for key in records.NUMBERS:
            shard.update(index(key, qdrant.PayloadSchemaType.Float))
        shard.close()
        files.write_json(unfinished / _INFO, records.info_payload(info))


def _config(dim: int) -> qdrant.EdgeConfig:
    kibibytes = base.GRAPH_FROM * dim * 4 // 1024  # the unit of the thresholds
    return qdrant.EdgeConfig(
        vectors=qdrant.EdgeVectorParams(size=dim, distance=qdrant.Distance.Cosine),
        hnsw_config=qdrant.HnswIndexConfig(
            m=base.GRAPH_EDGES,
            ef_construct=base.GRAPH_CANDIDATES,
            full_scan_threshold=kibibytes,
        ),
        optimizers=qdrant.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=kibibytes
        ),
    )


def _read_info(folder: Path) -> StoreInfo:
    if not (folder / _INFO).is_file():
        names = ", ".join(sorted(safe_text(path.name) for path in folder.iterdir())[:3])
        raise UserError(
            f"{folder} is not a store: it contains {names} but no {_INFO}; "
            "give a new or an empty folder as --store"
        )
    info = records.to_info(files.read_json(folder / _INFO))
    if info is None:
        raise _broken(folder, f"{_INFO} does not give its model and source")
    return info


def _load(folder: Path, info: StoreInfo) -> qdrant.EdgeShard:
    if not (folder / _SHARD / "edge_config.json").is_file():
        raise _broken(folder, f"{_SHARD}/edge_config.json is missing")
    try:
        shard = qdrant.EdgeShard.load(str(folder / _SHARD))
        # This search fails now, not later, if the vectors do not have the length in store.json.
        shard.query(qdrant.QueryRequest(1, query=qdrant.Query.Nearest([1.0] * info.dim)))
        return shard
    except Exception as error:
        if "WouldBlock" in str(error):
            raise UserError(
                f"the store {folder} is in use by another process: stop that process, or keep the "
                "images in a Qdrant server, which several processes may use (--store http://...)"
            ) from None
        raise _broken(folder, _reason(error)) from error


def _unusable(folder: Path, error: OSError) -> UserError:
    return UserError(f"a store cannot be opened or created at {folder}: {error.strerror}")


def _broken(folder: Path, reason: str) -> UserError:
    return UserError(
        f"the store {folder} is broken ({reason}): remove the folder and index the images again"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("Service runtime error: ")
