"""What a running service is allowed to take, and from whom."""

from dataclasses import dataclass

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
