"""Images as the payload of points, and filters as conditions on it: the same in every store."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cir.app.stores.records import Filter, IndexedImage, StoreInfo, original_text, safe_text

# Keywords of texts, and numbers with ranges.
KEYWORDS = ("folders", "tags")
NUMBERS = ("date", "bytes")


@dataclass(frozen=True)
class Equals:
    """The field is, or as a list has, this text."""

    key: str
    value: str


@dataclass(frozen=True)
class Within:
    """The field is a number in this range: `least` <= number <= `most`, number < `below`."""

    key: str
    least: float | None = None
    most: float | None = None
    below: float | None = None


def to_payload(image: IndexedImage) -> dict[str, Any]:
    """What is stored beside the vector; `folders` are all that an image lies in or below.

    Lists without an entry are left out: Qdrant Edge takes longer for them than for a number.
    """
    folders = {folder for path in image.paths for folder in _above(path)}
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
    """The image that `to_payload` was given."""
    return IndexedImage(
        id,
        tuple(original_text(path) for path in payload["paths"]),
        payload["bytes"],
        float(payload["date"]),
        payload["width"],
        payload["height"],
        tuple(original_text(tag) for tag in payload.get("tags", ())),
    )


def info_payload(info: StoreInfo) -> dict[str, Any]:
    """What is written with a store of what it is for."""
    return {**asdict(info), "source": safe_text(info.source)}


def to_info(written: Any) -> StoreInfo | None:
    """What `info_payload` was given; None for what it cannot have written."""
    try:
        source = original_text(written["source"])
        return StoreInfo(str(written["fingerprint"]), int(written["dim"]), source)
    except (KeyError, TypeError, ValueError):
        return None


def conditions(where: Filter) -> list[Equals | Within]:
    """What the payload must be, all of it; an empty list for a filter that asks for nothing."""
    found: list[Equals | Within] = [Equals("tags", safe_text(tag)) for tag in where.tags]
    if where.folder and where.folder.strip("/"):
        found.append(Equals("folders", safe_text(where.folder.strip("/"))))
    if where.after is not None or where.before is not None:
        found.append(Within("date", least=where.after, below=where.before))
    if where.least_bytes is not None or where.most_bytes is not None:
        found.append(Within("bytes", least=where.least_bytes, most=where.most_bytes))
    return found


def _above(path: str) -> Iterator[str]:
    """The folders of "a/b/c.jpg": "a" and "a/b"."""
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])
