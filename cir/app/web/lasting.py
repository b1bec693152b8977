"""Send the page's files so that browsers keep them, and compress texts."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

_FOR_EVER = "private, max-age=31536000, immutable"
_LEAST_BYTES, _LEVEL = 1_000, 5
_PICTURES = ("/images/", "/thumbnails/", "/download")  # they are compressed already


class LastingFiles(StaticFiles):
    """Serves a folder; below the digest of its content, its files never change.

    Args:
        folder: the folder.
        digest: the digest, as the first part of an address. Without it, browsers keep nothing.
        made: scripts that are made of the folder, by name.
    """

    def __init__(self, folder: Path, digest: str, made: Mapping[str, bytes] = MappingProxyType({})):
        super().__init__(directory=folder)
        self._digest = digest
        self._made = made

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, which browsers keep if the digest is in its address."""
        first, _, rest = path.partition("/")
        if first != self._digest:
            return await super().get_response(path, scope)
        if rest in self._made:
            response = Response(self._made[rest], media_type="text/javascript")
        else:
            response = await super().get_response(rest, scope)
        response.headers["cache-control"] = _FOR_EVER
        return response


class Compressed:
    """ASGI middleware that compresses all answers but pictures."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self._compressing = GZipMiddleware(app, _LEAST_BYTES, _LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        pictures = any(part in scope.get("path", "") for part in _PICTURES)
        await (self._app if pictures else self._compressing)(scope, receive, send)
