"""The search app over a folder of plain colour images and a fake model, for several tests."""

import asyncio
import io
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from cir.app.application import Settings, create_app
from cir.app.service import SearchService
from cir.app.stores import IndexedImage, StoreInfo, content_id, open_store
from cir.app.web import server
from cir.datasets.sources import open_source
from cir.images import decoding as images
from tests.helpers.fake_search_model import FakeSearchModel, plain

COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "orange", "black", "white")


def png(image):
    """An image as PNG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_colours(folder, names=COLOURS):
    """One PNG of each colour, COLOUR.png, every second one in the folder odd/."""
    (folder / "odd").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        path = folder / ("odd" if number % 2 else "") / f"{name}.png"
        path.write_bytes(png(plain(name, (24 + number, 24))))


def filled_store(place, source, model):
    """A store of all that a source lists, tagged with the names of the files."""
    store = open_store(str(place), StoreInfo(model.fingerprint(), model.dim, source.name))
    records, pixels = [], []
    for listed in source.listed():
        data = source.read(listed.path)
        image = images.decode(data, "a test image")
        tags = (Path(listed.path).stem,)
        where = (content_id(data), (listed.path,), len(data), listed.date)
        records.append(IndexedImage(*where, *image.size, tags))
        pixels.append(model.preprocess(image))
    if records:
        store.upsert(records, model.encode_pixels(np.stack(pixels)))
    return store


@contextmanager
def colour_service(folder, model=None, settings=None):
    """A service over a fresh folder of colours."""
    model = model or FakeSearchModel()
    if not (folder / "images").exists():
        write_colours(folder / "images")
    source = open_source(f"folder:{folder / 'images'}")
    with filled_store(folder / "store", source, model) as store:
        service = SearchService(model, store, source, settings or Settings())
        try:
            yield service
        finally:
            service.close()


def ids(service):
    """The id of each image by the name of its file, without the suffix."""
    return {image.tags[0]: image.id for image in service.store.images()}


class Client:
    """Asks an app without a network between: a loop and a client for each request."""

    def __init__(self, app, base="http://testserver"):
        self.app = app
        self.base = base

    def request(self, method, path, **options):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)


def client_of(service, settings=None, **options):
    """A client of a fresh app around the service."""
    return Client(create_app(service, settings, **options))


@contextmanager
def running(service, settings=None, head_seconds=None, read_seconds=None):
    """The address of a real server of this process, on loopback."""
    listening = server.listen("127.0.0.1", 0)
    app = create_app(service, settings)
    protocol = type("Protocol", (server.PatientProtocol,), {})
    if head_seconds is not None:
        protocol.head_seconds = head_seconds
    if read_seconds is not None:
        protocol.read_seconds = read_seconds
    stopping = server.Stopping()
    thread = threading.Thread(
        target=server.serve, args=(app, listening), kwargs={"http": protocol, "stopping": stopping}
    )
    thread.start()
    try:
        wait_for(server.address_of(listening))
        yield server.address_of(listening).rstrip("/")
    finally:
        stopping.stop()
        thread.join(60)
        assert not thread.is_alive()


def wait_for(address, seconds=60.0):
    """Until a server answers there."""
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, int(port)), 1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing answers at {address}")


@contextmanager
def memory_watched():
    """A list that gets the most megabytes that this process took beside what it had."""

    def taken():
        return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1000

    before, most, done = taken(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.001):
            most.append(taken() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()
    most[:] = [max(most)]
