"""Keep a store in a Qdrant server, for several processes and for very many images.

The metadata of the collection give the purpose of the store; Qdrant has them since version 1.16.
"""

import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException

from cir.app.stores import base, records
from cir.app.stores.base import Nearest, Store
from cir.app.stores.capacity import Capacity, capacity, quantisation, shards_and_copies
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo, to_payload
from cir.core.errors import UserError

COLLECTION = "images"

_METADATA = "cir"
_POINTS = 256  # points in one request: 5 MB of JSON for vectors of length 1,024
_AT_ONCE = 4  # requests that write points; the next one waits until one of them is done
_TRIES = 6  # of a request that the server is too busy for
_SECONDS = 60  # to wait for an answer
# The client raises ValueError for collections in memory and for answers that are not Qdrant's.
_ERRORS = (ApiException, QdrantException, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)

# The client's memory mode, which the tests use, warns each time that it has no indexes.
warnings.filterwarnings("ignore", message="Payload indexes have no effect")
warnings.filterwarnings("ignore", message="Local mode performs exact")


def connect(url: str, key: str | None = None) -> QdrantClient:
    """Return a client of the server at an address, without a request to the server.

    An address without a port stands for HTTPS's own port, or for Qdrant's with HTTP.
    """
    port = _usual_port(url)
    more = {"timeout": _SECONDS, "check_compatibility": False}
    try:
        return QdrantClient(url=url, port=port, api_key=key, **more)
    except _ERRORS as error:
        raise UserError(f"{url} is not the address of a Qdrant server: {_reason(error)}") from error


def _usual_port(url: str) -> int:
    return 443 if url.startswith("https://") else 6333


class ServerStore(Store):
    """Implements cir.app.stores.base.Store with a collection of a Qdrant server.

    Every write waits until the server has carried it out. The server builds its graph by itself.
    As the collection grows, its vectors are quantised and move to disk: see `capacity`.
    """

    def __init__(self, client: QdrantClient, collection: str, info: StoreInfo, place: str):
        self.info = info
        self._client = client
        self._collection = collection
        self._place = place
        self._closed = False
        self._held = 0  # points, as far as is known; other processes may write as well
        self._asked_for: Capacity | None = None  # of the server, by this process

    @classmethod
    def open(
        cls,
        client: QdrantClient,
        collection: str,
        info: StoreInfo | None,
        place: str,
        moved: bool = False,
    ) -> "ServerStore":
        """Open the store in a collection; create it if `info` is given and it does not exist.

        With `moved`, the images may lie in a new place, which the store notes. Error messages call
        the store `place`. Raises UserError if the server cannot be reached or is older than 1.16,
        or if the collection has another purpose, was made by another program, or does not exist
        and `info` is None.
        """
        with _failing(place):
            _require_version(client, place)
            if not client.collection_exists(collection):
                if info is None:
                    raise base.missing(place)
                _create(client, collection, info)
            found = _read_info(client, collection, place)
        held = found if info is None else base.agreed(place, found, info, moved)
        with _failing(place):
            _index_fields(client, collection)
            if held != found:
                written = {_METADATA: records.info_payload(held)}
                client.update_collection(collection, metadata=written)
        store = cls(client, collection, held, place)
        store._held = store.count()
        return store

    def upsert(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> None:
        """Write images with their vectors, in several requests at a time if there are many."""
        vectors = self._check(images, vectors)

        def write(start: int) -> None:
            part = slice(start, start + _POINTS)
            batch = models.Batch(
                ids=[image.id for image in images[part]],
                vectors=vectors[part].tolist(),
                payloads=[to_payload(image) for image in images[part]],
            )
            self._patiently(lambda: self._client.upsert(self._collection, batch, wait=True))

        starts = range(0, len(images), _POINTS)
        if len(starts) < 2:
            for start in starts:
                write(start)
        else:
            with ThreadPoolExecutor(_AT_ONCE, "write") as pool:
                list(pool.map(write, starts))
        self._held += len(images)
        self._fit()

    def _patiently(self, request: Callable[[], object]) -> None:
        """Make a request, and make it again after the time that a busy server asks for."""
        with self._failing():
            for _ in range(_TRIES - 1):
                try:
                    request()
                    return
                except ResourceExhaustedResponse as busy:
                    time.sleep(max(1, busy.retry_after_s))
            request()

    @property
    def _capacity(self) -> Capacity:
        return capacity(self._held, self.info.dim)

    def _fit(self) -> None:
        """Have the server keep a collection that has grown in another way, beside the searches.

        A form that someone has given to a small collection stays.
        """
        chosen = self._capacity
        if chosen.quantisation == "none" or chosen == self._asked_for:
            return
        with self._failing():
            self._client.update_collection(
                self._collection,
                vectors_config={"": models.VectorParamsDiff(on_disk=chosen.on_disk)},
                quantization_config=quantisation(chosen),
            )
        self._asked_for = chosen

    def update(self, images: Sequence[IndexedImage]) -> None:
        for start in range(0, len(images), _POINTS):
            part = images[start : start + _POINTS]
            there = self._payloads([image.id for image in part])
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=to_payload(image), points=[image.id]
                    )
                )
                for image in part
                if image.id in there
            ]
            if operations:
                with self._failing():
                    self._client.batch_update_points(self._collection, operations, wait=True)

    def delete(self, ids: Collection[str]) -> None:
        if ids:
            with self._failing():
                points = models.PointIdsList(points=list(ids))
                self._client.delete(self._collection, points, wait=True)

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        if not ids:
            return {}
        with self._failing():
            found = self._client.retrieve(
                self._collection, list(ids), with_payload=False, with_vectors=True
            )
        return {str(record.id): np.array(record.vector, np.float32) for record in found}

    def count(self, where: Filter = ANY) -> int:
        with self._failing():
            return self._client.count(
                self._collection, records.to_filter(where, models, models.Range), exact=True
            ).count

    def note(self, info: StoreInfo) -> None:
        with self._failing():
            written = {_METADATA: records.info_payload(info)}
            self._client.update_collection(self._collection, metadata=written)
        self.info = info

    def optimise(self) -> None:
        """Adapt the collection to its size; the server builds its graph as points come in."""
        self._held = self.count()
        self._fit()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close()

    def _payloads(self, ids: Sequence[str]) -> dict[str, dict]:
        with self._failing():
            found = self._client.retrieve(self._collection, list(ids), with_payload=True)
        return {str(record.id): record.payload for record in found}

    def _page(
        self, start: str | None, size: int, where: Filter
    ) -> tuple[list[tuple[str, dict]], str | None]:
        only = records.to_filter(where, models, models.Range)
        with self._failing():
            found, after = self._client.scroll(
                self._collection, scroll_filter=only, offset=start, limit=size
            )
        page = [(str(record.id), record.payload) for record in found]
        return page, None if after is None else str(after)

    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        with self._failing():
            found = self._client.facet(self._collection, key, limit=most, exact=True)
        return [(hit.value, hit.count) for hit in found.hits]

    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        params = models.SearchParams(
            hnsw_ef=max(most, base.GRAPH_CANDIDATES),
            exact=exact,
            quantization=models.QuantizationSearchParams(
                ignore=exact, rescore=True, oversampling=self._capacity.oversampling
            ),
        )
        only = records.to_filter(where, models, models.Range)
        requests = [
            models.QueryRequest(
                query=query.tolist(), limit=most, filter=only, params=params, with_payload=False
            )
            for query in queries
        ]
        with self._failing():
            found = self._client.query_batch_points(self._collection, requests)
        return [[(str(point.id), point.score) for point in one.points] for one in found]

    @contextmanager
    def _failing(self) -> Iterator[None]:
        if self._closed:
            raise UserError(f"the store {self._place} fails: it was closed")
        with _failing(self._place):
            yield


