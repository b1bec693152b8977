"""Embedding on the nodes of a Ray cluster: the bits of the local run, through every fault."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time

import fsspec
import numpy as np
import psutil
import pytest
from PIL import Image

from cir.app.indexing import index
from cir.app.search_model import RetrieverModel
from cir.app.stores import StoreInfo
from cir.app.stores.edge import EdgeStore
from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.errors import UserError
from cir.datasets.sources import FolderSource
from cir.images import decoding as images
from cir.images import shards
from cir.images.shards import ImageShards
from cir.retrieval.ranking import embedding, over_ray
from cir.retrieval.ranking.embedding import embed
from cir.retrieval.ranking.shared_storage import SharedStorage
from tests.helpers import ROOT
from tests.helpers.ray_cluster import AUTH, HeldEncoder, RayCluster, batches, hold, release

SHARDS, PER_SHARD = 8, 5
on_ray = pytest.mark.recipes
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray of requirements-scale.txt is absent"
)


def write_gallery(folder, torn=()):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(SHARDS * PER_SHARD):
        encoded = images.encode(Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)))
        name = f"image {number}"
        rows.append((name, encoded[:200] if name in torn else encoded, ()))
    shards.write(folder, rows, [], {}, rows_per_shard=PER_SHARD)
    return ImageShards(folder).shards()


@pytest.fixture
def gallery(tmp_path):
    return write_gallery(tmp_path / "data")


@pytest.fixture
def local(gallery, tmp_path, monkeypatch):
    """The fingerprint of the vectors of one process."""
    embed(HeldEncoder(tmp_path / "local log"), gallery, tmp_path / "local", tmp_path / "local work")
    return files.fingerprint(tmp_path / "local")


@pytest.fixture(scope="module")
def cluster():
    started = RayCluster()
    yield started
    started.stop()


@pytest.fixture
def asked(cluster, tmp_path, monkeypatch):
    """Embedding in this process goes to the cluster, whose nodes find the code by themselves."""
    for name, value in {**AUTH, "CIR_EMBED": "ray", "RAY_ADDRESS": cluster.address}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(cluster, tmp_path):
    """Starts embedding in a process of its own."""
    started = []

    def start(**variables):
        environment = {**os.environ, **AUTH, "CIR_EMBED": "ray", "RAY_ADDRESS": cluster.address}
        place = str(tmp_path / "data"), str(tmp_path)
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.embed_on_ray", *place],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT), **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(running)
        return running

    yield start
    for running in started:
        if running.poll() is None:
            running.kill()
        running.communicate()


def wait_for(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def finished(running):
    _, said = running.communicate(timeout=200)
    assert running.returncode == 0, said
    return said


# The tests of the cluster stand in an order: each finds the nodes that those before have left.


@needs_ray
@on_ray
def test_a_full_cluster_ends_with_a_sentence(gallery, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(over_ray, "_NO_PROCESSOR", 2.0)
    with pytest.raises(UserError, match=r"started nothing in \d+ seconds.*1 CPU \(0 there"):
        embed(HeldEncoder(tmp_path / "log"), gallery, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


@needs_ray
@on_ray
def test_nodes_that_join_late_are_used_and_a_killed_actor_costs_one_shard(
    cluster, gallery, local, start, tmp_path
):
    log = tmp_path / "log"
    hold(log, 0)
    running = start()
    cluster.add_node(3)
    wait_for(lambda: batches(log))
    cluster.add_node(4)
    wait_for(lambda: len(batches(log)) == 2)
    os.kill(batches(log)[-1][0], signal.SIGKILL)
    release(log)
    said = finished(running)
    assert "on 2 nodes" in said
    begun = [first for _, first in batches(log)]
    assert len(set(begun)) == SHARDS
    assert len(begun) == SHARDS + 1
    assert files.fingerprint(tmp_path / "out") == local


@needs_ray
@on_ray
def test_a_killed_driver_and_then_a_killed_node_cost_a_shard_an_actor(
    cluster, gallery, local, start, tmp_path
):
    log, work = tmp_path / "log", tmp_path / "work"
    hold(log, 3)
    killed = start()
    wait_for(lambda: len(list(work.glob("*.npy"))) == 3 and len(batches(log)) == 5)
    killed.kill()
    wait_for(lambda: not any(psutil.pid_exists(process) for process, _ in batches(log)))
    assert not (tmp_path / "out").exists()
    node = cluster.add_node(5)
    hold(log, 5)
    again = start()
    wait_for(lambda: len(batches(log)) == 8)  # an actor on each of three nodes
    cluster.kill(node)
    release(log)
    said = finished(again)
    assert "15 images were embedded before" in said
    begun = [first for _, first in batches(log)]
    assert len(set(begun)) == SHARDS
    assert len(begun) == SHARDS + 2 + 1  # two actors of the driver, and one of the node
    assert files.fingerprint(tmp_path / "out") == local


@needs_ray
@on_ray
def test_a_corrupt_image_is_named_at_the_end_and_the_good_shards_are_kept(asked, local, tmp_path):
    log, work = tmp_path / "log", tmp_path / "work"
    torn = write_gallery(tmp_path / "torn", ["image 7", "image 38"])
    with pytest.raises(UserError, match=r"2 of 8 shards .*image 7 .*image 38 .*next run"):
        embed(HeldEncoder(log), torn, tmp_path / "out", work)
    assert len(list(work.glob("*.npy"))) == SHARDS - 2
    assert not (tmp_path / "out").exists()
    before = len(batches(log))
    embed(HeldEncoder(log), ImageShards(tmp_path / "data").shards(), tmp_path / "out", work)
    assert len(batches(log)) == before + 2
    assert files.fingerprint(tmp_path / "out") == local


@needs_ray
@on_ray
def test_an_encoder_gives_the_bits_of_the_local_run(asked, encoder, split, tmp_path, monkeypatch):
    gallery = ImageShards(split).shards()
    embed(encoder, gallery, tmp_path / "out", tmp_path / "work")
    monkeypatch.setenv("CIR_EMBED", "")
    embed(encoder, gallery, tmp_path / "local", tmp_path / "work")
    assert files.fingerprint(tmp_path / "out") == files.fingerprint(tmp_path / "local")


@needs_ray
@on_ray
def test_nodes_without_a_shared_folder_use_a_storage(asked, gallery, local, tmp_path, monkeypatch):
    storage = tmp_path / "storage"
    monkeypatch.setenv("CIR_SHARED", f"file://{storage}")
    embed(HeldEncoder(tmp_path / "log"), gallery, tmp_path / "out", tmp_path / "work")
    assert files.fingerprint(tmp_path / "out") == local
    assert list(storage.iterdir()) == []


@needs_ray
@on_ray
def test_a_shard_that_ends_its_process_three_times_is_named(asked, gallery, tmp_path):
    log, work = tmp_path / "log", tmp_path / "work"
    sums = [int(HeldEncoder(log).preprocess(next(own.images())[1]).sum()) for own in gallery]
    deadly = HeldEncoder(log, deadly=sums[5])
    with pytest.raises(UserError, match=r"images-00005\.parquet has ended 3 times, as one"):
        embed(deadly, gallery, tmp_path / "out", work)
    assert [first for _, first in batches(log)].count(str(sums[5])) == 3
    assert len(list(work.glob("*.npy"))) >= 5
    assert not (tmp_path / "out").exists()


@needs_ray
@on_ray
def test_an_index_holds_the_bits_of_the_local_run(asked, encoder, tmp_path, monkeypatch):
    model = RetrieverModel(EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC)))
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        (photos / f"{number}.jpg").write_bytes(images.encode(Image.fromarray(pixels)))
    (photos / "torn.jpg").write_bytes((photos / "0.jpg").read_bytes()[:300])
    found = []
    for where in ("ray", ""):
        monkeypatch.setenv("CIR_EMBED", where)
        source = FolderSource(photos)
        info = StoreInfo(model.fingerprint(), model.dim, source.name)
        with EdgeStore.open(tmp_path / f"store{where}", info) as store:
            report = index(source, model, store, batch_size=4)
            stored = {image.id: image for image in store.images()}
            vectors = {id: vector.tobytes() for id, vector in store.vectors(list(stored)).items()}
            found.append((report, stored, vectors))
    assert found[0] == found[1]
    assert found[0][0].indexed == len(found[0][2]) == 9
    assert "torn.jpg" in found[0][0].unreadable[0]


@needs_ray
@on_ray
def test_without_an_address_the_cluster_is_local_and_ends_with_the_run(
    gallery, local, start, monkeypatch, tmp_path
):
    monkeypatch.delitem(AUTH, "RAY_AUTH_TOKEN")  # the cluster makes its own
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    running = start(RAY_ADDRESS="")
    wait_for(lambda: batches(tmp_path / "log"))
    processes = psutil.Process(running.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in processes)
    finished(running)
    assert files.fingerprint(tmp_path / "out") == local
    psutil.wait_procs(processes, timeout=60)
    assert not any(process.is_running() for process in processes)


@needs_ray
@on_ray
def test_another_model_is_refused(asked, gallery, tmp_path):
    other = HeldEncoder(tmp_path / "log", own=True)
    with pytest.raises(UserError, match=r"the node 127\.0\.0\.\d has another model"):
        embed(other, gallery, tmp_path / "out", tmp_path / "work")


@needs_ray
@on_ray
def test_a_node_with_other_code_is_refused(cluster, asked, gallery, tmp_path):
    for name in ("cir", "tests"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name)
    with (tmp_path / "copy" / "cir" / "images" / "decoding.py").open("a") as changed:
        changed.write("# another version\n")
    hold(tmp_path / "log", 0)
    cluster.add_node(6, tmp_path / "copy")
    with pytest.raises(UserError, match=r"the node 127\.0\.0\.6 has other code .*: cir is"):
        embed(HeldEncoder(tmp_path / "log"), gallery, tmp_path / "out", tmp_path / "work")


@needs_ray
@on_ray
def test_without_the_token_nobody_gets_in(gallery, start, monkeypatch):
    monkeypatch.setitem(AUTH, "RAY_AUTH_TOKEN", "0" * 64)
    running = start()
    _, said = running.communicate(timeout=200)
    assert running.returncode == 1
    assert "error: the cluster 127.0.0.2:" in said.splitlines()[-1]


def test_a_folder_that_a_node_does_not_see_is_said(gallery, tmp_path, monkeypatch):
    encoder = HeldEncoder(tmp_path / "log")
    actor = over_ray._Actor(encoder, 1)
    monkeypatch.setattr(over_ray, "_address", lambda: "10.0.0.9")
    same = over_ray._code(), encoder.fingerprint()
    with over_ray._marker(tmp_path) as marker:
        assert actor.refusal(*same, marker) == ("10.0.0.9", "")
    _, refusal = actor.refusal(*same, marker)
    assert refusal.startswith(f"the node 10.0.0.9 does not see the folder {tmp_path}")


def test_other_images_at_the_same_path_are_refused(gallery, tmp_path):
    encoder = HeldEncoder(tmp_path / "log")
    part = tmp_path / f"{files.fingerprint(encoder.fingerprint(), gallery[1].path)}.npy"
    embedding._embed_shard(4, None, encoder, (gallery[1], part))
    assert np.load(part).shape == (PER_SHARD, 16)
    with pytest.raises(UserError, match=r"another file at .*images-00000"):
        embedding._embed_shard(4, None, encoder, (gallery[0], part))


@pytest.fixture
def in_storage(tmp_path, monkeypatch):
    """Embedding goes through a storage in memory, one shard after another in this process."""

    def results(work, items, note):
        for number, item in enumerate(items):
            assert work.shared is None
            try:
                yield number, work.function(work.model, item)
            except UserError as error:
                yield number, error

    monkeypatch.setattr(over_ray, "results", results)
    monkeypatch.setenv("CIR_EMBED", "ray")
    monkeypatch.setenv("CIR_SHARED", f"memory://{tmp_path.name}/")
    return SharedStorage.asked()


def test_a_storage_carries_images_and_vectors_and_is_left_empty(
    gallery, local, in_storage, tmp_path
):
    embed(HeldEncoder(tmp_path / "log"), gallery, tmp_path / "out", tmp_path / "work")
    assert files.fingerprint(tmp_path / "out") == local
    assert fsspec.filesystem("memory").ls(in_storage.url) == []


def test_vectors_that_a_killed_run_left_in_a_storage_are_used(gallery, local, in_storage, tmp_path):
    encoder = HeldEncoder(tmp_path / "log")
    own = gallery[2]
    part = tmp_path / "work" / f"{files.fingerprint(encoder.fingerprint(), own.path)}.npy"
    in_storage.put(own.path, f"{part.stem}.parquet")
    embedding._embed_shard(64, in_storage, encoder, (own, part))
    before = len(batches(tmp_path / "log"))
    embed(encoder, gallery, tmp_path / "out", tmp_path / "work")
    again = [first for _, first in batches(tmp_path / "log")[before:]]
    assert len(set(again)) == SHARDS - 1
    assert files.fingerprint(tmp_path / "out") == local
    assert fsspec.filesystem("memory").ls(in_storage.url) == []


def test_a_corrupt_image_leaves_nothing_in_a_storage(in_storage, tmp_path):
    torn = write_gallery(tmp_path / "torn", ["image 7"])
    with pytest.raises(UserError, match=r"1 of 8 shards .*image 7 "):
        embed(HeldEncoder(tmp_path / "log"), torn, tmp_path / "out", tmp_path / "work")
    assert len(list((tmp_path / "work").glob("*.npy"))) == SHARDS - 1
    assert fsspec.filesystem("memory").ls(in_storage.url) == []


def test_a_storage_that_cannot_be_used_is_one_sentence(gallery, in_storage, tmp_path, monkeypatch):
    places = tmp_path / "out", tmp_path / "work"
    file = tmp_path / "file"
    file.touch()
    for url, reason in (
        ("nowhere://bucket", "Protocol not known: nowhere"),
        ("s3://bucket/shards", "Install s3fs"),
        (f"file://{file}/below", "Not a directory"),
    ):
        monkeypatch.setenv("CIR_SHARED", url)
        with pytest.raises(UserError, match=rf"CIR_SHARED: the storage {url} .*: .*{reason}"):
            embed(HeldEncoder(tmp_path / "log"), gallery, *places)
    assert not (tmp_path / "out").exists()


def test_ray_that_is_not_installed_and_another_word_are_one_sentence(
    gallery, tmp_path, monkeypatch
):
    places = tmp_path / "out", tmp_path / "work"
    monkeypatch.setenv("CIR_EMBED", "ray")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps -r requirements-scale\.txt"):
        embed(HeldEncoder(tmp_path / "log"), gallery, *places)
    monkeypatch.setenv("CIR_EMBED", "spark")
    with pytest.raises(UserError, match='CIR_EMBED takes "ray" or nothing, got "spark"'):
        embed(HeldEncoder(tmp_path / "log"), gallery, *places)
