"""Serve with cir serve: what it answers, which store it serves, and how it ends."""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from cir.app import model_process, search_model
from cir.app.libraries import GALLERY_STORE
from cir.app.stores import open_store
from cir.app.web import server, waiting
from cir.commands import index as index_command
from cir.commands import serve as serve_command
from cir.commands.serve import GALLERY
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import say
from tests.helpers import ROOT
from tests.helpers.fake_search_model import FakeSearchModel
from tests.helpers.search_app import Client, write_colours
from tests.helpers.serving import make_place, serving

pytestmark = pytest.mark.recipes

MODEL = ("--model", "encoder")


@pytest.fixture
def model(monkeypatch, tmp_path):
    """Replace the model by a fake one, and work in a folder that holds only models."""
    model = FakeSearchModel()

    def load(folder, tagger=None):
        model.loaded.append((str(folder), str(tagger)))
        model.has_tagger = tagger is not None
        return model

    monkeypatch.setattr(search_model, "load", load)
    model.loaded = []
    here = contextlib.contextmanager(lambda load: (yield load()))
    monkeypatch.setattr(model_process, "in_own_process", here)  # no fork: a test has threads
    monkeypatch.setattr(waiting, "WaitingRoom", Room)
    monkeypatch.delenv(serve_command.TOKEN_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("text_search", "encoder", "tagger"):
        Path("models", name).mkdir(parents=True)
        Path("models", name, "weights").write_text("as trained")
    return model


class Room:
    """Notes what the service tells while it starts, in the place of a process that answers."""

    told = ()

    def __init__(self, listening, settings):
        Room.told = []

    def tell(self, doing):
        Room.told.append(doing)

    def close(self):
        Room.told.append("ready")
        say("nobody is told to wait any more")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def served(monkeypatch):
    """Replace the server by a list that gets a visit for each time the command serves."""
    found = []

    def serve(app, listening):
        found.append(Visit(app, listening))

    monkeypatch.setattr(server, "serve", serve)
    return found


LINK = re.compile(r'<li><a href="(\S+)"( aria-current="page")?>(\S+)</a></li>')


class Visit:
    """The answers that a client gets while the command serves."""

    def __init__(self, app, listening):
        self.host, self.port = listening.getsockname()[:2]
        self.local = server.is_loopback(listening)
        client = Client(app, "http://localhost")
        self.health = client.get("/healthz").status_code
        self.ready = client.get("/readyz")
        self.found = client.post("/search/text", json={"text": "red"})
        self.loopback = client.get("/healthz", headers={"host": "127.0.0.1:8000"}).status_code
        self.elsewhere = client.get("/healthz", headers={"host": "example.org"}).status_code
        Path("models", "text_search", "weights").write_text("trained again")
        self.swapped = client.get("/readyz")
        Path("models", "text_search", "weights").write_text("as trained")
        self.libraries = {}  # the paths of the images in each, by the name on the page
        for address, _, name in LINK.findall(client.get("/").text):
            page = client.get(f"/{address.removeprefix('./')}")
            assert {n: here for _, here, n in LINK.findall(page.text)}[name]
            asked = {"text": "red"}
            found = client.post(f"/{address.removeprefix('./')}search/text", json=asked).json()
            self.libraries[name] = {path for hit in found["hits"] for path in hit["paths"]}
            image = client.get(found["hits"][0]["thumbnail"])
            assert image.headers["content-type"] == "image/jpeg"

    @property
    def names(self):
        return {hit["tags"][0] if hit["tags"] else "" for hit in self.found.json()["hits"]}

    @property
    def paths(self):
        return {path for hit in self.found.json()["hits"] for path in hit["paths"]}


def answer(*arguments):
    parser = argparse.ArgumentParser()
    serve_command.add_command(parser.add_subparsers(required=True))
    options = parser.parse_args(["serve", "--port", "0", *map(str, arguments)])
    return options.run(options)


def index(*arguments):
    parser = argparse.ArgumentParser()
    index_command.add_command(parser.add_subparsers(required=True))
    options = parser.parse_args(["index", *MODEL, *map(str, arguments)])
    return options.run(options)


def drawn_gallery():
    """Write a gallery where the pipeline's test images would be."""
    write_colours(GALLERY, ("red", "green", "blue"))


def test_without_options_the_drawn_gallery_is_served_on_loopback(model, served, capsys):
    drawn_gallery()
    assert answer() == "stopped"
    (visit,) = served
    assert (visit.host, visit.local) == ("127.0.0.1", True)
    assert visit.health == 200
    assert visit.ready.json()["images"] == 3
    assert visit.paths == {"red.png", "odd/green.png", "blue.png"}
    assert visit.elsewhere == 400
    told = capsys.readouterr().err
    ready = told.index("nobody is told to wait any more")
    assert told.index(f"3 images; open http://127.0.0.1:{visit.port}/") > ready
    assert "warning" not in told
    assert visit.swapped.status_code == 503
    assert "models/text_search have changed" in visit.swapped.json()["error"]
    open_store(GALLERY_STORE, None).close()  # the store is free again
    assert Room.told == [
        "loading the model text_search",
        "opening the store .search-gallery",
        "indexing gallery: 3 of 3 files",
        "ready",
    ]


def test_the_drawn_gallery_leaves_the_default_store_to_a_folder(model, served, tmp_path):
    drawn_gallery()
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    answer()
    index(tmp_path / "mine")
    answer()
    gallery, mine = {"red.png", "odd/green.png", "blue.png"}, {"yellow.png", "odd/cyan.png"}
    assert [visit.paths for visit in served] == [gallery, mine]
    assert [visit.libraries for visit in served] == [{}, {"mine": mine, "gallery": gallery}]


def test_a_gallery_in_the_default_store_does_not_keep_a_folder_out(model, served, tmp_path):
    """An earlier release kept the gallery there."""
    drawn_gallery()
    index(GALLERY, "--store", ".search")
    answer()
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    index(tmp_path / "mine")
    answer()
    answer("--base-path", "/photos")
    answer("--store", ".search", "--store", ".search-mine")
    gallery, mine = {"red.png", "odd/green.png", "blue.png"}, {"yellow.png", "odd/cyan.png"}
    assert [visit.paths for visit in served] == [gallery, mine, mine, gallery]
    both = {"mine": mine, "test": gallery}
    assert [visit.libraries for visit in served] == [{}, both, both, both]
    assert [*served[1].libraries] == ["mine", "test"]


def test_libraries_may_have_different_models_and_one_may_fail(model, served, tmp_path, capsys):
    for name, colour in (("one", "yellow"), ("two", "cyan"), ("three", "red")):
        write_colours(tmp_path / name, (colour,))
    index(tmp_path / "one")
    index(tmp_path / "two", "--model", "text_search")
    index(tmp_path / "three")
    model.loaded.clear()
    answer()
    assert [Path(folder).name for folder, _ in model.loaded] == ["encoder", "text_search"]
    both = {"one": {"yellow.png"}, "three": {"red.png"}, "two": {"cyan.png"}}
    assert served[0].libraries == both
    (tmp_path / "one").rename(tmp_path / "gone")
    Path("models", "text_search").rename("away")
    capsys.readouterr()
    with pytest.raises(FileNotFoundError):  # of a visit, which changes the model's files
        answer()
    told = capsys.readouterr().err
    assert "note: the store .search-two was made with the model in" in told
    assert "note: not served: the images of the store .search are gone" in told
    with pytest.raises(UserError, match=r"the images of the store \.search are gone"):
        answer("--store", ".search")


def test_the_drawn_gallery_is_kept_up_to_date(model, served):
    drawn_gallery()
    answer()
    seen = model.encoded_images
    answer()
    assert model.encoded_images == seen
    (GALLERY / "red.png").unlink()
    answer()
    model.name = "trained-again"  # as after another make repro
    answer()
    assert [visit.ready.json()["images"] for visit in served] == [3, 3, 2, 2]
    assert served[-1].ready.json()["model"] == "fake-trained-again"
    assert model.encoded_images == seen + 2


def test_what_was_indexed_is_served(model, served, tmp_path):
    drawn_gallery()
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    index(tmp_path / "mine")
    answer()  # serves the default store
    index(tmp_path / "mine", "--store", "other")
    answer("--store", "other")
    assert [visit.paths for visit in served] == [{"yellow.png", "odd/cyan.png"}] * 2
    model.name = "another"
    for store in ((), ("--store", "other")):
        with pytest.raises(UserError, match="holds vectors of the model fake-colours"):
            answer(*store)


def test_the_model_that_made_the_store_is_served(model, served, tmp_path):
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    index(tmp_path / "mine")
    answer()
    answer("--model", "text_search")
    answer("--index", tmp_path / "mine", "--store", "other", "--model", "encoder")
    answer("--store", "other")
    folders = [Path(folder).name for folder, _ in model.loaded]
    assert folders == ["encoder", "encoder", "text_search", "encoder", "encoder"]
    Path("models", "encoder").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"the store \.search was made with the model in .*gone"):
        answer()


