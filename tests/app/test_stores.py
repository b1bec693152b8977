"""Test the contract of all stores, and the error messages of each."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from cir.app.stores import (
    ANY,
    Filter,
    IndexedImage,
    StoreInfo,
    base,
    edge,
    open_store,
    read_info,
    server,
)
from cir.app.stores.edge import EdgeStore
from cir.app.stores.records import (
    content_id,
    from_payload,
    is_id,
    original_text,
    safe_text,
    to_payload,
)
from cir.app.stores.server import ServerStore, connect
from cir.core.errors import UserError
from tests.helpers import ROOT

DIM = 8
INFO = StoreInfo("model-one", DIM, "folder:/photos")
pytestmark = [
    pytest.mark.recipes,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
URL = os.environ.get("QDRANT_URL")


class Locked:
    """Lets one thread at a time use a client, since its memory mode allows no more."""

    def __init__(self, client):
        self.client = client
        self.lock = threading.Lock()

    def __getattr__(self, name):
        def call(*arguments, **options):
            with self.lock:
                return getattr(self.client, name)(*arguments, **options)

        return call


class Opener:
    """Opens one place several times."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        self.client = Locked(QdrantClient(":memory:")) if kind == "memory" else None
        self.collection = f"test-{uuid.uuid4()}"

    def __call__(self, info=INFO, moved=False):
        if self.kind == "edge":
            return EdgeStore.open(self.folder / "store", info, moved)
        if self.kind == "memory":
            return ServerStore.open(self.client, self.collection, info, "memory", moved)
        return open_store(f"{URL}#{self.collection}", info, moved)

    def info(self):
        """Return what the place is for, without opening it."""
        if self.kind == "edge":
            return edge.read_info(self.folder / "store")
        if self.kind == "memory":
            return server.read_info(self.client, self.collection, "memory")
        return read_info(f"{URL}#{self.collection}")

    def close(self, store):
        """Close the store, unless it is in memory, where closing loses everything."""
        if self.kind != "memory":
            store.close()

    def remove(self):
        if self.kind == "url":
            connect(URL).delete_collection(self.collection)


KINDS = ["edge", "memory"]
needs_server = pytest.mark.skipif(URL is None, reason="QDRANT_URL names no Qdrant server")


each_kind = pytest.mark.parametrize(
    "kind", [*KINDS, pytest.param("url", marks=needs_server)], scope="module"
)


@pytest.fixture
def opener(kind, tmp_path):
    opened = Opener(kind, tmp_path)
    yield opened
    opened.remove()


@pytest.fixture(scope="module")
def shared(kind, tmp_path_factory):
    opened = Opener(kind, tmp_path_factory.mktemp("shared"))
    with opened() as store:
        yield store
    opened.remove()


@pytest.fixture
def store(shared):
    """Empty the shared store, since creating a store takes long."""
    shared.delete([image.id for image in shared.images()])
    return shared


