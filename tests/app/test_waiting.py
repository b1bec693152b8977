"""While the service starts, its address says what it is doing."""

import os
import re
import subprocess
import sys
import time

import httpx
import pytest

from cir.app.settings import LOOPBACK, Settings
from cir.app.web.security import Doors
from cir.app.web.waiting import Waiting
from tests.helpers import ROOT
from tests.helpers.search_app import Client

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a fork")

# The room forks, which a process of tests with its threads had better not do.
ROOM = """
import sys
from cir.app.settings import Settings
from cir.app.web import server, waiting

listening = server.listen("127.0.0.1", 0)
with waiting.WaitingRoom(listening, Settings(base_path="/photos")) as room:
    print(server.address_of(listening), flush=True)
    for line in sys.stdin:
        room.tell(line.strip())
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ready"})
server.serve(app, listening)
"""


@pytest.fixture
def start():
    """Return a function that starts a program and gives it with the address that it prints."""
    started = []

    def program(text):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", text], env=environment, **pipes)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield program
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def asked(address):
    """Return the text of the answer, None if there is none: between two servers one may break."""
    try:
        return httpx.get(address, timeout=60).text
    except httpx.TransportError:
        return None


def until(happened, seconds=60):
    """Ask until it is so."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_programs_get_a_sentence_and_browsers_a_page():
    waiting = Waiting()
    client = Client(waiting)
    waiting.doing = "indexing <b>: 3 of 9 files"
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "2")
    said = "the service is starting: indexing <b>: 3 of 9 files; try again soon"
    assert ready.json() == {"error": said}
    assert client.post("/search/text", json={"text": "red"}).json() == {"error": said}
    page = client.get("/?q=red", headers={"accept": "text/html,*/*"})
    assert page.status_code == 503
    assert "indexing &lt;b&gt;: 3 of 9 files" in page.text
    linked = re.findall('(?:href|src)="(starting/[^"]+)"', page.text)
    assert [client.get(f"/{path}").status_code for path in linked] == [200, 200]


def test_the_room_answers_until_the_service_does(start):
    process, address = start(ROOM)
    home = f"{address}photos/"
    assert httpx.get(f"{home}healthz", timeout=60).json() == {"status": "alive"}
    assert "starting: starting" in httpx.get(f"{home}readyz", timeout=60).json()["error"]
    process.stdin.write("loading the model\n")
    process.stdin.flush()
    until(lambda: "loading the model" in (asked(f"{home}readyz") or ""))
    process.stdin.close()
    until(lambda: asked(f"{home}readyz") == "ready")


def test_the_room_ends_with_its_service(start):
    process, address = start(ROOM)
    assert httpx.get(f"{address}healthz", timeout=60).status_code == 200
    process.kill()
    process.wait()
    until(lambda: asked(f"{address}healthz") is None)


def test_a_token_and_a_host_name_are_asked_for():
    settings = Settings(token="long-enough", hosts=LOOPBACK)
    client = Client(Doors(Waiting(), settings), "http://localhost")
    assert client.get("/").status_code == 401
    assert client.get("/healthz").status_code == 200
    assert client.get("/", headers={"authorization": "Bearer long-enough"}).status_code == 503
    assert client.get("/", headers={"host": "example.org"}).status_code == 400
