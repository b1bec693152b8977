"""Set what a running service accepts, and from whom."""

from collections.abc import Iterable
from dataclasses import dataclass

from cir.core.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Limits on requests, and who may send them.

    Args:
        max_upload_bytes: the size of one uploaded image.
        max_pixels: the pixels of one image that is uploaded or shown as a thumbnail.
        max_body_bytes: the size of a request without an image.
        body_seconds: the time in which the whole body of a request must arrive.
        token: the secret that a client has to send; None admits every client.
        hosts: the host names, without port, that the Host header may give; empty allows any name.
            They keep pages of other sites from using a service on loopback (DNS rebinding).
        batch_size: the number of requests that one call of the model answers.
        thumbnail_bytes: the memory for thumbnails.
    """

    max_upload_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_body_bytes: int = 100_000
    body_seconds: float = 60.0
    token: str | None = None
    hosts: tuple[str, ...] = ()
    batch_size: int = 32
    thumbnail_bytes: int = 64_000_000


def check_token(token: str) -> None:
    """Raise UserError for a token that is too short or that no HTTP header can carry."""
    if len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            "a token must have at least 8 characters, which must be printable ASCII without spaces"
        )


def host_names(allowed: Iterable[str], local: bool) -> tuple[str, ...]:
    """Return the host names that the service answers to; no names stand for any.

    A service that other machines can reach answers to any name, unless `allowed` gives some. The
    names of loopback are then allowed too, because a container checks its own health there.
    """
    names = tuple(name.lower() for name in allowed)
    return (*LOOPBACK, *names) if local or names else ()