def some_vectors(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def some_images(count):
    """Return images whose folders, dates, sizes and tags differ."""
    tags = ("dog", "snow", "night")
    return [
        IndexedImage(
            content_id(str(number).encode()),
            (f"{('holiday', 'holiday/sea', 'home', 'home-made')[number % 4]}/{number:04d}.jpg",),
            bytes=1000 + 10 * number,
            date=float(1_600_000_000 + 86_400 * (number % 50)),
            width=64 + number,
            height=48,
            tags=tuple(sorted(tags[n] for n in range(3) if number % (n + 2) == 0)),
        )
        for number in range(count)
    ]


def holds(image, where):
    """Return whether an image meets the conditions, by their definition."""
    folder = (where.folder or "").strip("/")
    inside = not folder or any(path.startswith(folder + "/") for path in image.paths)
    return (
        inside
        and (where.after is None or image.date >= where.after)
        and (where.before is None or image.date < where.before)
        and (where.least_bytes is None or image.bytes >= where.least_bytes)
        and (where.most_bytes is None or image.bytes <= where.most_bytes)
        and set(where.tags) <= set(image.tags)
    )


def slow_search(images, vectors, query, limit, offset=0, where=ANY, least_score=None):
    """Rank ids and scores by comparing with every vector; ties are ordered by id."""
    ranked = sorted(
        (-float(vector.astype(np.float64) @ query / np.linalg.norm(query)), image.id)
        for image, vector in zip(images, vectors, strict=True)
        if holds(image, where)
    )
    found = [(id, -score) for score, id in ranked]
    least = -2.0 if least_score is None else least_score
    return [(id, score) for id, score in found[offset : offset + limit] if score >= least]


def assert_same(hits, expected, images):
    known = {image.id: image for image in images}
    assert [hit.image.id for hit in hits] == [id for id, _ in expected]
    assert [hit.image for hit in hits] == [known[id] for id, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([s for _, s in expected], abs=1e-5)


FILTERS = [
    Filter(folder="holiday"),
    Filter(folder="holiday/sea"),
    Filter(folder="/home/"),
    Filter(folder=""),
    Filter(folder="hol"),
    Filter(folder="../home"),
    Filter(after=1_600_000_000 + 86_400 * 10),
    Filter(before=1_600_000_000 + 86_400 * 10),
    Filter(least_bytes=1500),
    Filter(most_bytes=1500),
    Filter(tags=("dog",)),
    Filter(tags=("dog", "snow")),
    Filter(tags=("cat",)),
    Filter("holiday", 1_600_000_000.0, 1_600_000_000.0 + 86_400 * 30, 1100, 2900, ("dog",)),
]


@each_kind
def test_scores_and_order_are_those_of_comparing_with_every_vector(store):
    images, vectors = some_images(300), some_vectors(300)
    store.upsert(images, vectors)
    queries = some_vectors(5, seed=1)
    for limit, offset in ((1, 0), (10, 0), (7, 5), (1000, 0), (10, 295), (10, 300), (0, 0)):
        found = store.search(queries, limit, offset)
        for hits, query in zip(found, queries, strict=True):
            assert_same(hits, slow_search(images, vectors, query, limit, offset), images)
    assert store.search(np.zeros((0, DIM)), 10) == []


@each_kind
@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_filters_each_and_combined(store, where):
    images, vectors = some_images(200), some_vectors(200)
    store.upsert(images, vectors)
    (query,) = some_vectors(1, seed=2)
    (hits,) = store.search(query[None], 500, where=where)
    assert_same(hits, slow_search(images, vectors, query, 500, where=where), images)
    meeting = [image for image in images if holds(image, where)]
    assert store.count(where) == len(meeting)
    assert list(store.images(where)) == sorted(meeting, key=lambda image: image.id)


@each_kind
def test_pages_of_ties_join_without_overlap_or_hole(store):
    """Most vectors are equal, so that only a stable order makes the pages join."""
    images, vectors = some_images(400), some_vectors(400)
    vectors[20:350] = vectors[0]
    store.upsert(images, vectors)
    expected = slow_search(images, vectors, vectors[0], 400)
    for size in (24, 127, 128, 150):
        pages = [store.search(vectors[:1], size, start)[0] for start in range(0, 400, size)]
        joined = [hit.image.id for page in pages for hit in page]
        assert joined == [id for id, _ in expected]


@each_kind
def test_the_least_score_cuts_off(store):
    images, vectors = some_images(100), some_vectors(100)
    store.upsert(images, vectors)
    (query,) = some_vectors(1, seed=3)
    for least in (0.9, 0.3, 0.0, -0.5):
        (hits,) = store.search(query[None], 100, least_score=least)
        assert_same(hits, slow_search(images, vectors, query, 100, least_score=least), images)
    (twin,) = store.search(vectors[:1], 100, least_score=0.999)
    assert [hit.image.id for hit in twin] == [images[0].id]


@each_kind
def test_what_is_written_is_read_updated_and_deleted(opener):
    store = opener()
    images, vectors = some_images(30), some_vectors(30)
    store.upsert(images, vectors)
    ids = [image.id for image in images]
    absent = str(uuid.uuid4())
    assert store.count() == 30
    assert store.get([*ids, absent, ids[0]]) == dict(zip(ids, images, strict=True))
    assert store.get(["no id", ids[0].upper(), f"{{{ids[0]}}}", "../etc", ""]) == {}
    assert list(store.images()) == sorted(images, key=lambda image: image.id)
    found = store.vectors([*ids, absent])
    assert found.keys() == set(ids)
    np.testing.assert_allclose([found[id] for id in ids], vectors, atol=1e-6)

    moved = replace(images[0], paths=("elsewhere/new.jpg",), tags=("moved",))
    store.update([moved, replace(images[1], id=absent)])
    store.update([])
    store.upsert(images[2:3], vectors[5:6])  # it replaces the vector
    store.delete([ids[3], absent])
    store.delete([])
    expected = [moved, *images[1:3], *images[4:]]

    def check(store):
        assert list(store.images()) == sorted(expected, key=lambda image: image.id)
        np.testing.assert_allclose(store.vectors(ids[:1])[ids[0]], vectors[0], atol=1e-6)
        np.testing.assert_allclose(store.vectors(ids[2:3])[ids[2]], vectors[5], atol=1e-6)
        assert store.count(Filter(folder="elsewhere", tags=("moved",))) == 1

    check(store)
    opener.close(store)
    with opener() as again:
        check(again)


@each_kind
def test_more_images_than_a_page_holds_are_all_listed(store, monkeypatch):
    monkeypatch.setattr(base, "_PAGE", 7)
    images = some_images(50)
    store.upsert(images, some_vectors(50))
    assert list(store.images()) == sorted(images, key=lambda image: image.id)
    store.delete([image.id for image in images])
    assert list(store.images()) == []
    assert store.search(some_vectors(1), 5) == [[]]


@each_kind
def test_tags_and_folders_are_counted(store):
    assert store.tags(10) == store.folders(10) == []
    images = some_images(60)
    images[0] = replace(images[0], paths=("holiday/a.jpg", "home/b.jpg"))
    store.upsert(images, some_vectors(60))
    assert store.folders(10) == [
        ("holiday", 30),
        ("home", 16),
        ("holiday/sea", 15),
        ("home-made", 15),
    ]
    assert store.folders(2) == [("holiday", 30), ("home", 16)]
    assert store.tags(10) == [("dog", 30), ("snow", 20), ("night", 15)]


@each_kind
@pytest.mark.parametrize(
    "path",
    [
        "überall/Größe 北京 🐕.jpg",
        os.fsdecode(b"caf\xe9/\xff\xfe.jpg"),
        r"back\slash/\xff.jpg",
        "line\nbreak/tab\t.jpg",
        "<script>alert(1)<br>/a.jpg",
        "lone\ud800surrogate/a.jpg",
    ],
    ids=ascii,
)
def test_any_path_and_tag_comes_back_and_can_be_asked_for(store, path):
    tag = path.replace("/", " ")
    image = replace(some_images(1)[0], paths=(path,), tags=(tag,))
    store.upsert([image], some_vectors(1))
    folder = path.rpartition("/")[0]
    assert store.get([image.id]) == {image.id: image}
    assert store.folders(5) == [(folder, 1)]
    assert store.tags(5) == [(tag, 1)]
    where = Filter(folder=folder, tags=(tag,))
    assert [hit.image for hit in store.search(some_vectors(1), 5, where=where)[0]] == [image]
    assert store.count(Filter(folder="caf")) == 0


@given(st.text(st.characters(codec=None) | st.sampled_from("\\xu\udcff\udc80\ud8000f")))
def test_safe_texts_are_utf8_and_can_be_undone(text):
    assert safe_text(text).encode("utf-8").decode("utf-8") == safe_text(text)
    assert original_text(safe_text(text)) == text


def test_ids_have_one_form():
    # sha256 of nothing begins with e3b0c442 98fc1c14 9afbf4c8 996fb924
    assert content_id(b"") == "e3b0c442-98fc-1c14-9afb-f4c8996fb924"
    assert is_id(content_id(b"a"))
    assert not any(map(is_id, ("", "a", content_id(b"").upper(), content_id(b"").replace("-", ""))))


def test_a_payload_names_all_folders_above():
    image = replace(some_images(1)[0], paths=("a/b/c/x.jpg", "a/y.jpg", "z.jpg"))
    payload = json.loads(json.dumps(to_payload(image)))
    assert payload["folders"] == ["a", "a/b", "a/b/c"]
    assert from_payload(image.id, payload) == image


@each_kind
def test_vectors_without_a_length_of_one_are_refused(store):
    images, vectors = some_images(2), some_vectors(2)
    for bad in (vectors * 2, vectors * 0, vectors * np.nan):
        with pytest.raises(UserError, match="finite and of length one"):
            store.upsert(images, bad)
    assert store.count() == 0


@each_kind
def test_threads_search_while_another_writes(store):
    """Each answer has all of the first images, and the scores are in order."""
    images, vectors = some_images(400), some_vectors(400)
    store.upsert(images[:100], vectors[:100])
    failures, answers, done = [], [], threading.Event()
    first = {image.id for image in images[:100]}

    def searching():
        try:
            while not done.is_set():
                (hits,) = store.search(vectors[:1], 400)
                answers.append(len(hits))
                assert first <= {hit.image.id for hit in hits}
                assert hits[0].image == images[0]
                assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=searching) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(100, 400, 10):
        store.upsert(images[start : start + 10], vectors[start : start + 10])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(answers) >= 3
    assert store.count() == 400


@each_kind
def test_another_model_another_source_and_no_store_are_refused(opener):
    with pytest.raises(UserError, match=r"there is no store .*python -m cir index"):
        opener(None)
    store = opener()
    store.upsert(some_images(3), some_vectors(3))
    opener.close(store)
    with pytest.raises(UserError, match=r"model-one \(length 8\).*model-two \(length 8\)"):
        opener(replace(INFO, fingerprint="model-two"))
    with pytest.raises(UserError, match=r"length 8.*length 9"):
        opener(replace(INFO, dim=9))
    with pytest.raises(UserError, match="folder:/photos, not those of folder:/other"):
        opener(replace(INFO, source="folder:/other"))
    again = opener(None)
    assert again.info == INFO
    assert again.count() == 3
    again.close()
    again.close()
    with pytest.raises(UserError, match="fails: it was closed"):
        again.count()


@each_kind
def test_a_source_that_moved_is_noted(opener):
    store = opener(replace(INFO, model="/models/mine"))
    store.upsert(some_images(3), some_vectors(3))
    opener.close(store)
    there = replace(INFO, source="folder:/disk/photos")
    with pytest.raises(UserError, match="if it is the same folder in a new place, give --moved"):
        opener(there)
    opened = opener(there, moved=True)
    noted = replace(there, model="/models/mine")
    assert opened.info == opener.info() == noted
    assert opened.count() == 3
    opener.close(opened)
    for info in (replace(there, fingerprint="model-two"), replace(there, dim=9)):
        with pytest.raises(UserError, match="holds vectors of the model"):
            opener(info, moved=True)
    with pytest.raises(UserError, match="not those of folder:/photos"):
        opener(INFO)
    assert opener.info() == noted


@each_kind
def test_a_source_whose_name_is_no_utf8_comes_back(opener):
    info = replace(INFO, source=os.fsdecode(b"folder:/caf\xe9"))
    opener.close(opener(info))
    opened = opener(None)
    assert opened.info == info
    opened.close()


@each_kind
def test_the_folder_of_the_model_is_noted_and_not_compared(opener):
    assert opener.info() is None
    opener.close(opener(INFO))
    assert opener.info() == INFO
    folders = os.fsdecode(b"/models/caf\xe9"), "/moved/models/mine"
    for folder in folders:
        info = replace(INFO, model=folder)
        opened = opener(info)
        assert opened.info == info
        assert opener.info() == info  # while it is open
        opener.close(opened)
    opened = opener(INFO)  # as a program that does not know the folder
    assert opened.info == opener.info() == replace(INFO, model=folders[-1])
    with pytest.raises(UserError, match="model-two"):
        opener(replace(INFO, fingerprint="model-two", model="/other"))
    assert opener.info().model == folders[-1]
    opened.close()


# The tests from here on are for the store in a folder.


def in_a_process(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLD = """
import sys, time
import numpy as np
from cir.app.stores import IndexedImage, StoreInfo, content_id
from cir.app.stores.edge import EdgeStore
from pathlib import Path
store = EdgeStore.open(Path(sys.argv[1]), StoreInfo("model-one", 8, "folder:/photos"))
for n in range(100_000):
    image = IndexedImage(content_id(str(n).encode()), (f"{n}.jpg",), n, 0.0, 1, 1)
    store.upsert([image], np.eye(1, 8, n % 8, dtype=np.float32))
    print(n, flush=True)
    if len(sys.argv) > 2:
        time.sleep(600)
"""


def test_a_store_in_use_is_told_and_what_was_written_outlives_a_kill(tmp_path):
    """The process prints n after writing image n; it is killed during or between writes."""
    process = in_a_process(HOLD, tmp_path / "store")
    try:
        assert process.stdout.readline() == "0\n"
        with pytest.raises(UserError, match=r"store is in use by another process.*http://"):
            EdgeStore.open(tmp_path / "store", INFO)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
    said = [int(line) for line in process.communicate()[0].splitlines()]
    with EdgeStore.open(tmp_path / "store", INFO) as store:
        written = [image.bytes for image in store.images()]
        assert sorted(written) == list(range(len(written)))
        assert len(written) in (said[-1] + 1, said[-1] + 2)
        assert len(store.search(np.eye(1, 8), 10_000)[0]) == len(written)


def test_a_killed_creation_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    """The next process removes what a killed process has left."""
    killed = """
import os, sys
from pathlib import Path
from cir.core import files
from cir.app.stores import StoreInfo
from cir.app.stores.edge import EdgeStore
files.write_json = lambda *_: os.kill(os.getpid(), 9)
EdgeStore.open(Path(sys.argv[1]), StoreInfo("model-one", 8, "folder:/photos"))
"""
    assert in_a_process(killed, tmp_path / "store").wait() == -signal.SIGKILL
    assert not (tmp_path / "store").exists()
    assert [path for path in tmp_path.iterdir() if path.suffix == ".partial"]
    with EdgeStore.open(tmp_path / "store", INFO) as store:
        store.upsert(some_images(2), some_vectors(2))
    assert [p.name for p in tmp_path.iterdir() if p.name != ".store.lock"] == ["store"]


@pytest.mark.parametrize("info", [INFO, None])
@pytest.mark.parametrize(
    "place", ["file/store", "file/a/b", "x" * 300, "a/" + "x" * 300, "/proc/nowhere", "."]
)
def test_a_place_where_no_store_can_be_is_told_in_a_sentence(tmp_path, monkeypatch, place, info):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    where = Path(place) if place[0] in "./" else tmp_path / place
    with pytest.raises(UserError, match=r"store"):
        EdgeStore.open(where, info)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_folder_that_nobody_may_write_to_is_told(tmp_path, monkeypatch):
    """Permissions would not stop the superuser, who may run this test."""

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(edge.files, "whole_folder", denied)
    with pytest.raises(UserError, match=r"a store cannot be .* at .*store: Permission denied"):
        EdgeStore.open(tmp_path / "store", INFO)


def test_a_link_to_a_store_that_is_not_there_yet_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "store")
    EdgeStore.open(tmp_path / "link", INFO).close()
    with EdgeStore.open(tmp_path / "store", INFO) as store:
        store.upsert(some_images(2), some_vectors(2))
    with EdgeStore.open(tmp_path / "link", None) as store:
        assert store.count() == 2
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    with pytest.raises(UserError, match="store"):
        EdgeStore.open(tmp_path / "ring", INFO)


def test_a_foreign_folder_is_left_as_it_is(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    for info in (INFO, None):
        with pytest.raises(
            UserError, match=r"is not a store: it contains letters\.txt but no store"
        ):
            EdgeStore.open(tmp_path, info)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    with pytest.raises(UserError, match="is a file"):
        EdgeStore.open(tmp_path / "letters.txt", INFO)
    (tmp_path / "empty").mkdir()
    EdgeStore.open(tmp_path / "empty", INFO).close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "store"
    with EdgeStore.open(folder, INFO) as store:
        store.upsert(some_images(20), some_vectors(20))
    return folder


def broken_info(folder):
    (folder / "store.json").write_text('{"fingerprint": "model-one"}')


def broken_json(folder):
    (folder / "store.json").write_text('{"fingerprint": ')


def no_shard(folder):
    shutil.rmtree(folder / "shard")


def broken_config(folder):
    (folder / "shard" / "edge_config.json").write_text("{")


def cut_segments(folder):
    for path in (folder / "shard" / "segments").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:3])


