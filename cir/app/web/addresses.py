"""Accept HEAD where GET is accepted, and addresses below a base path."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BasePath:
    """ASGI middleware that takes a base path off the front of addresses.

    A proxy may pass on the base path or take it off itself: addresses without it are answered too.
    The base path without a slash at its end is redirected, because links are relative.
    """

    def __init__(self, app: ASGIApp, base_path: str):
        self._app = app
        self._base = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; pass on anything but HTTP."""
        if scope["type"] == "http" and scope["path"] == self._base:
            asked = scope["query_string"].decode("latin-1")
            where = f"{self._base}/{'?' if asked else ''}{asked}"
            await RedirectResponse(where, 308)(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"].startswith(f"{self._base}/"):
            length = len(self._base)
            raw = scope.get("raw_path")
            scope = {**scope, "path": scope["path"][length:], "raw_path": raw and raw[length:]}
        await self._app(scope, receive, send)


class Heads:
    """ASGI middleware that answers HEAD as GET is answered, but without a body."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; pass on anything but HEAD."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"}
        await self._app(asked, receive, send_without_body)
        scope["route"] = asked.get("route")  # for the metrics
