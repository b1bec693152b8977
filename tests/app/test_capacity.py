"""How a Qdrant server keeps a collection, and what becomes of a busy one."""

import threading
import time

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from cir.app import calibration
from cir.app.stores import IndexedImage, StoreInfo, base, content_id, server
from cir.app.stores.capacity import Capacity, capacity, shards_and_copies
from cir.app.stores.server import ServerStore
from cir.core.errors import UserError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
INFO = StoreInfo("model", 8, "folder:/photos")


@pytest.mark.parametrize(
    ("images", "dim", "expected"),
    [
        (0, 768, Capacity("none", False, 1.0)),
        (1_000_000, 768, Capacity("none", False, 1.0)),  # 3.1 GB
        (1_400_000, 768, Capacity("scalar", True, 2.0)),  # 4.3 GB
        (20_000_000, 768, Capacity("scalar", True, 2.0)),  # 61 GB
        (21_000_000, 768, Capacity("binary", True, 4.0)),  # 65 GB
        (1_000_000_000, 768, Capacity("binary", True, 4.0)),
        (1_000_000_000, 256, Capacity("scalar", True, 2.0)),  # 1 TB, with few bits
    ],
)
def test_defaults_by_size(images, dim, expected):
    assert capacity(images, dim) == expected


def test_shards_and_copies_by_the_nodes_of_the_cluster():
    assert [shards_and_copies(nodes) for nodes in (1, 2, 3, 10)] == [
        (1, 1),
        (4, 1),
        (6, 2),
        (20, 2),
    ]


class Watched:
    """A client in memory that notes requests, and says how many points are written at once."""

    def __init__(self, peers=None, busy=0):
        self.client, self.lock = QdrantClient(":memory:"), threading.Lock()
        self.peers, self.busy, self.calls = peers, busy, []
        self.searches = []
        self.now = self.most = 0

    def cluster_status(self):
        peers = {str(n): models.PeerInfo(uri=f"http://node-{n}:6335") for n in range(self.peers)}
        return type("Status", (), {"peers": peers})()

    def upsert(self, *arguments, **options):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            busy, self.busy = self.busy > 0, self.busy - 1
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
            if busy:
                raise ResourceExhaustedResponse("too many requests", 3)
            return self.client.upsert(*arguments, **options)

    def query_batch_points(self, *arguments):
        self.searches.append(arguments)
        return self.client.query_batch_points(*arguments)

    def __getattr__(self, name):
        def call(*arguments, **options):
            with self.lock:
                self.calls.append((name, options))
                return getattr(self.client, name)(*arguments, **options)

        return call

    def asked(self, name):
        return [options for called, options in self.calls if called == name]


def opened(client):
    return ServerStore.open(client, "images", INFO, "memory")


def some(count):
    vectors = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [content_id(str(number).encode()) for number in range(count)]
    return [IndexedImage(id, (f"{id}.jpg",), 1, 0.0, 8, 8) for id in ids], vectors


def test_a_collection_is_made_for_its_cluster():
    client = Watched(peers=3)
    opened(client)
    (created,) = client.asked("create_collection")
    assert (created["shard_number"], created["replication_factor"]) == (6, 2)


def test_a_collection_that_grows_is_quantised_once_and_leaves_memory(monkeypatch):
    chosen = {0: "none", 300: "scalar", 900: "binary"}

    def small(images, dim):
        kind = chosen[max(least for least in chosen if least <= images)]
        return Capacity(kind, kind != "none", 2.0)

    monkeypatch.setattr(server, "capacity", small)
    client = Watched(peers=0)
    store = opened(client)
    images, vectors = some(1000)
    for start in range(0, 1000, 100):
        store.upsert(images[start : start + 100], vectors[start : start + 100])
    store.optimise()
    first, second = client.asked("update_collection")
    assert first["quantization_config"].scalar.type == models.ScalarType.INT8
    assert first["quantization_config"].scalar.always_ram
    assert second["quantization_config"].binary.always_ram
    for change in (first, second):
        assert change["vectors_config"][""].on_disk
    store.search(vectors[:1], 5)
    (_, (request,)) = client.searches[-1]
    assert (request.params.quantization.rescore, request.params.quantization.oversampling) == (
        True,
        2.0,
    )
    again = opened(client)  # a process that was killed before it could ask
    again.optimise()
    assert len(client.asked("update_collection")) == 3


def test_points_are_written_by_several_requests_but_not_by_more(monkeypatch):
    monkeypatch.setattr(server, "_POINTS", 10)
    client = Watched(peers=0)
    store = opened(client)
    images, vectors = some(305)
    store.upsert(images, vectors)
    assert store.count() == 305
    assert 2 <= client.most <= server._AT_ONCE
    found = store.vectors([image.id for image in images])
    np.testing.assert_allclose([found[image.id] for image in images], vectors, atol=1e-6)


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(monkeypatch):
    waited = []
    monkeypatch.setattr(server.time, "sleep", lambda seconds: waited.append(seconds))
    client = Watched(peers=0, busy=2)
    store = opened(client)
    store.upsert(*some(20))
    assert store.count() == 20
    assert waited.count(3) == 2
    client.busy = 1000
    with pytest.raises(UserError, match="the store memory fails: too many requests"):
        store.upsert(*some(20))


class Half(base.Store):
    """Finds only images with even numbers, unless it is asked for the exact answer."""

    info = INFO

    def _nearest(self, queries, most, where, exact):
        ranked = [(str(number), 1 - number / 100) for number in range(100)]
        return [ranked[:most] if exact else ranked[::2][:most] for _ in queries]

    upsert = update = delete = vectors = count = note = optimise = close = None
    _payloads = _page = _facet = None


def test_recall_by_hand():
    store = Half()
    assert store.recall(np.ones((3, 8))) == 0.5  # of 0 to 9 it finds 0, 2, 4, 6 and 8
    assert store.recall(np.ones((3, 8)), k=1) == 1


def test_the_recall_is_told_where_there_is_a_graph(monkeypatch):
    store = opened(Watched(peers=0))
    images, vectors = some(51)
    store.upsert(images, vectors)
    assert calibration.measured_recall(store) == ""
    monkeypatch.setattr(base, "GRAPH_FROM", 50)
    told = calibration.measured_recall(store)
    assert told == "recall@10 of searches against exact ones 100.0% (25 queries)"
