"""Define the records of a store, and the form in which Qdrant keeps and filters them.

Both stores write the same payload beside each vector: `to_payload` and `from_payload` convert it,
and `to_filter` turns a Filter into conditions on it.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

# The fields of the payload that filters search: texts, and numbers that have ranges.
KEYWORDS = ("folders", "tags")
NUMBERS = ("date", "bytes")

_UNSAFE = re.compile(r"[\\\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


@dataclass(frozen=True)
class IndexedImage:
    """An image that is identified by its content: equal files are one image with several paths.

    Attributes:
        id: the `content_id` of the file.
        paths: every path with this content, relative to the source, with "/" between the parts,
            sorted. Bytes that are not UTF-8 are surrogates, as os.fsdecode makes them; apply
            `safe_text` before a path leaves Python.
        bytes: the size of the file.
        date: seconds since 1970: when the photograph was taken, or when the file was modified.
        width, height: pixels, after the camera's orientation is applied.
        tags: the user's tags, sorted.
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
    """Conditions on images; an image has to meet all of them.

    Attributes:
        folder: the image is in this folder or below it; None or "" allows every folder.
        after: the date is this one or later, in seconds since 1970.
        before: the date is earlier than this one, in seconds since 1970.
        least_bytes, most_bytes: the smallest and the largest size of the file.
        tags: the image has all these tags.
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
    """An image that was found.

    Attributes:
        image: the record.
        score: the cosine of the image's vector and the query's vector; None without a query.
        fit: "good", "fair" or "unlikely" (see `cir.app.calibration`); None if it is not known.
    """

    image: IndexedImage
    score: float | None
    fit: str | None = None


@dataclass(frozen=True)
class Calibration:
    """What random queries reach on the images of a store; see `cir.app.calibration`.

    Attributes:
        images: how many images the store had then.
        levels: the least lead of a fair and of a good match, for each kind of search.
        examples: searches by words of which the store has good matches.
        photographs: whether most images are larger than drawn scenes.
    """

    images: int
    levels: Mapping[str, tuple[float, float]]
    examples: tuple[str, ...] = ()
    photographs: bool = False

    @classmethod
    def read(cls, written: Any) -> "Calibration | None":
        """Return the calibration from the form that a store saves; None for anything else."""
        try:
            pairs = written["levels"].items()
            levels = {str(kind): (float(fair), float(good)) for kind, (fair, good) in pairs}
            examples = tuple(map(str, written["examples"]))
            return cls(int(written["images"]), levels, examples, bool(written["photographs"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class StoreInfo:
    """The purpose of a store. It is saved in the store and compared each time the store is opened.

    Attributes:
        fingerprint: the fingerprint of the model that made the vectors.
        dim: D, the length of the vectors.
        source: the name of the image source (see cir.datasets.sources).
        model: the folder of that model when the store was last indexed, "" if it is not known. It
            is a hint, which is not compared: folders move, and are trained again.
        calibration: what random queries reach on its images, None if that was not measured.
    """

    fingerprint: str
    dim: int
    source: str
    model: str = ""
    calibration: Calibration | None = None


def content_id(data: bytes) -> str:
    """Return the id of an image file: a UUID made of the first 16 bytes of its SHA-256."""
    return str(uuid.UUID(bytes=hashlib.sha256(data).digest()[:16]))


def is_id(text: str) -> bool:
    """Return whether a text is a UUID in lower-case hexadecimal with four hyphens."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def safe_text(text: str) -> str:
    r"""Replace surrogates, which UTF-8 and JSON cannot hold; `original_text` restores them.

    A surrogate of a byte becomes \xff, any other surrogate \ud800, and a backslash is doubled.
    """
    return _UNSAFE.sub(_escape, text)


def original_text(text: str) -> str:
    """Return the text from which `safe_text` made this one."""
    return _ESCAPED.sub(_unescape, text)


def to_payload(image: IndexedImage) -> dict[str, Any]:
    """Return the payload of an image; `folders` are all folders that contain it, at any depth.

    Empty lists are left out, because Qdrant Edge needs more time for them than for a number.
    """
    folders = set()
    for path in image.paths:
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    payload = {
        "paths": [safe_text(path) for path in image.paths],
        "folders": sorted(safe_text(folder) for folder in folders),
        "bytes": image.bytes,
        "date": float(image.date),
        "width": image.width,
        "height": image.height,
        "tags": [safe_text(tag) for tag in image.tags],
    }
    return {key: value for key, value in payload.items() if value != []}


def from_payload(id: str, payload: dict[str, Any]) -> IndexedImage:
    """Return the image from which `to_payload` made this payload."""
    return IndexedImage(
        id,
        tuple(map(original_text, payload["paths"])),
        payload["bytes"],
        float(payload["date"]),
        payload["width"],
        payload["height"],
        tuple(map(original_text, payload.get("tags", ()))),
    )


def info_payload(info: StoreInfo) -> dict[str, Any]:
    """Return the form in which a store saves its info."""
    return {**asdict(info), "source": safe_text(info.source), "model": safe_text(info.model)}


def to_info(written: Any) -> StoreInfo | None:
    """Return the info from which `info_payload` made this value; None if it has another form."""
    try:
        source, model = original_text(written["source"]), original_text(written.get("model", ""))
        scale = Calibration.read(written.get("calibration"))
        return StoreInfo(str(written["fingerprint"]), int(written["dim"]), source, model, scale)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def to_filter(where: Filter, qdrant: ModuleType, number_range: type) -> Any:
    """Return a filter in the classes of a Qdrant client, or None if all images are allowed.

    Args:
        where: the conditions.
        qdrant: the module that defines Filter, FieldCondition and MatchValue.
        number_range: the client's class of a range of numbers.
    """
    texts = [("tags", tag) for tag in where.tags]
    folder = (where.folder or "").strip("/")
    if folder:
        texts.append(("folders", folder))
    numbers = [
        ("date", {"gte": where.after, "lt": where.before}),
        ("bytes", {"gte": where.least_bytes, "lte": where.most_bytes}),
    ]
    must = [
        qdrant.FieldCondition(key=key, match=qdrant.MatchValue(value=safe_text(text)))
        for key, text in texts
    ]
    must += [
        qdrant.FieldCondition(key=key, range=number_range(**limits))
        for key, limits in numbers
        if any(limit is not None for limit in limits.values())
    ]
    return qdrant.Filter(must=must) if must else None


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