def test_without_a_tagger_it_serves_and_says_so(model, served, capsys):
    drawn_gallery()
    Path("models", "tagger", "weights").unlink()
    Path("models", "tagger").rmdir()
    answer()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "note:" in line]
    assert "no tagger in models/tagger" in line
    assert "dvc repro train_tagger (about 10 minutes)" in line
    assert model.loaded == [("models/text_search", "None")]
    assert served[0].found.status_code == 200
    assert "needs the tagger" in served[0].ready.json()["note"]


def test_a_folder_can_be_indexed_first(model, served, tmp_path):
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    answer("--index", tmp_path / "mine", "--store", "place")
    assert served[0].ready.json()["images"] == 2
    with pytest.raises(UserError, match="is not a folder of images"):
        answer("--index", tmp_path / "nowhere", "--store", "place")


def test_tags_stay_unless_others_are_given(model, served, tmp_path):
    write_colours(tmp_path / "mine", ("yellow", "cyan"))
    (tmp_path / "tags.csv").write_text("file,tag\nyellow.png,sun\n")
    answer("--index", tmp_path / "mine", "--tags", tmp_path / "tags.csv")
    answer("--index", tmp_path / "mine")
    index(tmp_path / "mine")
    answer()
    assert [visit.names for visit in served] == [{"sun", ""}] * 3
    (tmp_path / "tags.csv").write_text("file,tag\n")
    answer("--index", tmp_path / "mine", "--tags", tmp_path / "tags.csv")
    assert served[-1].names == {""}
    with pytest.raises(UserError, match="--tags needs --index"):
        answer("--tags", tmp_path / "tags.csv")
    with pytest.raises(UserError, match=r"the file none\.csv, which does not exist"):
        answer("--tags", "none.csv", "--index", tmp_path / "mine")