@pytest.mark.parametrize(
    "damage", [broken_info, broken_json, no_shard, broken_config, cut_segments]
)
def test_a_broken_store_is_told_in_a_sentence(whole, tmp_path, damage):
    folder = tmp_path / "store"
    shutil.copytree(whole, folder)
    EdgeStore.open(folder, INFO).close()
    damage(folder)
    with pytest.raises(UserError, match=r"is broken \(|is not a JSON file"):
        EdgeStore.open(folder, INFO)


def test_the_graph_is_built_beyond_a_size_and_answers_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "GRAPH_FROM", 2_000)
    monkeypatch.setattr(edge, "_POINTS", 1_500)
    info = replace(INFO, dim=64)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3_000, 64)).astype(np.float32)
    vectors += 2 * rng.standard_normal((20, 64)).astype(np.float32)[rng.integers(0, 20, 3_000)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = some_images(3_000)
    with EdgeStore.open(tmp_path / "store", info) as store:
        store.upsert(images[:1_000], vectors[:1_000])
        store.optimise()
        assert indexed(store) == 0  # there is no graph
        store.upsert(images[1_000:], vectors[1_000:])
        store.optimise()
        assert indexed(store) == 3_000
        right = 0
        for query, hits in zip(vectors[:50], store.search(vectors[:50], 10), strict=True):
            nearest = np.argsort(-vectors @ query)[:10]
            right += len({hit.image.id for hit in hits} & {images[row].id for row in nearest})
        assert right >= 0.98 * 500
        where = Filter(folder="home", tags=("dog", "snow"))
        (hits,) = store.search(vectors[:1], 20, where=where)
        assert_same(hits, slow_search(images, vectors, vectors[0], 20, where=where), images)
        # Far down in the ranking the search is exact.
        (hits,) = store.search(vectors[:1], 20, offset=1_100)
        assert_same(hits, slow_search(images, vectors, vectors[0], 20, 1_100), images)
        pages = [store.search(vectors[:1], 16, start)[0] for start in range(0, 112, 16)]
        joined = [hit.image.id for page in pages for hit in page]
        assert len(set(joined)) == len(joined) == 112


def indexed(store):
    return store._shard.info().indexed_vectors_count


# The tests from here on are for the store in a server.


class Answering(BaseHTTPRequestHandler):
    """Gives the same answer to every request."""

    answer = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            {"title": "qdrant - vector search engine", "version": "1.15.4"},
            "1.16 or later; it has 1.15.4",
        ),
        ({"title": "qdrant", "version": "odd"}, "1.16 or later; it has odd"),
        ({"title": "something else"}, "fails: "),
        ("<html>", "fails: "),
    ],
)
def test_servers_that_are_too_old_or_something_else(answering, monkeypatch, answer, sentence):
    text = answer if isinstance(answer, str) else json.dumps(answer)
    monkeypatch.setattr(Answering, "answer", text.encode())
    with pytest.raises(UserError, match=sentence):
        open_store(answering, INFO)
    with pytest.raises(UserError, match=sentence):
        read_info(answering)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://qdrant.example.com", "https://qdrant.example.com:443"),
        ("https://qdrant.example.com:6333", "https://qdrant.example.com:6333"),
        ("https://example.com/qdrant", "https://example.com:443/qdrant"),
        ("http://qdrant", "http://qdrant:6333"),
        ("http://qdrant:80", "http://qdrant:80"),
    ],
)
def test_an_address_without_a_port(address, asked):
    assert connect(address)._client.rest_uri == asked


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "https://127.0.0.1:9#mine", "http://"])
def test_a_server_that_cannot_be_reached(place):
    with pytest.raises(UserError, match=r"no Qdrant server answers|is not the address"):
        open_store(place, INFO)
    with pytest.raises(UserError, match=r"no Qdrant server answers|is not the address"):
        read_info(place)


