"""Bodies of requests: bounded in bytes and in time while they arrive."""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.app.settings import Settings

_FORM_BYTES = 100_000  # the other fields and the boundaries, beside the image
_LINGER_SECONDS = 3.0


class BodyLimits:
    """ASGI middleware: 413 for a body that is too large, 408 for one that takes too long.

    What is too large is told by Content-Length before anything is read, or else as soon as the
    limit is passed; no more than that is ever held. A client that is still sending when it is
    refused is read to the end for some seconds, into nothing: cut off at once, it would see a
    broken connection and not the answer.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._settings)
        await self._app(scope, body.receive, body.send)


class _Body:
    """The body of one request, between the server and the app."""

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
        """The next part, or an HTTPException that the app turns into its answer."""
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
        """Pass on the answer; the end of it waits for a client that is still sending."""
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
        """The next message, counted; None where it does not come in time."""
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
