"""Set what a running service accepts, and from whom."""

from collections.abc import Iterable
from dataclasses import dataclass

from cir.core.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Limits and doors of the app.

    Args:
        max_upload_bytes: of one image.
        max_pixels: of one image, uploaded or shown as a thumbnail.
        max_body_bytes: of a request without an image.
        body_seconds: in which the whole body of a request has to arrive.
        token: what a client has to know; None lets everybody in who can connect.
        hosts: the names that the Host header may have, without port; empty for any. It stops
            pages of other sites from reaching a service on loopback under a name of their own.
        batch_size: requests joined into one call of the model.
        thumbnail_bytes: memory for thumbnails.
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
            "a token must have at least 8 characters: letters, digits and signs of ASCII, no spaces"
        )


def host_names(allowed: Iterable[str], local: bool) -> tuple[str, ...]:
    """Return the host names that the service answers to; no names stand for any.

    A service that other machines can reach answers to any name, unless `allowed` gives some. The
    names of loopback are then allowed too, because a container checks its own health there.
    """
    names = tuple(name.lower() for name in allowed)
    return (*LOOPBACK, *names) if local or names else ()
