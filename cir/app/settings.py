"""Set what a running service accepts, and from whom."""

import re
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
        hosts: the host names that the Host header may give, each with a port or for any port;
            empty allows any name. They keep pages of other sites from using a service on loopback
            (DNS rebinding).
        origins: the host names, in the same form, whose pages may send requests, whatever the Host
            header gives: a reverse proxy may put another name there.
        base_path: the path below which a reverse proxy shows the service, such as "/photos", or
            "" for none.
        batch_size: the number of requests that one call of the model answers.
        most_searches: the searches that are answered at once; more are refused early, with the
            status 503 and Retry-After, so that those under way do not become slower and slower.
        thumbnail_bytes: the memory for thumbnails.
        wanted_weight, unwanted_weight: how much the images count that a person wants and does not
            want, beside a query of weight 1.
    """

    max_upload_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_body_bytes: int = 100_000
    body_seconds: float = 60.0
    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    base_path: str = ""
    batch_size: int = 32
    most_searches: int = 128
    thumbnail_bytes: int = 64_000_000
    wanted_weight: float = 0.5
    unwanted_weight: float = 0.5


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
    names = tuple(allowed)
    return (*LOOPBACK, *names) if local or names else ()


def host_name(text: str) -> str:
    """Return a host name, or a name with a port, in lower case; ValueError for anything else."""
    found = re.fullmatch(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text.lower())
    if found is None:
        raise ValueError(f'expected a host name such as photos.example.com, got "{text}"')
    return found[0]


def base_path(text: str) -> str:
    """Return a base path without a slash at its end; ValueError for anything else."""
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/(?!\.+(/|$))[A-Za-z0-9._~-]+)+", path):
        raise ValueError(f'expected a path such as /photos, got "{text}"')
    return path
