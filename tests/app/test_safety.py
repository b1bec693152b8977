"""Test the service with hostile clients and files."""

import asyncio
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from cir.app.application import Settings, create_app
from cir.app.indexing import index
from cir.app.search_model import RetrieverModel
from cir.app.service import SearchService
from cir.app.settings import host_names
from cir.app.stores import IndexedImage, StoreInfo, content_id, open_store
from cir.app.web import uploads
from cir.app.web.readiness import LoadedFiles, Readiness
from cir.app.web.security import COOKIE, cookie_value
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.errors import UserError
from cir.datasets.sources import open_source
from cir.images import decoding as images
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.search_app import (
    Client,
    client_of,
    colour_service,
    filled_store,
    ids,
    memory_watched,
    png,
    running,
    write_colours,
)

pytestmark = pytest.mark.recipes

TOKEN = "a-long-secret"
NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with colour_service(tmp_path_factory.mktemp("app")) as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    return client_of(service)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name, data):
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def png_of_size(width, height):
    """Return a PNG with a few bytes of data whose header gives this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, part) for name, part in chunks)


def gif_of_size(width, height):
    """Return a small GIF whose header gives this size."""
    small = bytearray(encoded(plain("red"), "GIF"))
    small[6:10] = struct.pack("<HH", width, height)
    return bytes(small)


GIF_JS = encoded(plain("red"), "GIF").replace(b"GIF87a", b"GIF89a") + b"/*<script>*/=1;alert(1)"
JPEG_HTML = encoded(plain("red"), "JPEG", comment=HTML) + HTML
PNG_ZIP = png(plain("red")) + b"PK\x03\x04" + HTML


def upload(client, data, name="a.png", kind="image/png", path="/search/image", **fields):
    return client.post(path, files={"image": (name, data, kind)}, data=fields)


def refused(response, status, part):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert part in response.json()["error"]


# ---- uploads


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        (SVG, 415, "is not supported"),
        (HTML, 415, "is not supported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "is not supported"),
        (b"\0" * 100, 415, "is not supported"),
        (b"\x89PNG\r\n\x1a\n", 422, "data end early"),
        (png(plain("red"))[:60], 422, "cannot be decoded"),
        (encoded(Image.effect_noise((90, 90), 90), "JPEG")[:2000], 422, "cannot be decoded"),
        (png_of_size(50_000, 50_000), 413, "too large"),
        (png_of_size(9_000, 9_000), 413, "50,000,000 pixels"),
        (gif_of_size(60_000, 60_000), 413, "too large"),
    ],
    ids=[
        "svg",
        "html",
        "eps",
        "zeros",
        "signature alone",
        "cut png",
        "cut jpeg",
        "png bomb",
        "png over the limit",
        "gif bomb",
    ],
)
@pytest.mark.parametrize("kind", ["image/png", "text/html"])
def test_what_is_no_good_image_is_refused_whatever_it_is_called(client, data, status, part, kind):
    refused(upload(client, data, kind=kind), status, part)


def test_an_upload_without_a_byte_is_none(client):
    refused(upload(client, b""), 400, "nothing to search by")


@pytest.mark.parametrize("data", [GIF_JS, JPEG_HTML, PNG_ZIP], ids=["gif", "jpeg", "png"])
def test_a_polyglot_counts_as_the_image_that_it_is(client, data):
    """The service never sends an upload back."""
    response = upload(client, data, name="x.html", kind="text/html")
    assert response.status_code == 200
    assert response.json()["hits"][0]["tags"] == ["red"]


@NEEDS_PROC
@pytest.mark.parametrize(
    "bomb",
    [
        png_of_size(50_000, 50_000),
        gif_of_size(65_535, 65_535),
        png_of_size(50_000, 1_001),  # slightly more than the limit of 50 million
    ],
    ids=["png", "gif", "just over"],
)
def test_bombs_take_no_memory(client, bomb):
    with memory_watched() as most:
        refused(upload(client, bomb), 413, "too large")
    assert most[0] < 30


@NEEDS_PROC
def test_an_image_just_under_the_limit_takes_what_its_pixels_take(client):
    """Its header gives 50 million pixels; refusing it takes the memory of one picture at most."""
    with memory_watched() as most:
        refused(upload(client, png_of_size(50_000, 1_000)), 422, "cannot be decoded")
    assert most[0] < 4 * 50 + 30


@NEEDS_PROC
@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000)])
def test_a_line_of_pixels_takes_no_memory(tmp_path, encoder, size):
    """The encoder scales the shorter side to a fixed length, and the longer side with it."""
    line = png(plain("red", size))
    write_colours(tmp_path / "images", ("red", "blue"))
    (tmp_path / "images" / "line.png").write_bytes(line)
    model = RetrieverModel(EncodedComposer(encoder, arithmetic()))
    source = open_source(f"folder:{tmp_path / 'images'}")
    info = StoreInfo(model.fingerprint(), model.dim, source.name)
    with open_store(str(tmp_path / "store"), info) as store, memory_watched() as most:
        assert index(source, model, store, workers=1).indexed == 3
        service = SearchService(model, store, source)
        assert upload(client_of(service), line).status_code == 200
        service.close()
    assert most[0] < 60


def test_one_large_image_is_decoded_at_a_time_and_holds_up_no_figures(service, monkeypatch):
    """Meanwhile small images are decoded, and the state of the service can be read."""
    monkeypatch.setattr(uploads, "LARGE", 100 * 100)
    decode, now, most, go = images.decode, [], [], threading.Event()

    def watched(encoded, name, *limits):
        image = decode(encoded, name, *limits)
        if image.width == 200:
            now.append(1)
            most.append(len(now))
            assert go.wait(10)
            now.pop()
        return image

    monkeypatch.setattr(images, "decode", watched)
    many = 2 * max(2, os.cpu_count() or 1)

    async def ask():
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as asking:

            def sent():
                return asking.post("/search/image", files={"image": png(plain("red", (200, 99)))})

            large = [asyncio.create_task(sent()) for _ in range(many)]
            while not now:
                await asyncio.sleep(0.01)
            state = [
                (await asyncio.wait_for(asking.get(path), 5)).status_code
                for path in ("/metrics", "/readyz")
            ]
            go.set()
            return state, [answer.status_code for answer in await asyncio.gather(*large)]

    assert asyncio.run(ask()) == ([200, 200], [200] * many)
    assert max(most) == 1


def test_uploads_are_bounded_in_bytes(tmp_path):
    with colour_service(tmp_path, settings=Settings(max_upload_bytes=10_000)) as service:
        client = client_of(service)
        noise = encoded(Image.effect_noise((200, 200), 90), "PNG")
        assert len(noise) > 10_000
        refused(upload(client, noise), 413, "10,000")
        assert upload(client, png(plain("red"))).status_code == 200
        big = png(plain("red")) + b"\0" * 200_000
        refused(upload(client, big), 413, "too large")


def test_bodies_without_an_image_are_bounded_more_tightly(client):
    body = json.dumps({"text": "x" * 200_000})
    headers = {"content-type": "application/json"}
    refused(client.post("/search/text", content=body, headers=headers), 413, "100,000")
    fields = {f"f{number}": "x" for number in range(400)}
    assert client.post("/search/image", data=fields).status_code == 400


# ---- over a real connection


def zeros(count):
    """Yield the body of a form with an image of this many zero bytes, in pieces."""
    yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    piece = b"\0" * 65_536
    for _ in range(count // len(piece)):
        yield piece
    yield b"\r\n--b--\r\n"


@NEEDS_PROC
@pytest.mark.parametrize("announced", [True, False])
def test_200_megabytes_are_refused_and_never_held(service, announced):
    length = sum(map(len, zeros(200_000_000)))
    headers = {"content-type": "multipart/form-data; boundary=b"}
    if announced:
        headers["content-length"] = str(length)
    with running(service) as address:
        assert httpx.post(f"{address}/search/text", json={"text": "red"}).status_code == 200
        with memory_watched() as most:
            body = zeros(200_000_000)
            where = f"{address}/search/image"
            response = httpx.post(where, content=body, headers=headers, timeout=30)
        refused(response, 413, "20,100,000 bytes")
        assert most[0] < 30
        assert httpx.get(f"{address}/readyz").status_code == 200


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def until_closed(connection):
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionError:
        pass
    return received


HEAD = (
    b"POST /search/text HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n"
)


def test_slow_clients_are_dropped_and_hold_up_nobody(service):
    settings = Settings(body_seconds=0.6)
    with running(service, settings, head_seconds=0.6) as address:
        started = time.monotonic()
        slow = {
            "silent": connected(address),
            "head": connected(address),
            "body": connected(address),
        }
        slow["head"].sendall(b"POST /sea")
        slow["body"].sendall(HEAD + b'{"te')
        answered = 0
        while answered < 2 or time.monotonic() - started < 0.4:
            assert httpx.post(f"{address}/search/text", json={"text": "red"}).status_code == 200
            answered += 1
            slow["head"].sendall(b"r")  # single bytes do not extend the time
            slow["body"].sendall(b"x")
        assert until_closed(slow["silent"]) == b""
        assert until_closed(slow["head"]) == b""
        answer = until_closed(slow["body"])
        assert time.monotonic() - started > 0.5
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"took longer than 0.6 s" in answer
        assert b"content-security-policy" in answer.lower()
        assert httpx.get(f"{address}/healthz").status_code == 200


def unread(service, path):
    """Return the address of an image of 8 MB, which no buffer of a socket holds."""
    picture = Image.effect_noise((2000, 1400), 50).convert("RGB")
    return f"/images/{indexed(service, path, encoded(picture, 'BMP'), picture.size)}"


@pytest.mark.parametrize("reads", [False, True])
def test_a_client_that_does_not_take_its_answer_is_dropped(tmp_path, reads):
    with colour_service(tmp_path) as service:
        where = unread(service, b"large.bmp")
        with running(service, read_seconds=0.4) as address, socket.socket() as connection:
            if not reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, port = address.removeprefix("http://").split(":")
            connection.connect((host, int(port)))
            connection.sendall(f"GET {where} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            received, started = 0, time.monotonic()
            while time.monotonic() - started < 1.2:
                time.sleep(0.1)
                if reads:  # it reads slowly, without a pause
                    received += len(connection.recv(400_000))
            connection.shutdown(socket.SHUT_WR)
            received += len(until_closed(connection))
            assert (received > 8_400_000) == reads
            assert "cir_requests_in_progress 1.0" in httpx.get(f"{address}/metrics").text


def test_an_open_connection_is_not_a_slow_one(service):
    with running(service, head_seconds=0.3) as address, httpx.Client(base_url=address) as client:
        assert client.get("/healthz").status_code == 200
        time.sleep(0.5)  # the connection is idle
        assert client.get("/healthz").status_code == 200


def test_nonsense_instead_of_http(service):
    with running(service) as address:
        for nonsense in (
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n" * 40_000,
        ):
            with connected(address) as connection:
                connection.sendall(nonsense)
                connection.shutdown(socket.SHUT_WR)
                assert b" 200 " not in until_closed(connection)
        assert httpx.get(f"{address}/healthz").status_code == 200


# ---- files of the index


def test_ids_lead_to_images_of_the_index_and_nowhere_else(service, client):
    real = ids(service)["red"]
    for wrong in (
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "red.png",
        "images%2fred.png",
        real.upper(),
        real + "%00",
        "00000000-0000-0000-0000-000000000000",
        "x" * 5000,
    ):
        for where in ("images", "thumbnails"):
            response = client.get(f"/{where}/{wrong}")
            assert response.status_code == 404, (wrong, response.text)
            assert list(response.json()) == ["error"]
    for wrong in ("../red.png", "0" * 36):
        refused(client.post("/search/image", data={"image_id": wrong}), 404, "image")
    for path in (
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static//etc/passwd",
    ):
        assert client.get(path).status_code == 404


def test_a_file_that_changed_since_it_was_indexed_is_not_sent(tmp_path):
    with colour_service(tmp_path) as service:
        client, known = client_of(service), ids(service)
        (tmp_path / "images" / "red.png").write_bytes(b"something else and private")
        (tmp_path / "images" / "blue.png").unlink()
        for name in ("red", "blue"):
            for path in (f"/images/{known[name]}", f"/thumbnails/{known[name]}"):
                refused(client.get(path), 404, "index again")
            composed = {"image_id": known[name], "text": "add green"}
            refused(client.post("/search/composed", data=composed), 404, "index again")
            # The store still has its vector, so that similar images are found.
            assert client.post("/search/image", data={"image_id": known[name]}).status_code == 200
        (tmp_path / "images" / "link.png").symlink_to("/etc/passwd")
        with pytest.raises(UserError):
            service.source.read("link.png")


def indexed(service, path, data, size=(24, 24)):
    """Put a file with any content into the folder and the index."""
    Path(service.source.name.removeprefix("folder:"), os.fsdecode(path)).write_bytes(data)
    image = IndexedImage(content_id(data), (os.fsdecode(path),), len(data), 1.0, *size, ("odd",))
    vector = service.model.encode_texts(["red"])
    service.store.upsert([image], vector)
    return image.id


def test_polyglots_in_the_folder_go_out_as_pictures_only(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        for name, data, kind in (
            (b"a.gif", GIF_JS, "image/gif"),
            (b"b.jpg", JPEG_HTML, "image/jpeg"),
            (b"c.jpg", GIF_JS + b" ", "image/gif"),  # the name gives another format
        ):
            image_id = indexed(service, name, data)
            original = client.get(f"/images/{image_id}")
            assert original.headers["content-type"] == kind
            assert original.headers["x-content-type-options"] == "nosniff"
            assert original.headers["content-security-policy"] == "default-src 'none'; sandbox"
            thumbnail = client.get(f"/thumbnails/{image_id}")
            assert thumbnail.headers["content-type"] == "image/jpeg"
            assert b"alert" not in thumbnail.content
            assert b"<script" not in thumbnail.content
        for name, data in ((b"d.png", SVG), (b"e.png", HTML)):
            image_id = indexed(service, name, data)
            refused(client.get(f"/images/{image_id}"), 415, "is not supported")
            refused(client.get(f"/thumbnails/{image_id}"), 415, "is not supported")
        bomb = indexed(service, b"f.png", png_of_size(40_000, 40_000))
        refused(client.get(f"/thumbnails/{bomb}"), 413, "too large")


@pytest.mark.parametrize("form", ["TIFF", "PPM", "JPEG2000"])
def test_formats_that_no_browser_shows_go_out_as_jpeg(tmp_path, form):
    buffer = io.BytesIO()
    plain("red").save(buffer, form)
    with colour_service(tmp_path) as service:
        client = client_of(service)
        answer = client.get(f"/images/{indexed(service, b'a.b.tif', buffer.getvalue())}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''a.b.jpg"
        shown = Image.open(io.BytesIO(answer.content))
        assert (shown.format, shown.size) == ("JPEG", plain("red").size)
        assert np.abs(np.asarray(shown).astype(int) - np.asarray(plain("red"))).max() <= 3


def test_names_that_are_html_or_no_text_at_all(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        names = [
            (
                b"<img src=x onerror=alert(1)>.png",
                "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.png",
            ),
            (b"caf\xe9\xff.png", None),
            ('"; filename=x.html\r\nX-Evil: 1\n☃.png'.encode(), None),
        ]
        for number, (name, quoted) in enumerate(names):
            image_id = indexed(service, name, png(plain("red", (30 + number, 30))))
            original = client.get(f"/images/{image_id}")
            assert original.status_code == 200
            disposition = original.headers["content-disposition"]
            assert disposition.startswith("inline; filename*=UTF-8''")
            assert disposition.isascii()
            assert not set('"<>;\r\n ') & set(disposition.partition("''")[2])
            assert "x-evil" not in original.headers
            if quoted is not None:
                assert disposition.endswith("''" + quoted)
        where = {"tags": ["odd"]}
        found = client.post("/search/text", json={"text": "red", "where": where})
        assert found.status_code == 200
        assert found.content.isascii()
        paths = {path for hit in found.json()["hits"] for path in hit["paths"]}
        assert "<img src=x onerror=alert(1)>.png" in paths  # the type is JSON
        assert r"caf\xe9\xff.png" in paths
        assert found.headers["content-type"] == "application/json"


def test_html_in_queries_stays_text(client):
    text = "</script><script>alert(1)</script>"
    response = client.post("/tag", json={"text": text})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.post("/search/text", json={"text": text}).status_code == 200
    refused(client.get("/images/<script>"), 404, "image")


# ---- tokens and hosts


def test_every_answer_has_the_security_headers(service, client):
    answers = [
        client.get("/"),
        client.get("/healthz"),
        client.get("/docs"),
        client.get("/nowhere"),
        client.get("/metrics"),
        client.get(f"/images/{ids(service)['red']}"),
        client.post("/search/text", json={"text": ""}),
        client.post("/search/text", content=b"x" * 200_000),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy or "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_nobody_comes_in_without_the_token(service):
    client = client_of(service, Settings(token=TOKEN))
    assert client.get("/healthz").status_code == 200
    for path in ("/", "/readyz", "/metrics", "/docs", "/openapi.json", "/static/style.css", "/x"):
        refused(client.get(path), 401, "token")
    refused(client.post("/search/text", json={"text": "red"}), 401, "token")
    refused(client.get("/?token=wrong"), 401, "token")
    refused(
        client.get("/readyz?token=" + TOKEN), 401, "token"
    )  # only the page takes it in the address
    for value in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer \xe9", TOKEN):
        headers = {"authorization": value.encode("latin-1")}
        refused(client.get("/readyz", headers=headers), 401, "token")
    good = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/readyz", headers=good).status_code == 200
    assert client.get("/healthz").headers["x-content-type-options"] == "nosniff"


def test_a_browser_gets_a_cookie_for_the_token(service):
    client = client_of(service, Settings(token=TOKEN))
    welcome = client.get(f"/?q=red&token={TOKEN}")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "./?q=red")
    cookie = welcome.headers["set-cookie"]
    assert TOKEN not in cookie
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=lax"} <= parts
    assert not [part for part in parts if part.lower().startswith("path")]  # the page's own
    value = cookie.split(";")[0]
    assert client.get("/readyz", headers={"cookie": value}).status_code == 200
    assert client.get("/readyz", headers={"cookie": f"a=1; {value}"}).status_code == 200
    for odd in ("a b=c", "x[1]=2", "{}", 'quote="', "caf\xe9=1", f"{COOKIE}=old"):
        for header in (f"{odd}; {value}", f"{value}; {odd}"):
            headers = {"cookie": header.encode("latin-1")}
            assert client.get("/readyz", headers=headers).status_code == 200, header
    for wrong in (f"{COOKIE}={TOKEN}", f"{COOKIE}={cookie_value('another')}", f"{COOKIE}=", "=;;"):
        refused(client.get("/readyz", headers={"cookie": wrong}), 401, "token")


def test_a_token_with_a_plus_opens_the_page_as_it_was_typed(service):
    client = client_of(service, Settings(token="base64+like/=="))
    for typed in ("base64+like/==", "base64%2Blike%2F%3D%3D"):
        assert client.get(f"/?q=a+b&token={typed}").headers["location"] == "./?q=a+b"
    refused(client.get("/?token=base64-like/=="), 401, "token")


def test_only_known_host_names_are_answered_on_loopback(service):
    client = client_of(service, Settings(hosts=("127.0.0.1", "localhost", "[::1]")))
    for host in ("localhost", "localhost:8000", "127.0.0.1:9", "LOCALHOST", "[::1]:8000", "[::1]"):
        assert client.get("/healthz", headers={"host": host}).status_code == 200, host
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "", "[::2]:80"):
        response = client.get("/", headers={"host": host})
        refused(response, 400, "does not answer to the host name")
    assert "<" not in client.get("/", headers={"host": "<b>"}).json()["error"][:5]


def test_pages_of_other_sites_cannot_ask(service):
    client = Client(create_app(service), "http://localhost:8000")
    for origin in ("http://evil.example", "null", "http://localhost:9000", "http://[", ""):
        headers = {"origin": origin}
        response = client.post("/search/text", json={"text": "red"}, headers=headers)
        refused(response, 403, "does not answer requests from pages")
    assert "start it with --allow-host" in response.json()["error"]
    own = {"origin": "http://localhost:8000"}
    assert client.post("/search/text", json={"text": "red"}, headers=own).status_code == 200
    assert "access-control-allow-origin" not in client.get("/healthz", headers=own).headers


PROXY = "http://127.0.0.1:8123"  # the host that a proxy sends unless it is told to send its own


@pytest.mark.parametrize(
    ("allowed", "origin", "host", "status"),
    [
        ("photos.example.com", "https://photos.example.com", PROXY, 200),
        ("photos.example.com", "http://photos.example.com", PROXY, 200),
        ("photos.example.com", "https://photos.example.com:8443", PROXY, 200),
        ("photos.example.com", "https://PHOTOS.example.com", PROXY, 200),
        ("photos.example.com:8443", "https://photos.example.com:8443", PROXY, 200),
        ("photos.example.com:443", "https://photos.example.com", PROXY, 200),
        ("photos.example.com:8443", "https://photos.example.com", PROXY, 403),
        ("photos.example.com", "https://photos.example.com.evil.example", PROXY, 403),
        ("photos.example.com", "https://evil.example", PROXY, 403),
        ("photos.example.com", "null", PROXY, 403),
        ("photos.example.com", "https://", PROXY, 403),
        ("photos.example.com", "http://127.0.0.1:9000", PROXY, 403),
        # The proxy sends its own name, with the port or without.
        ("photos.example.com", "https://photos.example.com", "https://photos.example.com", 200),
        ("photos.example.com", "https://evil.example", "https://photos.example.com", 403),
        ("p.example:8443", "https://p.example:8443", "https://p.example:8443", 200),
        ("p.example:8443", "https://p.example:8443", "https://p.example", 400),
        ("[fd00::1]", "http://[fd00::1]:8080", PROXY, 200),
        ("photos.example.com", PROXY, PROXY, 200),
        ("photos.example.com", None, PROXY, 200),
    ],
)
def test_pages_of_an_allowed_host_can_ask_through_a_proxy(service, allowed, origin, host, status):
    names = (allowed,)
    settings = Settings(hosts=host_names(names, local=True), origins=names)
    headers = {} if origin is None else {"origin": origin}
    client = Client(create_app(service, settings), host)
    response = client.post("/search/text", json={"text": "red"}, headers=headers)
    assert response.status_code == status, response.text


def test_the_usual_port_of_a_host_may_be_left_out_or_given(service):
    for host, origin in (
        ("photos.example.com:443", "https://photos.example.com"),
        ("photos.example.com:80", "http://photos.example.com"),
        ("photos.example.com", "https://photos.example.com"),
        ("[fd00::1]:80", "http://[fd00::1]"),
    ):
        headers = {"host": host, "origin": origin}
        asked = client_of(service).post("/search/text", json={"text": "red"}, headers=headers)
        assert asked.status_code == 200, host
    headers = {"host": "photos.example.com:80", "origin": "https://photos.example.com"}
    asked = client_of(service).post("/search/text", json={"text": "red"}, headers=headers)
    assert asked.status_code == 403


# ---- changes of the model and the store by others


def test_a_model_file_swapped_underneath(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "weights").write_bytes(b"as trained")
    loaded = LoadedFiles([folder])
    with colour_service(tmp_path) as service:
        readiness = Readiness(service.model, service.store, loaded)
        client = client_of(service, readiness=readiness)
        assert client.get("/readyz").status_code == 200
        os.utime(folder / "weights", (1, 1))  # the content is the same
        assert client.get("/readyz").status_code == 200
        (folder / "new").write_bytes(b"trained again")
        (folder / "new").replace(folder / "weights")
        refused(client.get("/readyz"), 503, f"the files in {folder} have changed")
        assert client.post("/search/text", json={"text": "red"}).status_code == 200
        assert client.get("/healthz").status_code == 200
        (folder / "weights").write_bytes(b"as trained")
        assert client.get("/readyz").status_code == 200
        shutil.rmtree(folder)
        refused(client.get("/readyz"), 503, "have changed")


def test_files_are_read_again_only_when_they_have_changed_since_the_last_look(
    tmp_path, monkeypatch
):
    (tmp_path / "weights").write_bytes(b"as trained")
    loaded, looks = LoadedFiles([tmp_path]), []
    whole = files.fingerprint
    monkeypatch.setattr(files, "fingerprint", lambda *parts: looks.append(1) or whole(*parts))
    assert [loaded.changed() for _ in range(3)] == [None] * 3
    (tmp_path / "weights").write_bytes(b"trained again")
    told = [loaded.changed() for _ in range(3)]
    assert all("have changed" in sentence for sentence in told)
    assert len(looks) == 1
    (tmp_path / "weights").write_bytes(b"as trained")
    assert [loaded.changed() for _ in range(3)] == [None] * 3
    assert len(looks) == 2


def test_a_store_that_another_process_has_made_for_another_model(tmp_path):
    with colour_service(tmp_path) as service:
        infos = [service.store.info, StoreInfo("another", 12, service.source.name)]
        readiness = Readiness(service.model, service.store, held=lambda: infos[0])
        client = client_of(service, readiness=readiness)
        assert client.get("/readyz").status_code == 200
        infos.reverse()
        refused(client.get("/readyz"), 503, "vectors of the model another")


def test_a_store_that_fails_or_is_closed(tmp_path):
    with colour_service(tmp_path) as service:
        client = client_of(service)
        service.store.close()
        assert client.get("/readyz").status_code == 503
        response = client.post("/search/text", json={"text": "red"})
        assert response.status_code == 503
        assert list(response.json()) == ["error"]
        assert client.get("/healthz").status_code == 200


LOCKER = """
import sys
from cir.app.stores import open_store
store = open_store(sys.argv[1], None)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_store_locked_by_another_process(tmp_path):
    model = FakeSearchModel()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "red.png").write_bytes(png(plain("red")))
    source = open_source(f"folder:{tmp_path / 'images'}")
    filled_store(tmp_path / "store", source, model).close()
    command = [sys.executable, "-c", LOCKER, str(tmp_path / "store")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    root = str(ROOT)
    with subprocess.Popen(command, cwd=root, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="store"):
            open_store(str(tmp_path / "store"), None)
        other.stdin.close()
        other.wait(10)
    with open_store(str(tmp_path / "store"), None) as store:
        service = SearchService(model, store, source)
        assert client_of(service).get("/readyz").json()["images"] == 1
        service.close()


def test_a_flood_of_requests_leaves_nothing_behind(tmp_path):
    """Clients that leave early use no resources afterwards."""
    before = set(threading.enumerate())
    with colour_service(tmp_path, FakeSearchModel(seconds=0.02)) as service:
        with running(service) as address:
            for _ in range(30):
                with connected(address) as connection:
                    body = b'{"text":"red"}'
                    head = HEAD.replace(b"100", str(len(body)).encode())
                    connection.sendall(head + body)
            assert httpx.post(f"{address}/search/text", json={"text": "red"}).status_code == 200
            text = httpx.get(f"{address}/metrics").text
        assert "cir_requests_in_progress 1.0" in text
    assert set(threading.enumerate()) - before == set()