@contextmanager
def _failing(place: str) -> Iterator[None]:
    """Turn errors of the client and of the connection into UserError."""
    try:
        yield
    except _ERRORS as error:
        cause = getattr(error, "source", error)  # the client wraps errors of the connection
        if isinstance(cause, (httpx.TransportError, OSError)):
            port = "" if urlsplit(place).port else f", port {_usual_port(place)}"
            raise UserError(
                f"no Qdrant server answers at {place}{port} ({_reason(error)}): start it, or give "
                "a folder as --store, which needs no server"
            ) from error
        raise UserError(f"the store {place} fails: {_reason(error)}") from error


def _require_version(client: QdrantClient, place: str) -> None:
    version = client.info().version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < (1, 16):
        raise UserError(
            f"the Qdrant server at {place} must have version 1.16 or later; it has {version}"
        )


def _create(client: QdrantClient, collection: str, info: StoreInfo) -> None:
    kibibytes = base.GRAPH_FROM * info.dim * 4 // 1024  # the unit of the thresholds
    shards, copies = shards_and_copies(_nodes(client))
    client.create_collection(
        collection,
        vectors_config=models.VectorParams(size=info.dim, distance=models.Distance.COSINE),
        hnsw_config=models.HnswConfigDiff(
            m=base.GRAPH_EDGES,
            ef_construct=base.GRAPH_CANDIDATES,
            full_scan_threshold=kibibytes,
        ),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=kibibytes),
        metadata={_METADATA: records.info_payload(info)},
        shard_number=shards,
        replication_factor=copies,
    )


def _nodes(client: QdrantClient) -> int:
    """Return the number of nodes of the server's cluster, 1 if it is none."""
    try:
        status = client.cluster_status()
    except NotImplementedError:  # the client's memory mode
        return 1
    return max(1, len(getattr(status, "peers", None) or ()))


def _index_fields(client: QdrantClient, collection: str) -> None:
    """Index the fields of filters that a killed process may have left without an index."""
    kinds = dict.fromkeys(records.KEYWORDS, models.PayloadSchemaType.KEYWORD)
    kinds |= dict.fromkeys(records.NUMBERS, models.PayloadSchemaType.FLOAT)
    there = client.get_collection(collection).payload_schema or {}
    for key, kind in kinds.items():
        if key not in there:
            client.create_payload_index(collection, key, kind, wait=True)


def read_info(client: QdrantClient, collection: str, place: str) -> StoreInfo | None:
    """Return the purpose of the store in a collection, or None if there is none."""
    with _failing(place):
        _require_version(client, place)
        there = client.collection_exists(collection)
        return _read_info(client, collection, place) if there else None


def _read_info(client: QdrantClient, collection: str, place: str) -> StoreInfo:
    metadata = client.get_collection(collection).config.metadata or {}
    info = records.to_info(metadata.get(_METADATA))
    if info is None:
        raise UserError(
            f"the collection {collection} at {place} was not made by this project: give another "
            "name after the address (--store URL#COLLECTION)"
        )
    return info


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
