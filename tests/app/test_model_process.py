"""Test the model in its own process: its answers, errors, and the end of a process."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

from cir.app.model_process import ModelProcess
from cir.core.errors import UserError
from cir.core.records import Edit
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.search_app import client_of, colour_service

PREPARED = []


@pytest.fixture
def model():
    process = ModelProcess(FakeSearchModel(), lambda: PREPARED.append(1))
    yield process
    process.close()


def gone(pid, seconds=60.0):
    """Return whether a process ends within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as state:  # noqa: PTH123
                if state.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_its_answers_are_those_of_the_model(model):
    here = FakeSearchModel()
    assert (model.dim, model.fingerprint()) == (here.dim, here.fingerprint())
    pixels = np.stack([model.preprocess(plain(name)) for name in ("red", "blue")])
    texts, edits = ["red", "add blue"], [Edit("", ("green",)), Edit("", (), ("red",))]
    np.testing.assert_array_equal(model.encode_pixels(pixels), here.encode_pixels(pixels))
    np.testing.assert_array_equal(model.encode_texts(texts), here.encode_texts(texts))
    assert model.tag(texts) == here.tag(texts)
    weights = [0.5, 2.0]
    np.testing.assert_array_equal(
        model.compose(pixels, edits, weights), here.compose(pixels, edits, weights)
    )
    assert PREPARED == []  # it was called in the other process


def test_errors_travel_and_do_no_harm(model):
    pixels = np.stack([model.preprocess(plain("red"))])
    with pytest.raises(UserError, match="the query is empty"):
        model.compose(pixels, [Edit("")], [0.0])
    with pytest.raises(AssertionError):
        model.encode_pixels(pixels.astype(np.float32))
    assert model.encode_texts(["red"]).shape == (1, 12)


class Stubborn(Exception):  # noqa: N818
    """An error that pickle can save but not restore."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


class Awkward(FakeSearchModel):
    """Raises errors and returns an answer that pickle cannot transfer."""

    def tag(self, texts):
        if texts == ["apart"]:
            raise Stubborn("this", "that")
        if texts == ["local"]:
            raise type("Local", (Exception,), {})("of this place")
        return lambda: texts


@pytest.mark.parametrize(
    ("text", "said"),
    [("apart", "Stubborn.*this and that"), ("local", "Local.*of this place"), ("", "cannot be s")],
)
def test_what_does_not_travel_is_told_and_does_no_harm(text, said):
    model = ModelProcess(Awkward())
    try:
        with pytest.raises(RuntimeError, match=said):
            model.tag([text])
        assert model.encode_texts(["red"]).shape == (1, 12)
    finally:
        model.close()


def test_several_threads_get_their_own_answers(model):
    here, wrong = FakeSearchModel(), []

    def ask(text):
        for _ in range(20):
            if not np.array_equal(model.encode_texts([text]), here.encode_texts([text])):
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(t,)) for t in ("red", "blue", "green", "x")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_process_that_is_killed_is_told(model, tmp_path):
    with colour_service(tmp_path, model) as service:
        client = client_of(service)
        assert client.get("/readyz").status_code == 200
        os.kill(model._process.pid, signal.SIGKILL)
        model._process.join(5)
        for response in (client.get("/readyz"), client.post("/search/text", json={"text": "red"})):
            assert response.status_code == 503
            assert "the model's process has ended" in response.json()["error"]
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_the_server_alone(model, number):
    model.encode_texts(["red"])  # the process runs
    os.kill(model._process.pid, number)
    assert model.encode_texts(["red"]).shape == (1, 12)


def test_closing_ends_it(model):
    pid = model._process.pid
    model.close()
    assert gone(pid)
    with pytest.raises(UserError, match="has ended"):
        model.encode_texts(["red"])


def parent(connection):
    model = ModelProcess(FakeSearchModel())
    connection.send(model._process.pid)
    time.sleep(60)
    model.close()


def test_it_ends_with_the_server_however_that_ends():
    forking = multiprocessing.get_context("fork")
    here, there = forking.Pipe()
    server = forking.Process(target=parent, args=(there,))
    server.start()
    pid = here.recv()
    assert not gone(pid, 0.2)
    server.kill()
    server.join()
    assert gone(pid)


def forgetful():
    ModelProcess(FakeSearchModel()).encode_texts(["red"])
    kept.append(ModelProcess(FakeSearchModel()))


kept = []


def test_one_that_was_not_closed_keeps_nobody_from_ending():
    process = multiprocessing.get_context("fork").Process(target=forgetful)
    process.start()
    process.join(5)
    assert process.exitcode == 0


def test_it_serves(model, tmp_path):
    with colour_service(tmp_path, model) as service:
        tagged = asyncio.run(service.tag("add a red hat"))
        assert tagged.edit.add == ("red hat",)
