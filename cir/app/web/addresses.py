"""Accept HEAD where GET is accepted, and addresses below a base path or of another library."""

from collections.abc import Mapping, Sequence

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIBRARIES = "libraries"  # the first part of the address of every library but the first


class Libraries:
    """ASGI app that serves one library at the main address, and others below their names.

    Args:
        first: serves every address that is none of another library.
        others: the apps of the others by their names.
    """

    def __init__(self, first: ASGIApp, others: Mapping[str, ASGIApp]):
        self._first = first
        below = {f"/{LIBRARIES}/{name}": app for name, app in others.items()}
        self._others = {path: BasePath(app, path) for path, app in below.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        parts = scope.get("path", "").split("/")
        app = self._others.get("/".join(parts[:3]), self._first)
        await app(scope, receive, send)


def links_to(names: Sequence[str], here: str) -> list[tuple[str, str]]:
    """Return the name and the relative address of each library, from the start page of one."""
    up = "./" if here == names[0] else "../../"
    first, *others = names
    links = [(first, up), *((name, f"{up}{LIBRARIES}/{name}/") for name in others)]
    return [(name, "./" if name == here else address) for name, address in links]


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