@pytest.mark.parametrize(
    ("place", "said"), [("https://127.0.0.1", "127.0.0.1, port 443 "), ("http://[::1]:9", ":9 ")]
)
def test_the_port_that_was_asked_is_told(place, said):
    with pytest.raises(UserError, match="no Qdrant server answers at") as caught:
        read_info(place)
    assert f"{said}(" in str(caught.value)


def test_a_place_that_is_neither_folder_nor_address(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="begin with http:// or https://; got ftp://x"):
        open_store("ftp://x", INFO)
    with pytest.raises(UserError, match="begin with http:// or https://; got ftp://x"):
        read_info("ftp://x")
    with pytest.raises(UserError, match=r"must be UTF-8; got \S+caf\\xe9"):
        open_store(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"), INFO)
    monkeypatch.chdir(tmp_path)
    open_store("store", INFO).close()
    assert (tmp_path / "store" / "store.json").is_file()


def test_a_collection_of_someone_else_is_left_as_it_is():
    from qdrant_client import models

    client = QdrantClient(":memory:")
    params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config=params)
    for info in (INFO, None):
        with pytest.raises(UserError, match="theirs at memory was not made by this project"):
            ServerStore.open(client, "theirs", info, "memory")
    assert client.get_collection("theirs").config.metadata is None


@each_kind
def test_a_collection_that_went_away_is_told(opener):
    if opener.kind == "edge":
        pytest.skip("a folder has no collections")
    store = opener()
    (opener.client or connect(URL)).delete_collection(opener.collection)
    with pytest.raises(UserError, match="fails: "):
        store.count()
