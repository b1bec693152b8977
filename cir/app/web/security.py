"""Check host names, origins and the token of requests, and set the security headers of answers."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cir.app.settings import Settings

COOKIE = "cir_token"
OPEN_PATHS = ("/healthz",)  # a supervisor has no token
# Previews of uploads have blob: addresses, and the icons of the API's pages data: addresses.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # "no-referrer" takes the origin from forms of this page too
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Doors:
    """ASGI middleware that refuses forbidden requests and adds security headers to every answer.

    A header that an answer has already, such as a stricter policy, stays.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._origins = frozenset(host.lower() for host in settings.origins)
        self._token = settings.token
        self._cookie = None if settings.token is None else cookie_value(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; pass on anything but HTTP."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts and not _is_one_of(self._hosts, host):
            return _error(
                400,
                f"this service does not answer to the host name {_shown(host)}; open it as "
                f"{', '.join(sorted(self._hosts))}, or start it with --allow-host",
            )
        origin = headers.get("origin")
        reads = scope["method"] in ("GET", "HEAD")
        if origin is not None and not reads and not self._answers_pages_of(origin, host):
            return _error(
                403,
                f"this service does not answer requests from pages of {_shown(origin)}; if that "
                "is its own address behind a reverse proxy, start it with --allow-host and the "
                "name of that host",
            )
        if self._token is None or scope["path"] in OPEN_PATHS:
            return None
        return self._without_token(scope, headers)

    def _answers_pages_of(self, origin: str, host: str) -> bool:
        """Whether a page is the service's own, or of an allowed host; the origin "null" is not."""
        try:
            parts = urlsplit(origin)
            port = parts.port
        except ValueError:
            return False
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        if usual is None or not parts.hostname:
            return False
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        forms = {f"{name}:{port or usual}"} | ({name} if port in (None, usual) else set())
        return host.lower() in forms or name in self._origins or bool(forms & self._origins)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None if the request has the token or the cookie, and else the answer to it."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return None
        if any(_same(value, self._cookie) for value in _cookies(headers.getlist("cookie"))):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == "token"]
        opening = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        # A token has no spaces; a space in an address was typed as "+".
        if opening and tokens and _same(tokens[-1].replace(" ", "+"), self._token):
            rest = [(name, value) for name, value in query if name != "token"]
            return self._welcome("./" + ("?" + urlencode(rest) if rest else ""), scope)
        sentence = (
            "this service needs its token: open /?token=... in a browser, or send the header "
            "Authorization: Bearer ..."
        )
        response = _error(401, sentence)
        response.headers["www-authenticate"] = "Bearer"
        return response

    def _welcome(self, where: str, scope: Scope) -> Response:
        """Set the cookie and redirect to the address without the token.

        Cookie and redirection are relative, for a service below a path of its host.
        """
        response = RedirectResponse(where, 303)
        response.set_cookie(
            COOKIE,
            self._cookie,
            path=None,
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        return response


def cookie_value(token: str) -> str:
    """Return the value of the cookie: a digest, so that the browser does not store the token."""
    return hmac.new(token.encode("utf-8"), b"cir search page", hashlib.sha256).hexdigest()


def _cookies(headers: Iterable[str]) -> Iterator[str]:
    """Yield the values of this service's cookie.

    `http.cookies` is of no use here: it drops all cookies if one of them is malformed.
    """
    for header in headers:
        for part in header.split(";"):
            name, _, value = part.partition("=")
            if name.strip() == COOKIE:
                yield value.strip().strip('"')


def _same(given: str, expected: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    one, other = (text.encode("utf-8", "surrogatepass") for text in (given, expected))
    return hmac.compare_digest(one, other)


def _is_one_of(names: frozenset[str], host: str) -> bool:
    """Whether a Host header gives one of the names, which hold for any port or for their own."""
    host = host.lower()
    name, _, port = host.rpartition(":")
    return host in names or (port.isdigit() and name in names)


def _shown(text: str) -> str:
    """Quote a name from a client for a message, cut to a fixed length."""
    return ascii(text[:100])


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
