"""Measure the running service and export the figures to Prometheus."""

import math
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.core.errors import UserError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
# Clients choose methods and paths: only known ones become labels, or there would be too many.
_METHODS = ("GET", "HEAD", "POST")


class Telemetry:
    """The metrics of one app, in a separate registry.

    The metrics are cir_requests_total{route, method, status}, cir_request_seconds{route},
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
        """Call `count` for the number of images whenever the figures are read.

        The number is NaN while the store does not answer, so that the other figures can be read.
        """

        def images() -> float:
            try:
                return float(count())
            except UserError:
                return math.nan

        self._images.set_function(images)

    def step(self, name: str, seconds: float) -> None:
        """Record how long a request spent in a step."""
        self._step_seconds.labels(name).observe(seconds)

    def batch(self, name: str, size: int) -> None:
        """Record that a step was called for `size` requests at once."""
        self._batch_size.labels(name).observe(size)

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Wrap the app to count and time its requests by the template of their route."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = "500"  # if the app fails before it answers

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
    """Return the path of the route that answered, with the names of its parameters."""
    path = getattr(scope.get("route"), "path", None)
    return path or "other"
