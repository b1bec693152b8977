"""What a store holds, what is asked of it, and what it answers."""

import hashlib
import re
import uuid
from dataclasses import dataclass

_UNSAFE = re.compile(r"[\\\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


@dataclass(frozen=True)
class IndexedImage:
    """An image by its content: equal files are one image with several paths.

    Attributes:
        id: `content_id` of the file.
        paths: every place that has this content, relative to the source, with "/" between their
            parts, sorted. Bytes of a name that are not UTF-8 are surrogates, as os.fsdecode
            makes them (`safe_text` is for what leaves Python).
        bytes: the size of the file.
        date: seconds since 1970: when the picture was taken, or else the file modified.
        width: pixels, as shown, that is with the camera's orientation applied; so is `height`.
        tags: what the user calls it, sorted.
    """

    id: str
    paths: tuple[str, ...]
    bytes: int
    date: float
    width: int
    height: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """What images must be; all that is given must hold.

    Attributes:
        folder: they lie in it or below; None or "" is anywhere.
        after: seconds since 1970; their date is not before it.
        before: seconds since 1970; their date is before it.
        least_bytes: the size of the smallest file.
        most_bytes: the size of the largest file.
        tags: they have all of them.
    """

    folder: str | None = None
    after: float | None = None
    before: float | None = None
    least_bytes: int | None = None
    most_bytes: int | None = None
    tags: tuple[str, ...] = ()


ANY = Filter()


@dataclass(frozen=True)
class Hit:
    """An image that was found, and the cosine of its vector and the query's."""

    image: IndexedImage
    score: float


@dataclass(frozen=True)
class StoreInfo:
    """What a store is for; it is written with the store and compared whenever one is opened.

    Attributes:
        fingerprint: of the model whose vectors it holds.
        dim: their length.
        source: the name of the image source (see cir.datasets.sources).
    """

    fingerprint: str
    dim: int
    source: str


def content_id(data: bytes) -> str:
    """The id of an image file: a UUID of the first 16 bytes of its SHA-256."""
    return str(uuid.UUID(bytes=hashlib.sha256(data).digest()[:16]))


def is_id(text: str) -> bool:
    """Whether a text has the one form that ids have: lower-case hexadecimal with four hyphens."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def safe_text(text: str) -> str:
    r"""A text without surrogates, which UTF-8 and JSON can hold; `original_text` undoes it.

    A byte that is no UTF-8 becomes \xff, any other surrogate \ud800, a backslash two of them.
    """
    return _UNSAFE.sub(_escape, text)


def original_text(text: str) -> str:
    """What `safe_text` was given."""
    return _ESCAPED.sub(_unescape, text)


def _escape(found: re.Match) -> str:
    code = ord(found[0])
    if code == ord("\\"):
        return "\\\\"
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _unescape(found: re.Match) -> str:
    escaped = found[0]
    if escaped == "\\\\":
        return "\\"
    code = int(escaped[2:], 16)
    return chr(code + 0xDC00 if escaped[1] == "x" else code)
