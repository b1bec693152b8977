"""Answer every error with a sentence in JSON that shows no internals of the server."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.app.web.faults import Overloaded, status_of
from cir.core.errors import UserError

_MOST_CHARACTERS = 500
_LOG = logging.getLogger("cir.app")


def add_error_handlers(app: FastAPI) -> None:
    """Make the app answer refusals, invalid requests and unknown addresses with a sentence."""

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> JSONResponse:
        response = answer(status_of(error), str(error))
        if isinstance(error, Overloaded):
            response.headers["retry-after"] = str(error.retry_after)
        return response

    @app.exception_handler(RequestValidationError)
    async def misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(422, said(error.errors()))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == 404:
            detail = "there is nothing at this address; /docs lists all addresses"
        response = answer(error.status_code, detail)
        response.headers.update(error.headers or {})
        return response


def answer(status: int, sentence: str) -> JSONResponse:
    """Answer with a sentence, cut to a fixed length, in valid UTF-8."""
    cut = sentence[:_MOST_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")
    return JSONResponse({"error": cut}, status)


def said(errors: Sequence[Mapping[str, Any]]) -> str:
    """Put the first error of pydantic into a sentence, with the number of further errors."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    where = ".".join(parts)[:100] or "the request"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {first['msg']}{more}"


class Failures:
    """ASGI middleware that logs an error of the program and answers with status 500.

    Starlette's own handler runs outside all middleware, so its answers have no security headers.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; let errors outside HTTP pass."""
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
            failed = answer(500, "the server failed to answer this request; its log has the reason")
            await failed(scope, receive, send)