def test_the_gallery_of_an_older_model_may_lie_behind_a_link(model, served, tmp_path):
    drawn_gallery()
    (tmp_path / "elsewhere").mkdir()
    Path(".search-gallery").symlink_to(tmp_path / "elsewhere" / "place")
    answer()
    model.name = "trained-again"
    answer()
    assert [visit.ready.json()["images"] for visit in served] == [3, 3]
    assert Path(".search-gallery").is_symlink()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["place"]


def test_the_gallery_is_not_removed_while_another_process_makes_it(model, served, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    drawn_gallery()
    answer()
    model.name = "trained-again"
    holder = "import sys; from cir.core import files\nwith files.exclusive('.search-gallery'):"
    holder += " print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as other:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(UserError, match=r"another process is writing \.search-gallery"):
            answer()
        other.stdin.close()
    with open_store(GALLERY_STORE, None) as store:
        assert store.count() == 3


def test_what_is_missing_is_a_sentence(model, served, tmp_path):
    with pytest.raises(UserError, match="nothing to serve: index a folder"):
        answer()
    with pytest.raises(UserError, match="there is no store at nowhere"):
        answer("--store", "nowhere")
    with pytest.raises(UserError, match="no tagger in none: train it with make re"):
        answer("--tagger", "none")
    with pytest.raises(UserError, match="no model vitamin-s in models: get it with cir models get"):
        answer("--model", "vitamin-s")
    drawn_gallery()
    with pytest.raises(UserError, match="cannot listen on the host"):
        answer("--host", "not.a.host")
    assert served == []


def test_a_port_in_use_is_a_sentence_before_anything_is_loaded(model, served, monkeypatch):
    drawn_gallery()
    monkeypatch.setattr(search_model, "load", None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"):
            answer("--port", port)


def test_a_store_in_use_is_a_sentence(model, served):
    drawn_gallery()
    answer()
    place = GALLERY_STORE
    with open_store(place, None), pytest.raises(UserError, match=place):
        answer()


def test_beyond_loopback_without_a_token_is_told(model, served, capsys):
    drawn_gallery()
    answer("--host", "0.0.0.0")
    told = capsys.readouterr().err
    assert "warning: everybody who can reach 0.0.0.0" in told
    assert "open http://127.0.0.1:" in told
    assert (served[0].local, served[0].elsewhere) == (False, 200)
    answer("--host", "0.0.0.0", "--token", "long-enough", "--allow-host", "photos.example")
    assert "warning" not in capsys.readouterr().err
    assert served[1].elsewhere == 400
    assert served[1].loopback == 200  # as a container checks its own health


def test_the_token_comes_from_an_option_or_the_environment(model, served, monkeypatch, capsys):
    drawn_gallery()
    answer("--token", "long-enough")
    monkeypatch.setenv(serve_command.TOKEN_VARIABLE, "also-long-enough")
    answer()
    told = capsys.readouterr().err
    assert "?token=" in told
    assert "long-enough" not in told
    assert [visit.ready.status_code for visit in served] == [401, 401]
    for wrong in ("", "short", "with a space in it", "snö-och-is"):
        with pytest.raises(UserError, match="at least 8 characters"):
            answer("--token", wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--allow-host", "https://photos.example"),
        ("--allow-host", "photos.example/"),
        ("--allow-host", ""),
        ("--base-path", "photos"),
        ("--base-path", "/a b"),
        ("--base-path", "/photos/../x"),
        ("--base-path", "https://photos.example/photos"),
        ("--port", "70000"),
        ("--port", "x"),
        ("--max-upload", "0"),
        ("--max-upload", "x"),
    ],
)
def test_wrong_options(wrong, capsys):
    with pytest.raises(SystemExit):
        answer(*wrong)
    assert "expected" in capsys.readouterr().err


# ---- A real process with real, tiny models.


@pytest.fixture(scope="module")
def place(tmp_path_factory, encoder):
    """Make a folder with models and images."""
    return make_place(tmp_path_factory.mktemp("place"), encoder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_real_process_answers_and_stops_cleanly(place, number):
    with serving(place, *MODEL, "--index", "images") as (running, address):
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=address, timeout=60) as client:
            assert client.get("/readyz").json()["images"] == 2
            found = client.post("/search/text", json={"text": "red", "limit": 1})
            assert len(found.json()["hits"]) == 1
            image = {"image": (place / "images" / "red.png").read_bytes()}
            composed = {"text": "add red", "image_weight": "0.5"}
            answered = client.post("/search/composed", files=image, data=composed)
            assert answered.status_code == 200
        port = int(address.rpartition(":")[2])
        listening = [
            (connection.laddr.ip, connection.laddr.port)
            for connection in psutil.Process(running.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening == [("127.0.0.1", port)]
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert out == "stopped\n"
        assert "Traceback" not in err
    open_store(str(place / ".search"), None).close()
