"""Compare the search service with sixteen clients at once and with one, and flood it.

The server runs in a second process on loopback, as with `python -m cir serve`. All clients run in
this process, on connections that stay open. Their requests are encoded before the clock starts.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cir.app.application import Settings, create_app
from cir.app.indexing import indexed_store
from cir.app.model_process import in_own_process
from cir.app.search_model import RetrieverModel, SearchModel
from cir.app.service import SearchService
from cir.app.web import server
from cir.datasets.sources import open_source
from speed.workload import Workload, load_retriever, load_workload, write_gallery

CLIENTS = 16
FLOOD = 400  # requests at once, where 128 are answered at once and 512 connections are allowed
_WARM_UP = 48
_SCORE_DIFFERENCE = 1e-4  # sums in batches of other sizes differ in the last bits
_BOUNDARY = "a-boundary-in-no-image"
_BATCH = 64


@dataclass(frozen=True)
class Load:
    """The outcome of all requests: the total seconds, the latency of each, and the answers."""

    seconds: float
    latencies: np.ndarray
    answers: list[dict]


@dataclass(frozen=True)
class Comparison:
    """Sixteen clients compared with one.

    Attributes:
        throughput: requests per second with sixteen clients, divided by those with one.
        slowest: the 95th percentile of the latencies with sixteen clients, divided by the median.
        lost: requests without an answer, or with another answer than the single client got.
        alone: the outcome with one client.
        together: the outcome with sixteen clients.
        composed: the latencies of the composed searches among them, in seconds.
    """

    throughput: float
    slowest: float
    lost: int
    alone: Load
    together: Load
    composed: np.ndarray


@dataclass(frozen=True)
class Flood:
    """What became of many requests that came at once.

    Attributes:
        answered: requests with an answer.
        refused: requests with the status 503 and Retry-After.
        lost: all others.
        early: the median time of a refusal, divided by the time until the last answer.
        recovered: whether the service then answers `CLIENTS` requests, and none slower than in the
            flood.
    """

    answered: int
    refused: int
    lost: int
    early: float
    recovered: bool


def flood(workload: Workload) -> Flood:
    """Send FLOOD composed searches at once, each on its own connection, and then a few more."""
    with TemporaryDirectory() as place:
        write_gallery(Path(place, "images"), _distinct(workload.encoded), len(workload.encoded))
        with serving(place) as port:
            rows = range(len(workload.texts))
            requests = [_requests(workload, row)[2] for row in rows]
            asyncio.run(_ask(port, requests[:_WARM_UP], CLIENTS))
            many = [requests[number % len(requests)] for number in range(FLOOD)]
            kinds, seconds = asyncio.run(_flooded(port, many))
            after, times = asyncio.run(_flooded(port, requests[:CLIENTS]))
    refusals = seconds[kinds == "refused"]
    return Flood(
        answered=int((kinds == "answered").sum()),
        refused=len(refusals),
        lost=int((kinds == "lost").sum()),
        early=float(np.median(refusals) / seconds.max()) if len(refusals) else 0.0,
        recovered=bool((after == "answered").all() and times.max() <= seconds.max()),
    )


async def _flooded(port: int, requests: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Send all requests at once; return what became of each, and its seconds."""

    async def one(request: bytes) -> tuple[str, float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.perf_counter()
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return "lost", time.perf_counter() - began
        refused = b" 503 " in head.split(b"\r\n")[0] and b"retry-after" in head
        kind = "refused" if refused else "answered" if b" 200 " in head else "lost"
        return kind, time.perf_counter() - began

    found = await asyncio.gather(*(one(request) for request in requests))
    kinds, seconds = zip(*found, strict=True)
    return np.array(kinds), np.array(seconds)


def compare(workload: Workload, rounds: int = 2) -> Comparison:
    """Send every query by words, by image and composed: once alone, `rounds` times together."""
    with TemporaryDirectory() as place:
        write_gallery(Path(place, "images"), _distinct(workload.encoded), len(workload.encoded))
        with serving(place) as port:
            requests = [
                request
                for row in range(len(workload.texts))
                for request in _requests(workload, row)
            ]
            asyncio.run(_ask(port, requests[:_WARM_UP], CLIENTS))
            alone = asyncio.run(_ask(port, requests, 1))
            together = asyncio.run(_ask(port, requests * rounds, CLIENTS))
    lost = sum(
        not _same(answer, alone.answers[number % len(requests)])
        for number, answer in enumerate(together.answers)
    )
    return Comparison(
        throughput=(rounds * len(requests) / together.seconds) / (len(requests) / alone.seconds),
        slowest=float(
            np.percentile(together.latencies, 95) / np.percentile(together.latencies, 50)
        ),
        lost=lost,
        alone=alone,
        together=together,
        composed=together.latencies[2::3],  # words, image and composed take turns
    )


def _distinct(encoded: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(encoded))


def _requests(workload: Workload, row: int) -> list[bytes]:
    text, image = workload.texts[row], workload.encoded[row]
    words = json.dumps({"text": text, "limit": 10}).encode()
    return [
        _post("/search/text", "application/json", words),
        _post("/search/image", *_form({"limit": "10"}, image)),
        _post("/search/composed", *_form({"limit": "10", "text": text}, image)),
    ]


def _form(fields: dict[str, str], image: bytes) -> tuple[str, bytes]:
    """Return the content type and the body of a form."""
    lines = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = ("".join(lines) + file).encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={_BOUNDARY}", body


def _post(path: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _ask(port: int, requests: Sequence[bytes], clients: int) -> Load:
    """Send all requests; each client sends the next one when it has its answer."""
    latencies = np.zeros(len(requests))
    answers: list[bytes] = [b""] * len(requests)
    numbers = iter(range(len(requests)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            began = time.perf_counter()
            writer.write(requests[number])
            answers[number] = await _answer(reader)
            latencies[number] = time.perf_counter() - began
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - started
    return Load(seconds, latencies, [json.loads(answer) for answer in answers])


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


def _same(one: dict, other: dict) -> bool:
    """Return whether two answers name the same images; equal scores may change places."""
    if "hits" not in one or "hits" not in other or one["edit"] != other["edit"]:
        return False
    pairs = list(zip(one["hits"], other["hits"], strict=False))
    if len(one["hits"]) != len(other["hits"]) or not pairs:
        return False
    if any(abs(a["score"] - b["score"]) > _SCORE_DIFFERENCE for a, b in pairs):
        return False
    last = pairs[-1][0]["score"] + 2 * _SCORE_DIFFERENCE
    clear = {hit["id"] for hit in one["hits"] if hit["score"] > last}
    return clear <= {hit["id"] for hit in other["hits"]}


@contextlib.contextmanager
def serving(place: str) -> Iterator[int]:
    """Start a server process over the images in `place`, and yield its port."""
    command = [sys.executable, "-m", "speed.service", place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            _wait_for(port)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    """Wait until the server listens, a moment after it has printed its port."""
    for _ in range(200):
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no server listens on port {port}")


def _serve(place: Path) -> None:
    """Index the images and serve them; print the port and nothing else."""
    with in_own_process(_loaded) as model:
        _serve_with(model, place)


def _loaded() -> RetrieverModel:
    retriever, _ = load_retriever(_BATCH)
    return RetrieverModel(retriever.model, retriever.tagger)


def _serve_with(model: SearchModel, place: Path) -> None:
    source = open_source(f"shards:{place / 'images'}")
    with indexed_store(str(place / "store"), source, model) as (store, _):
        service = SearchService(model, store, source, Settings())
        listening = server.listen("127.0.0.1", 0)
        print(listening.getsockname()[1], flush=True)
        server.serve(create_app(service), listening)
        service.close()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _serve(Path(sys.argv[1]))
    else:
        workload = load_workload(128)[0]
        found = compare(workload)
        for name, load in (("alone", found.alone), ("together", found.together)):
            p50, p95 = np.percentile(load.latencies * 1000, [50, 95])
            rate = len(load.latencies) / load.seconds
            print(f"{name:9} {rate:6.1f} requests/s, p50 {p50:.1f} ms, p95 {p95:.1f} ms")
        print(f"p95 of a composed search {np.percentile(found.composed * 1000, 95):.1f} ms")
        print(flood(workload))
        print(f"{found.throughput:.2f}x, p95/p50 {found.slowest:.2f}, lost {found.lost}")
