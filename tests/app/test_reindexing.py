"""The store is brought up to date while the service runs."""

import threading
import time
from threading import Event

import pytest

from cir.app.indexing import changes
from cir.core.errors import UserError
from cir.datasets.sources import open_source
from tests.helpers.fake_search_model import plain
from tests.helpers.search_app import client_of, colour_service, png


@pytest.fixture
def service(tmp_path):
    with colour_service(tmp_path) as service:
        yield service


def state(client):
    """Return the state after the run under way."""
    while (found := client.get("/index").json())["running"]:
        time.sleep(0.01)
    return found


def paths(client, text):
    hits = client.post("/search/text", json={"text": text}).json()["hits"]
    return {path for hit in hits for path in hit["paths"]}


def test_the_folder_is_indexed_again_on_request(service, tmp_path):
    client, images = client_of(service), tmp_path / "images"
    nothing = {"running": False, "looked_at": 0, "of": 0, "report": None, "error": ""}
    assert client.get("/index").json() == nothing
    (images / "red.png").rename(images / "scarlet.png")
    (images / "blue.png").unlink()
    (images / "pink.png").write_bytes(png(plain((255, 128, 128))))
    (images / "broken.png").write_bytes(b"?")
    started = client.post("/index")
    assert started.status_code == 202
    assert started.json()["error"] == ""
    found = state(client)
    report = found.pop("report")
    assert found == {"running": False, "looked_at": 10, "of": 10, "error": ""}
    assert "broken.png" in report.pop("unreadable")[0]
    assert report == {"indexed": 1, "unchanged": 7, "moved": 1, "removed": 1}
    assert {"scarlet.png", "pink.png"} <= paths(client, "red")
    assert not {"red.png", "blue.png"} & paths(client, "red")
    moved = client.post("/search/text", json={"text": "red", "limit": 1}).json()["hits"][0]
    assert client.get(moved["image"]).status_code == 200


def test_searches_go_on_and_a_second_request_joins_the_run(service, tmp_path):
    client, encode = client_of(service), service.model.encode_pixels
    begun, go_on = Event(), Event()

    def slow(pixels):
        begun.set()
        assert go_on.wait(20)
        return encode(pixels)

    (tmp_path / "images" / "pink.png").write_bytes(png(plain((255, 128, 128))))
    service.model.encode_pixels = slow
    assert client.post("/index").json()["running"]
    assert begun.wait(20)
    assert client.post("/index").json()["running"]
    assert "pink.png" not in paths(client, "red")
    go_on.set()
    assert state(client)["report"]["indexed"] == 1
    assert "pink.png" in paths(client, "red")


def test_a_folder_that_is_away_empties_nothing(service, tmp_path):
    client = client_of(service)
    for image in sorted((tmp_path / "images").rglob("*.png")):
        image.unlink()
    client.post("/index")
    assert "if a disk is missing, mount it" in state(client)["error"]
    (tmp_path / "images").rename(tmp_path / "away")
    client.post("/index")
    assert state(client)["error"].endswith("is not a folder of images")
    assert service.store.count() == 9


def test_an_error_of_the_program_ends_the_run(service, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda failure: None)  # which prints it
    monkeypatch.setattr(service.store, "images", None)
    client = client_of(service)
    client.post("/index")
    assert state(client)["error"] == "indexing failed; the log of the service has the reason"


def test_the_end_of_the_service_ends_a_run(tmp_path):
    with colour_service(tmp_path) as service:
        for number in range(3):
            image = png(plain((number, 7, 7)))
            (tmp_path / "images" / f"{number}.png").write_bytes(image)
        service.model.batch_size = 1
        service.model.seconds = 0.3
        service.reindexing.start()
    assert service.reindexing.state.running
    assert service.reindexing.state.report is None


def test_pages_of_other_sites_cannot_start_a_run(service):
    refused = client_of(service).post("/index", headers={"origin": "http://elsewhere.example"})
    assert refused.status_code == 403
    assert not service.reindexing.state.running


def test_changes_are_seen_once_they_have_settled(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"1")
    listed = open_source(f"folder:{tmp_path}").listed
    looks = []  # what each look finds

    class Source:
        def listed(self):
            found = looks.pop(0)
            if found is None:
                raise UserError("the disk is away")
            return (one for one in listed() if found)

    stopping = Event()
    monkeypatch.setattr(stopping, "wait", lambda seconds: not looks)
    # The first look, a copy that goes on, one that is done, none, the disk away, and back again.
    looks[:] = [False, True, True, True, None, None, True]
    left = []
    for _ in changes(Source, stopping):
        left.append(len(looks))
    assert left == [6, 4]


def test_a_watched_folder_is_indexed_when_it_changes(service, tmp_path, monkeypatch):
    monkeypatch.setattr("cir.app.indexing._LOOK_SECONDS", 0.02)
    monkeypatch.setattr(changes, "__defaults__", (0.02,))
    client = client_of(service)
    service.reindexing.follow()
    (tmp_path / "images" / "pink.png").write_bytes(png(plain((255, 128, 128))))
    deadline = time.monotonic() + 60
    while "pink.png" not in paths(client, "red"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
