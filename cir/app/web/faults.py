"""Errors for the user that have an HTTP status."""

# ruff: noqa: N818  (the names are those of HTTP)

from collections.abc import Iterator
from contextlib import contextmanager

from cir.core.errors import UserError


class BadRequest(UserError):
    """The request cannot be understood or is empty."""

    status = 400


class NotFound(UserError):
    """The image does not exist."""

    status = 404


class TooLarge(UserError):
    """The image has more bytes or pixels than this server accepts."""

    status = 413


class WrongType(UserError):
    """The upload is not an image of an accepted format."""

    status = 415


class Unreadable(UserError):
    """The image or the request has the right format but is broken."""

    status = 422


class Unavailable(UserError):
    """The service cannot answer at the moment."""

    status = 503


class Overloaded(Unavailable):
    """More requests wait than the service can answer soon."""

    retry_after = 1  # seconds


@contextmanager
def of_the_store() -> Iterator[None]:
    """Turn an error of the store into Unavailable: it is not an error of the request."""
    try:
        yield
    except UserError as error:
        raise Unavailable(str(error)) from error


def status_of(error: UserError) -> int:
    """Return the HTTP status of an error; errors of the library, which have none, give 400."""
    return getattr(error, "status", 400)
