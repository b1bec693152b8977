"""A store in a folder, searched in this process: Qdrant Edge.

    store.json     what the store is for
    shard/         Qdrant's own files

Its Python package is in beta and pinned; all of it that is used is in this file. One process may
open a store at a time: more of them want a server.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import qdrant_edge as qdrant

from cir.app.stores.base import (
    GRAPH_CANDIDATES,
    GRAPH_EDGES,
    GRAPH_FROM,
    Nearest,
    Store,
    missing,
    require,
)
from cir.app.stores.payload import (
    KEYWORDS,
    NUMBERS,
    Equals,
    conditions,
    info_payload,
    to_info,
    to_payload,
)
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo, safe_text
from cir.core import files
from cir.core.errors import UserError

_INFO, _SHARD = "store.json", "shard"
_POINTS = 500  # written at once


class EdgeStore(Store):
    """See cir.app.stores.base.Store.

    While `optimise` builds the graph, no other thread of this process runs: Qdrant Edge keeps
    Python's lock (about a minute for 100,000 vectors of length 512 on two cores).
    """

    def __init__(self, folder: Path, info: StoreInfo, shard: qdrant.EdgeShard):
        self.info = info
        self._folder = folder
        self._shard = shard
        self._writing = Lock()
        self._closed = False

    @classmethod
    def open(cls, folder: Path, info: StoreInfo | None) -> "EdgeStore":
        """Open the store of a folder; with `info`, make it if it is not there.

        Raises UserError if it is there for something else, in use by another process, broken or
        no store, or, without `info`, not there.
        """
        _require_utf8(folder)
        try:
            if folder.is_symlink():  # the folder it leads to is the store, be it there or not
                folder = Path(os.path.realpath(folder))
            if _vacant(folder):
                if info is None:
                    raise missing(str(folder))
                _require_other_than_current(folder)
                with files.exclusive(folder):
                    if _vacant(folder):
                        _create(folder, info)
            found = _read_info(folder)
        except OSError as error:
            raise UserError(f"there can be no store at {folder}: {error.strerror}") from None
        if info is not None:
            require(str(folder), found, info)
        return cls(folder, found, _load(folder, found))

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
            return self._shard.count(qdrant.CountRequest(True, _filter(where)))

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

    def _page(self, start: str | None, size: int) -> tuple[list[tuple[str, dict]], str | None]:
        request = qdrant.ScrollRequest(offset=start, limit=size, with_payload=True)
        with self._failing():
            records, after = self._shard.scroll(request)
        page = [(str(record.id), record.payload) for record in records]
        return page, None if after is None else str(after)

    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        with self._failing():
            found = self._shard.facet(qdrant.FacetRequest(key, most, exact=True))
        return [(hit.value, hit.count) for hit in found.hits]

    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        params = qdrant.SearchParams(hnsw_ef=max(most, GRAPH_CANDIDATES), exact=exact)
        only = _filter(where)
        requests = [
            qdrant.QueryRequest(most, query=qdrant.Query.Nearest(query), filter=only, params=params)
            for query in queries
        ]
        with self._failing():
            found = self._shard.query_batch(qdrant.QueryBatchRequest(requests))
        return [[(str(point.id), point.score) for point in points] for points in found]

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Tell in a sentence what Qdrant Edge, whose errors have no types, does not do."""
        try:
            yield
        except (AssertionError, TypeError, UserError):
            raise
        except Exception as error:
            reason = "it was closed" if self._closed else _reason(error)
            raise UserError(f"the store {self._folder} fails: {reason}") from error


def _require_utf8(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the name of a store has to be UTF-8, not {safe_text(str(folder))}"
        ) from None


def _require_other_than_current(folder: Path) -> None:
    """A store appears by a new name: the folder that one stands in cannot become one."""
    if os.path.realpath(folder) == os.path.realpath(Path.cwd()):
        raise UserError("the current folder cannot become a store: name one in it as --store")


def _vacant(folder: Path) -> bool:
    """Whether there is nothing, or an empty folder. Raises UserError for a file."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: a store is a folder, or the address of a server")
    return not any(folder.iterdir())


def _create(folder: Path, info: StoreInfo) -> None:
    """Make an empty store, which appears whole."""
    with files.whole_folder(folder) as unfinished:
        shard = qdrant.EdgeShard.create(str(unfinished / _SHARD), _config(info.dim))
        index = qdrant.UpdateOperation.create_field_index
        for key in KEYWORDS:
            shard.update(index(key, qdrant.PayloadSchemaType.Keyword))
        for key in NUMBERS:
            shard.update(index(key, qdrant.PayloadSchemaType.Float))
        shard.close()
        files.write_json(unfinished / _INFO, info_payload(info))


def _config(dim: int) -> qdrant.EdgeConfig:
    kibibytes = GRAPH_FROM * dim * 4 // 1024  # the unit of these thresholds
    return qdrant.EdgeConfig(
        vectors=qdrant.EdgeVectorParams(size=dim, distance=qdrant.Distance.Cosine),
        hnsw_config=qdrant.HnswIndexConfig(
            m=GRAPH_EDGES, ef_construct=GRAPH_CANDIDATES, full_scan_threshold=kibibytes
        ),
        optimizers=qdrant.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=kibibytes
        ),
    )


def _read_info(folder: Path) -> StoreInfo:
    if not (folder / _INFO).is_file():
        names = sorted(path.name for path in folder.iterdir())[:3]
        raise UserError(
            f"{folder} is no store: it holds {', '.join(map(safe_text, names))} and no {_INFO}; "
            "give a new or an empty folder as --store"
        )
    info = to_info(files.read_json(folder / _INFO))
    if info is None:
        raise _broken(folder, f"{_INFO} does not say what the store is for")
    return info


def _load(folder: Path, info: StoreInfo) -> qdrant.EdgeShard:
    if not (folder / _SHARD / "edge_config.json").is_file():
        raise _broken(folder, f"{_SHARD}/edge_config.json is missing")
    try:
        shard = qdrant.EdgeShard.load(str(folder / _SHARD))
        # A search fails here, and not later, if the vectors have another length than promised.
        shard.query(qdrant.QueryRequest(1, query=qdrant.Query.Nearest([1.0] * info.dim)))
        return shard
    except Exception as error:
        if "WouldBlock" in str(error):
            raise UserError(
                f"the store {folder} is in use by another process: stop that one, or keep the "
                "images in a Qdrant server, which many may use (--store http://...)"
            ) from None
        raise _broken(folder, _reason(error)) from error


def _broken(folder: Path, reason: str) -> UserError:
    return UserError(
        f"the store {folder} is broken ({reason}): remove the folder and index the images again"
    )


def _filter(where: Filter) -> qdrant.Filter | None:
    must = [
        qdrant.FieldCondition(wanted.key, match=qdrant.MatchValue(wanted.value))
        if isinstance(wanted, Equals)
        else qdrant.FieldCondition(
            wanted.key,
            range=qdrant.RangeFloat(gte=wanted.least, lte=wanted.most, lt=wanted.below),
        )
        for wanted in conditions(where)
    ]
    return qdrant.Filter(must=must) if must else None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("Service runtime error: ")
