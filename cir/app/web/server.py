"""Run uvicorn, with limits on the time that slow clients may take."""

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cir.core.errors import UserError

_CONNECTIONS = 512
_KEEP_ALIVE_SECONDS = 15
_STOP_SECONDS = 5
HEAD_SECONDS = 10.0
READ_SECONDS = 30.0


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, but a connection is closed if the head of a request takes too long.

    uvicorn itself waits forever for the head of a request, and for a client that does not read its
    answer. Enough clients that send one letter a minute, or read nothing, would use up all
    connections.
    """

    head_seconds = HEAD_SECONDS
    read_seconds = READ_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the clock for the head of the first request."""
        self._overdue: asyncio.TimerHandle | None = None
        super().connection_made(_Gathering(transport, self.loop, self.read_seconds))
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Pass on the bytes, and stop the clock once the head is complete."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, since the client has disconnected."""
        self._relax()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the clock while a head is awaited, and stop it while a request is answered.

        Between two requests of a connection, uvicorn's own timeout runs until the next byte.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self._relax()
        elif self._overdue is None and not self.transport.is_closing():
            self._overdue = self.loop.call_later(self.head_seconds, self._drop)

    def _relax(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _drop(self) -> None:
        self._overdue = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


class _Gathering:
    """A transport that sends all data written in one turn of the event loop at once.

    uvicorn writes the head and the body separately. Each write releases Python's global lock, and
    while a model is busy, getting the lock back takes longer than sending.

    The transport drops a client that reads none of the waiting data for `read_seconds`.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, read_seconds: float
    ):
        self._transport = transport
        self._loop = loop
        self._read_seconds = read_seconds
        self._parts: list[bytes] = []
        self._written = 0
        self._watched = False

    def write(self, data: bytes) -> None:
        """Send the data at the end of this turn of the event loop."""
        if data and not self._parts:
            self._loop.call_soon(self._flush)
        if data:
            self._parts.append(data)

    def close(self) -> None:
        """Send the data written so far, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            data = b"".join(parts)
            self._transport.write(data)
            self._written += len(data)
            self._watch()

    def _watch(self) -> None:
        """Check again after `read_seconds` if the client has not read everything."""
        waiting = self._transport.get_write_buffer_size()
        if waiting and not self._watched:
            self._watched = True
            self._loop.call_later(self._read_seconds, self._look, self._written - waiting)

    def _look(self, taken: int) -> None:
        self._watched = False
        waiting = self._transport.get_write_buffer_size()
        if waiting and self._written - waiting <= taken:
            self._transport.abort()  # closing would wait for the client
        else:
            self._watch()

    def __getattr__(self, name: str) -> Any:
        """Take everything else from the wrapped transport."""
        return getattr(self._transport, name)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to this address; clients can connect once `serve` listens on it.

    Raises UserError if the host does not exist, or if the port is in use or forbidden.
    """
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise UserError(f"cannot listen on the host {host}: {error}") from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise _not_listening(host, port, error) from None
    return listening


def _not_listening(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"port {port} of {host} is in use by another process: stop it, or choose another port "
            "with --port"
        )
    return UserError(f"cannot listen on port {port} of {host}: {error.strerror}")


def address_of(listening: socket.socket) -> str:
    """Return the address for a browser on this machine, such as "http://127.0.0.1:8000/"."""
    host, port = listening.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "127.0.0.1" if listening.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    return ip_address(listening.getsockname()[0]).is_loopback


class Stopping:
    """Stops a server from another thread, as a signal would."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None

    def stop(self) -> None:
        """Stop the server once the requests under way are answered."""
        assert self.server is not None, "the server was never started"
        self.server.should_exit = True


def serve(
    app: ASGIApp,
    listening: socket.socket,
    http: type[asyncio.Protocol] = PatientProtocol,
    stopping: Stopping | None = None,
) -> None:
    """Answer requests until SIGINT or SIGTERM; requests under way have some seconds to finish.

    There is one process, since the model should be in memory once, and only one process can open
    an embedded store.
    """
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="off",
        access_log=False,  # an address may hold the token, and /metrics counts requests
        log_level="warning",
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    server = uvicorn.Server(config)
    if stopping is not None:
        stopping.server = server
    with _signals_are_answered():
        try:
            server.run(sockets=[listening])
        except OSError as error:  # another process began to listen after the socket was bound
            raise _not_listening(*listening.getsockname()[:2], error) from None


@contextmanager
def _signals_are_answered() -> Iterator[None]:
    """Ignore the signals that uvicorn raises again after it has stopped.

    uvicorn raises them for earlier handlers. Here they must do nothing, so that `serve` returns,
    the store is closed and the exit status is 0.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
