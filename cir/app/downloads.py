"""Write lists of images, and archives of their files, for download."""

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import IO, Any

from cir.app.originals import Originals
from cir.app.stores.records import IndexedImage, safe_text
from cir.app.web.faults import BadRequest, NotFound, TooLarge
from cir.core.tables import printable

MAX_IMAGES = 200
MAX_BYTES = 500_000_000  # of the files in an archive
_MISSING = "missing.txt"  # in an archive: names the files that are gone
_CHUNK = 1 << 20
_IN_MEMORY = 32 << 20  # a larger archive lies on disk until it is sent


def records(originals: Originals, ids: Sequence[str]) -> list[IndexedImage]:
    """Return the records of images by their ids, each once.

    Raises BadRequest for no ids or more than MAX_IMAGES, and NotFound for an unknown one.
    """
    ids = list(dict.fromkeys(ids))
    if not 1 <= len(ids) <= MAX_IMAGES:
        raise BadRequest(f"select 1 to {MAX_IMAGES} images to download, got {len(ids)}")
    return [originals.record(id) for id in ids]


def as_csv(images: Sequence[IndexedImage]) -> bytes:
    """Return a table with a row for each file; several tags stand between semicolons."""
    text = io.StringIO()
    rows = csv.DictWriter(text, _columns())
    rows.writeheader()
    for image in images:
        for path in image.paths:
            facts = _facts(image)
            rows.writerow(facts | {"file": safe_text(path), "tags": ";".join(facts["tags"])})
    return text.getvalue().encode()


def as_jsonl(images: Sequence[IndexedImage]) -> bytes:
    """Return a line of JSON for each image, with all its files."""
    lines = []
    for image in images:
        files = [safe_text(path) for path in image.paths]
        lines.append(json.dumps({"id": image.id, "files": files} | _facts(image)))
    return "".join(f"{line}\n" for line in lines).encode()


def as_zip(originals: Originals, images: Sequence[IndexedImage]) -> IO[bytes]:
    """Return an open archive of the files below their paths, not compressed again.

    Raises TooLarge if they have more than MAX_BYTES, and NotFound if all of them are gone.
    """
    size = sum(image.bytes for image in images)
    if size > MAX_BYTES:
        raise TooLarge(
            f"the selected files have {size / 1e6:,.0f} MB together, and an archive holds at most "
            f"{MAX_BYTES / 1e6:,.0f}: select fewer, or download the list"
        )
    archive = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (the answer closes it)
    missing = []
    with zipfile.ZipFile(archive, "w") as packed:
        for image in images:
            try:
                _, encoded = originals.read(image.id)
            except NotFound:
                missing.append(printable(image.paths[0]))
                continue
            packed.writestr(safe_text(image.paths[0]), encoded)
        if missing:
            packed.writestr(_MISSING, "".join(f"{name}\n" for name in missing))
    if len(missing) == len(images):
        archive.close()
        raise NotFound("all selected files were moved, changed or removed: index again")
    archive.seek(0)
    return archive


def chunks(archive: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of an open file, and close it."""
    with archive:
        while chunk := archive.read(_CHUNK):
            yield chunk


def _columns() -> list[str]:
    return ["file", "id", "bytes", "date", "width", "height", "tags"]


def _facts(image: IndexedImage) -> dict[str, Any]:
    try:
        when = datetime.fromtimestamp(image.date, timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):  # of a clock that was not set
        when = ""
    return {
        "id": image.id,
        "bytes": image.bytes,
        "date": when,
        "width": image.width,
        "height": image.height,
        "tags": [safe_text(tag) for tag in image.tags],
    }
