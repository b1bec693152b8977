"""Limit the size of request bodies and the time that they take to arrive."""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.app.settings import Settings

_FORM_BYTES = 100_000  # for the other fields and the boundaries, in addition to the image
_LINGER_SECONDS = 3.0


class BodyLimits:
    """ASGI middleware that answers 413 to a body that is too large and 408 to one that is too slow.

    A body is refused before anything is read if its Content-Length is too large, and otherwise as
    soon as it passes the limit; the server never holds more than that. If a client is still
    sending when it is refused, the rest is read and dropped for some seconds: if the connection
    were closed at once, the client would see a broken connection and not the answer.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; pass on anything but HTTP."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._settings)
        await self._app(scope, body.receive, body.send)


class _Body:
    """Counts and times the body of one request, between the server and the app."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings):
        headers = Headers(scope=scope)
        uploads = headers.get("content-type", "").lower().startswith("multipart/")
        image = settings.max_upload_bytes
        self._limit = image + _FORM_BYTES if uploads else settings.max_body_bytes
        length = headers.get("content-length", "")
        self._announced = int(length) if length.isascii() and length.isdigit() else 0
        chunked = "transfer-encoding" in headers
        self._complete = not self._announced and not chunked
        self._seconds = settings.body_seconds
        self._deadline = time.monotonic() + settings.body_seconds
        self._received = 0
        self._late = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """Return the next part; raise an HTTPException, which the app answers, at a limit."""
        if self._complete:
            return await self._receive()
        if self._announced > self._limit:
            raise self._too_large()
        message = await self._next(self._deadline)
        if message is None:
            self._late = True
            raise HTTPException(
                408, f"the request took longer than {self._seconds:g} s to arrive; send it again"
            )
        if self._received > self._limit:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer; its end waits while the client is still sending."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and not self._complete:
            await self._send({**message, "more_body": True})
            if not self._late:
                await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        elif message["type"] == "http.response.start" and not self._complete:
            headers = [*message.get("headers", []), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await self._send(message)

    async def _linger(self) -> None:
        deadline = time.monotonic() + _LINGER_SECONDS
        while not self._complete and await self._next(deadline) is not None:
            continue

    async def _next(self, deadline: float) -> Message | None:
        """Return the next message and count its bytes; None if it does not arrive in time."""
        try:
            left = deadline - time.monotonic()
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except asyncio.TimeoutError:
            return None
        self._received += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        limit = f"{self._limit:,} bytes"
        return HTTPException(413, f"the request is too large: this server takes {limit}")
