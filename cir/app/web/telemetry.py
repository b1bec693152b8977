"""Figures of the running service, in the form that Prometheus reads."""

import math
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.core.errors import UserError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
# Methods and paths are the clients' words: only those known here become labels.
_METHODS = ("GET", "HEAD", "POST")


class Telemetry:
    """The metrics of one app, in a registry of its own.

    cir_requests_total{route, method, status}, cir_request_seconds{route},
    cir_step_seconds{step}, cir_batch_size{step}, cir_index_images, cir_requests_in_progress.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        here = {"registry": self.registry}
        self._requests = Counter(
            "cir_requests", "Requests answered.", ["route", "method", "status"], **here
        )
        self._request_seconds = Histogram(
            "cir_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            **here,
        )
        self._step_seconds = Histogram(
            "cir_step_seconds",
            "Seconds that a request spent in a step of a search, waiting included.",
            ["step"],
            buckets=_SECONDS,
            **here,
        )
        self._batch_size = Histogram(
            "cir_batch_size", "Requests in one call of a step.", ["step"], buckets=_SIZES, **here
        )
        self._in_progress = Gauge("cir_requests_in_progress", "Requests being answered.", **here)
        self._images = Gauge("cir_index_images", "Images in the index.", **here)

    def watch_index(self, count: Callable[[], int]) -> None:
        """Ask `count` for the number of images whenever the figures are read.

        It is NaN while the store does not answer: the other figures are needed then most of all.
        """

        def images() -> float:
            try:
                return float(count())
            except UserError:
                return math.nan

        self._images.set_function(images)

    def step(self, name: str, seconds: float) -> None:
        """A request has passed a step."""
        self._step_seconds.labels(name).observe(seconds)

    def batch(self, name: str, size: int) -> None:
        """A step was called for `size` requests."""
        self._batch_size.labels(name).observe(size)

    def text(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self.registry)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """The app, with its requests counted and timed by the template of their route."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = "500"  # of an app that fails before it answers

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            started = time.perf_counter()
            self._in_progress.inc()
            try:
                await app(scope, receive, noting)
            finally:
                self._in_progress.dec()
                route = _template(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._requests.labels(route, method, status).inc()
                self._request_seconds.labels(route).observe(time.perf_counter() - started)

        return counted


def _template(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names in it."""
    path = getattr(scope.get("route"), "path", None)
    return path or "other"
