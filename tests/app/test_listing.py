"""Images by conditions alone, in other orders, without near duplicates, and as downloads."""

import csv
import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cir.app import downloads
from cir.app.arranging import distinct
from tests.helpers.fake_search_model import plain, unit
from tests.helpers.search_app import client_of, colour_service, ids, png

NOW = 1_700_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Nine colours, of which black is the oldest and white the newest, and a second red."""
    folder = tmp_path_factory.mktemp("listing")
    with colour_service(folder) as made:
        pass
    (folder / "images" / "ruby.png").write_bytes(png(plain((252, 1, 1))))
    names = (
        "black",
        "red",
        "green",
        "blue",
        "yellow",
        "cyan",
        "magenta",
        "orange",
        "ruby",
        "white",
    )
    for number, name in enumerate(names):
        (path,) = (folder / "images").rglob(f"{name}.png")
        os.utime(path, (NOW + number, NOW + number))
    (folder / "store").rename(folder / "old")
    with colour_service(folder) as made:
        yield made


@pytest.fixture(scope="module")
def client(service):
    return client_of(service)


def names(client, status=200, **body):
    answer = client.post("/search/text", json={"limit": 100, **body})
    assert answer.status_code == status, answer.text
    return [hit["tags"][0] for hit in answer.json()["hits"]] if status == 200 else answer.json()


def test_conditions_alone_list_the_newest_first(client):
    assert names(client, where={"folder": "odd"}) == ["magenta", "yellow", "green", "black"]
    assert len(names(client, where={"after": NOW})) == 10
    assert names(client, where={"after": NOW + 7}) == ["white", "ruby", "orange"]
    assert names(client, where={"after": NOW + 7}, sort="name") == ["orange", "ruby", "white"]
    assert names(client, where={"tags": ["none"]}) == []


def test_a_list_has_no_scores_and_goes_on(client):
    found = client.post("/search/text", json={"sort": "date", "limit": 4, "offset": 3}).json()
    assert [hit["tags"][0] for hit in found["hits"]] == ["magenta", "cyan", "yellow", "blue"]
    assert found["kind"] == "filter"
    assert found["more"]
    assert {hit["score"] for hit in found["hits"]} == {None}
    assert {hit["fit"] for hit in found["hits"]} == {None}
    assert found["fits"] is None
    last = client.post("/search/text", json={"sort": "date", "limit": 4, "offset": 8}).json()
    assert (len(last["hits"]), last["more"]) == (2, False)


def test_without_any_condition_there_is_nothing_to_search_by(client):
    for body in ({}, {"text": " "}, {"least_score": 0.5}, {"where": {}}):
        assert "nothing to search by" in names(client, 400, **body)["error"]
    assert "sort" in names(client, 422, text="red", sort="size")["error"]


def test_the_best_answers_of_a_query_in_another_order(client):
    best = names(client, text="red", limit=3)
    assert best[:2] == ["red", "ruby"]
    close = names(client, text="red", least_score=0.9)
    assert names(client, text="red", least_score=0.9, sort="name") == sorted(close)
    assert names(client, text="red", least_score=0.9, sort="date") == ["ruby", "red"]
    by_path = ["blue", "cyan", "black", "green", "magenta", "yellow", "orange", "red", "ruby"]
    two = names(client, text="red", sort="name", limit=2, offset=3)
    assert two == by_path[3:5]


def test_near_duplicates_are_left_out_and_counted(client, service):
    def found(**body):
        return client.post("/search/text", json={"limit": 100, **body}).json()

    every, fewer = found(text="red"), found(text="red", duplicates=0.999)
    assert (every["hidden"], fewer["hidden"]) == (0, 1)
    left = [hit["tags"][0] for hit in every["hits"] if hit["tags"][0] != "ruby"]
    assert [hit["tags"][0] for hit in fewer["hits"]] == left
    assert found(sort="date", duplicates=0.999)["hidden"] == 1
    assert found(text="red", duplicates=0.999, limit=1, offset=8)["hits"] == fewer["hits"][8:9]
    red = ids(service)["red"]
    like = {"image_id": red, "duplicates": "0.999", "limit": "2"}
    answer = client.post("/search/image", data=like).json()
    assert answer["hits"][0]["tags"] == ["ruby"]  # red itself is no answer, so ruby repeats none
    for wrong in (0, -1, 1.5):
        assert "duplicates must be" in names(client, 400, text="red", duplicates=wrong)["error"]


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 1))
def test_of_near_ones_the_first_stays(seed, cosine):
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((rng.integers(1, 12), 3)))
    kept = []
    for row in range(len(rows)):  # the slow way
        if all(float(np.dot(rows[row], rows[other])) < cosine for other in kept):
            kept.append(row)
    assert distinct(rows, cosine) == kept


def download(client, kind, *chosen, status=200):
    answer = client.post("/download", data={"format": kind, "id": list(chosen)})
    assert answer.status_code == status, answer.text
    return answer


def test_lists_of_what_is_selected(client, service):
    of = ids(service)
    answer = download(client, "csv", of["red"], of["green"], of["red"])
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="images.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["file"] for row in rows] == ["red.png", "odd/green.png"]
    assert rows[0] == {
        "file": "red.png",
        "id": of["red"],
        "bytes": str(len(service.source.read("red.png"))),
        "date": "2023-11-14T22:13:21+00:00",
        "width": "24",
        "height": "24",
        "tags": "red",
    }
    lines = download(client, "jsonl", of["green"]).text.splitlines()
    (green,) = map(json.loads, lines)
    assert (green["files"], green["tags"]) == (["odd/green.png"], ["green"])


def test_an_archive_has_the_files_and_names_those_that_are_gone(tmp_path):
    with colour_service(tmp_path) as service:
        client, of = client_of(service), ids(service)
        red = (tmp_path / "images" / "red.png").read_bytes()
        (tmp_path / "images" / "blue.png").unlink()
        packed = download(client, "zip", of["red"], of["blue"], of["green"]).content
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["red.png", "odd/green.png", "missing.txt"]
            assert archive.read("red.png") == red
            assert archive.read("missing.txt") == b"blue.png\n"
        assert "index again" in download(client, "zip", of["blue"], status=404).json()["error"]


def test_downloads_are_bounded(client, service, monkeypatch):
    of = ids(service)
    assert "1 to 200 images" in download(client, "csv", status=400).json()["error"]
    assert "format must be one of" in download(client, "pdf", of["red"], status=400).json()["error"]
    unknown = "00000000-0000-0000-0000-000000000000"
    assert "no image" in download(client, "csv", unknown, status=404).json()["error"]
    many = [f"{number:08}-0000-0000-0000-000000000000" for number in range(201)]
    assert "got 201" in download(client, "csv", *many, status=400).json()["error"]
    monkeypatch.setattr(downloads, "MAX_BYTES", 10)
    assert "MB together" in download(client, "zip", of["red"], status=413).json()["error"]
