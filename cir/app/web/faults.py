"""Refusals that say which status of HTTP they are, beside the sentence for the person."""

# ruff: noqa: N818  (they are named as HTTP names them)

from collections.abc import Iterator
from contextlib import contextmanager

from cir.core.errors import UserError


class BadRequest(UserError):
    """The request cannot be understood, or asks for nothing."""

    status = 400


class NotFound(UserError):
    """There is no such image."""

    status = 404


class TooLarge(UserError):
    """More bytes or pixels than this server takes."""

    status = 413


class WrongType(UserError):
    """What was sent is no image of a format that is read here."""

    status = 415


class Unreadable(UserError):
    """What was sent has the form of an image, or of a request, and cannot be read as one."""

    status = 422


class Unavailable(UserError):
    """The service cannot answer now."""

    status = 503


@contextmanager
def of_the_store() -> Iterator[None]:
    """A store that fails is no fault of the request: it makes the service unavailable."""
    try:
        yield
    except UserError as error:
        raise Unavailable(str(error)) from error


def status_of(error: UserError) -> int:
    """The HTTP status of a refusal; 400 for those of the library, which know nothing of HTTP."""
    return getattr(error, "status", 400)
