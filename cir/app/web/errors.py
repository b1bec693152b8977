"""Whatever goes wrong, a sentence in JSON, and nothing of the server's inside."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.app.web.faults import status_of
from cir.core.errors import UserError

_MOST_CHARACTERS = 500
_LOG = logging.getLogger("cir.app")


def add_error_handlers(app: FastAPI) -> None:
    """Answer refusals, requests that do not fit and unknown addresses with a sentence."""

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> JSONResponse:
        return answer(status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    async def misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(422, said(error.errors()))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == 404:
            detail = "there is nothing at this address; /docs lists what there is"
        response = answer(error.status_code, detail)
        response.headers.update(error.headers or {})
        return response


def answer(status: int, sentence: str) -> JSONResponse:
    """A sentence, in characters that any client can read."""
    cut = sentence[:_MOST_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")
    return JSONResponse({"error": cut}, status)


def said(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's complaints as a sentence, and how many more there are."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    where = ".".join(parts)[:100] or "the request"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {first['msg']}{more}"


class Failures:
    """ASGI middleware: an error of the program is logged, and answered with status 500.

    Starlette's own stands outside all others, where answers would lack their security headers.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP passes."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            failed = answer(500, "the server failed at this request; its log says why")
            await failed(scope, receive, send)
