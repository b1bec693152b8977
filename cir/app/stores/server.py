"""A store in a Qdrant server, for several processes and for more images than one machine holds.

What the store is for is the metadata of its collection, which Qdrant has since version 1.16.
"""

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

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
from cir.app.stores.records import ANY, Filter, IndexedImage, StoreInfo
from cir.core.errors import UserError

COLLECTION = "images"

_OLDEST = (1, 16)
_METADATA = "cir"
_POINTS = 256  # in one request: 5 MB as JSON at a length of 1,024
_SECONDS = 60  # for one answer
# ValueError: the client's own, about collections in memory and answers that are none of Qdrant's.
_ERRORS = (ApiException, QdrantException, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)

# The client's memory mode, which tests use, has no indexes and says so each time.
warnings.filterwarnings("ignore", message="Payload indexes have no effect")
warnings.filterwarnings("ignore", message="Local mode performs exact")


def connect(url: str, key: str | None = None) -> QdrantClient:
    """A client of the server at an address; whether it answers shows when it is asked."""
    try:
        return QdrantClient(url=url, api_key=key, timeout=_SECONDS, check_compatibility=False)
    except _ERRORS as error:
        raise UserError(f"{url} is no address of a Qdrant server: {_reason(error)}") from error


class ServerStore(Store):
    """See cir.app.stores.base.Store. A server builds its graph by itself, so `optimise` does
    nothing.

    Every write waits until the server has carried it out.
    """

    def __init__(self, client: QdrantClient, collection: str, info: StoreInfo, place: str):
        self.info = info
        self._client = client
        self._collection = collection
        self._place = place
        self._closed = False

    @classmethod
    def open(
        cls, client: QdrantClient, collection: str, info: StoreInfo | None, place: str
    ) -> "ServerStore":
        """Open the store in a collection; with `info`, make it if it is not there.

        `place` is what to call it in sentences. Raises UserError for a server that cannot be
        reached or is older than 1.16, and for a collection that is there for something else, was
        not made here, or, without `info`, is not there.
        """
        with _failing(place):
            _require_version(client, place)
            if not client.collection_exists(collection):
                if info is None:
                    raise missing(place)
                _create(client, collection, info)
            found = _read_info(client, collection, place)
        if info is not None:
            require(place, found, info)
        with _failing(place):
            _index_fields(client, collection)
        return cls(client, collection, found, place)

    def upsert(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> None:
        vectors = self._check(images, vectors)
        for start in range(0, len(images), _POINTS):
            part = slice(start, start + _POINTS)
            batch = models.Batch(
                ids=[image.id for image in images[part]],
                vectors=vectors[part].tolist(),
                payloads=[to_payload(image) for image in images[part]],
            )
            with self._failing():
                self._client.upsert(self._collection, batch, wait=True)

    def update(self, images: Sequence[IndexedImage]) -> None:
        for start in range(0, len(images), _POINTS):
            there = self._there([image.id for image in images[start : start + _POINTS]])
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=to_payload(image), points=[image.id]
                    )
                )
                for image in images[start : start + _POINTS]
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
            return self._client.count(self._collection, _filter(where), exact=True).count

    def optimise(self) -> None:
        """Nothing: the server builds its graph as points come in."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close()

    def _there(self, ids: Sequence[str]) -> set[str]:
        with self._failing():
            found = self._client.retrieve(self._collection, list(ids), with_payload=False)
        return {str(record.id) for record in found}

    def _payloads(self, ids: Sequence[str]) -> dict[str, dict]:
        with self._failing():
            found = self._client.retrieve(self._collection, list(ids), with_payload=True)
        return {str(record.id): record.payload for record in found}

    def _page(self, start: str | None, size: int) -> tuple[list[tuple[str, dict]], str | None]:
        with self._failing():
            records, after = self._client.scroll(self._collection, offset=start, limit=size)
        page = [(str(record.id), record.payload) for record in records]
        return page, None if after is None else str(after)

    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        with self._failing():
            found = self._client.facet(self._collection, key, limit=most, exact=True)
        return [(hit.value, hit.count) for hit in found.hits]

    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        params = models.SearchParams(hnsw_ef=max(most, GRAPH_CANDIDATES), exact=exact)
        only = _filter(where)
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
    """Tell in a sentence what the server does not do."""
    try:
        yield
    except (httpx.TransportError, OSError) as error:
        raise _unreachable(place, error) from error
    except _ERRORS as error:
        if _is_transport(error):
            raise _unreachable(place, error) from error
        raise UserError(f"the store {place} fails: {_reason(error)}") from error


def _unreachable(place: str, error: Exception) -> UserError:
    return UserError(
        f"no Qdrant server answers at {place} ({_reason(error)}): start it, or give a folder "
        "as --store, which needs none"
    )


def _is_transport(error: Exception) -> bool:
    """The client wraps what went wrong on the way in an exception of its own."""
    source = getattr(error, "source", None)
    return isinstance(source, (httpx.TransportError, OSError))


def _require_version(client: QdrantClient, place: str) -> None:
    with _failing(place):
        version = client.info().version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _OLDEST:
        least = ".".join(map(str, _OLDEST))
        raise UserError(f"the Qdrant server at {place} has version {version}; {least} is needed")


def _create(client: QdrantClient, collection: str, info: StoreInfo) -> None:
    kibibytes = GRAPH_FROM * info.dim * 4 // 1024  # the unit of these thresholds
    client.create_collection(
        collection,
        vectors_config=models.VectorParams(size=info.dim, distance=models.Distance.COSINE),
        hnsw_config=models.HnswConfigDiff(
            m=GRAPH_EDGES, ef_construct=GRAPH_CANDIDATES, full_scan_threshold=kibibytes
        ),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=kibibytes),
        metadata={_METADATA: info_payload(info)},
    )


def _index_fields(client: QdrantClient, collection: str) -> None:
    """Index what filters ask for; again at each opening, as the last maker may have been killed."""
    kinds = dict.fromkeys(KEYWORDS, models.PayloadSchemaType.KEYWORD)
    kinds |= dict.fromkeys(NUMBERS, models.PayloadSchemaType.FLOAT)
    there = client.get_collection(collection).payload_schema or {}
    for key, kind in kinds.items():
        if key not in there:
            client.create_payload_index(collection, key, kind, wait=True)


def _read_info(client: QdrantClient, collection: str, place: str) -> StoreInfo:
    metadata = client.get_collection(collection).config.metadata or {}
    info = to_info(metadata.get(_METADATA))
    if info is None:
        raise UserError(
            f"the collection {collection} at {place} was not made by this project: name another "
            "one after the address (--store URL#COLLECTION)"
        )
    return info


def _filter(where: Filter) -> models.Filter | None:
    must = [
        models.FieldCondition(key=wanted.key, match=models.MatchValue(value=wanted.value))
        if isinstance(wanted, Equals)
        else models.FieldCondition(
            key=wanted.key,
            range=models.Range(gte=wanted.least, lte=wanted.most, lt=wanted.below),
        )
        for wanted in conditions(where)
    ]
    return models.Filter(must=must) if must else None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
