"""Answer while the service starts, from a small process of its own."""

import multiprocessing
import os
import signal
import socket
import sys
from contextlib import suppress
from html import escape
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Self

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from cir.app.settings import Settings
from cir.app.web import server
from cir.app.web.addresses import BasePath
from cir.app.web.security import Doors

_STATIC = Path(__file__).parents[1] / "page" / "static"
_FILES = {"starting.js": "text/javascript", "style.css": "text/css"}
_RETRY = {"retry-after": "2"}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Image search is starting</title>
<link rel="stylesheet" href="starting/style.css">
<script type="module" src="starting/starting.js"></script>
</head>
<body>
<main class="state">
<h1>Image search is starting</h1>
<p id="doing" role="status">{doing}</p>
<noscript><p><a href="./">Look again</a></p></noscript>
</main>
</body>
</html>
"""


class WaitingRoom:
    """Answers every request with 503 and what the service is doing, until `close`.

    It runs in a fork, so that loading a model does not hold it up. Create it before other threads
    start. Both processes have the socket: connections that come between the two wait. On systems
    other than Linux nothing answers until the service does.
    """

    def __init__(self, listening: socket.socket, settings: Settings):
        self._process = None
        if not sys.platform.startswith("linux"):
            return
        forking = multiprocessing.get_context("fork")
        there, self._here = forking.Pipe(duplex=False)
        work = (listening, settings, there, self._here)
        self._process = forking.Process(target=_answer, args=work, name="waiting", daemon=True)
        self._process.start()
        there.close()

    def tell(self, doing: str) -> None:
        """Say what the service is doing, in a few words."""
        self._send(doing)

    def close(self) -> None:
        """End the process; the socket stays open."""
        if self._process is not None:
            self._send(None)  # a model's process has the other end too, so closing is not enough
            self._process.join(10)
            self._process.kill()
            self._process.join()
            self._process = None

    def _send(self, what: str | None) -> None:
        if self._process is not None:
            with suppress(OSError):  # it has ended; the service starts all the same
                self._here.send(what)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Waiting:
    """ASGI app that answers with what `doing` holds: as a page to browsers, as JSON to others."""

    def __init__(self) -> None:
        self.doing = "starting"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        path = scope["path"]
        if path == "/healthz":
            return JSONResponse({"status": "alive"})
        name = path.removeprefix("/starting/")
        if name in _FILES:
            return Response((_STATIC / name).read_bytes(), media_type=_FILES[name])
        if "text/html" in Headers(scope=scope).get("accept", ""):
            return HTMLResponse(_PAGE.format(doing=escape(self.doing)), 503, _RETRY)
        sentence = f"the service is starting: {self.doing}; try again soon"
        return JSONResponse({"error": sentence}, 503, _RETRY)


def _answer(
    listening: socket.socket, settings: Settings, told: Connection, other_end: Connection
) -> None:
    """Answer until None comes, or the other process has ended."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the whole group: the other process decides
    waiting, stopping = Waiting(), server.Stopping()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while (doing := told.recv()) is not None:
                waiting.doing = doing
        while stopping.server is None or not stopping.server.started:
            sleep(0.01)
        stopping.stop()

    Thread(target=listen, daemon=True).start()
    app = Doors(waiting, settings)
    server.serve(
        BasePath(app, settings.base_path) if settings.base_path else app,
        listening,
        stopping=stopping,
    )
    os._exit(0)  # without the handlers of the process that it was forked from
