"""Read from an image file when the camera took the picture."""

import re
from datetime import datetime, timedelta, timezone
from io import BytesIO

from PIL import Image

from cir.images.containers import exif_of, original_date
from cir.images.decoding import FORMATS

_EXIF, _ORIGINAL, _OFFSET = 0x8769, 0x9003, 0x9011
_JPEG = b"\xff\xd8"
_WITHOUT_EXIF = (b"BM", b"GIF8")  # BMP and GIF cannot store EXIF
# EXIF separates by colons. Cameras and programs also write other separators, spaces for zeros,
# parts of seconds, or a time zone.
_DATE = re.compile(
    r"(\d{4})[:/.-] ?(\d\d?)[:/.-] ?(\d\d?)"
    r"[ T:]+(\d\d?)[:.] ?(\d\d?)[:.] ?(\d\d?)(?:[.,]\d+)? *(Z|UTC|[+-]\d\d:?\d\d)?"
)


def taken(data: bytes) -> float | None:
    """Return EXIF's DateTimeOriginal in seconds since 1970, or None if it is missing or invalid.

    A date without a time zone is read as UTC, so that the result is the same on each machine.
    """
    exif = exif_of(data)
    if data.startswith(_WITHOUT_EXIF) or (data.startswith(_JPEG) and not exif):
        return None
    try:
        with Image.open(BytesIO(data), "r", FORMATS) as image:
            written = image.getexif().get_ifd(_EXIF)
        date, zone = str(written[_ORIGINAL]), str(written.get(_OFFSET, ""))
    except Exception:  # other parts of the file may be broken in many ways
        date, zone = original_date(exif)
    found = _DATE.fullmatch(date.strip("\0 "))
    if found is None:
        return None
    *numbers, its_zone = found.groups()
    try:
        taken_at = datetime(*map(int, numbers), tzinfo=_zone(its_zone or zone.strip("\0 ")))
        return taken_at.timestamp()
    except (ValueError, OverflowError):  # such as month 13
        return None


def _zone(text: str) -> timezone:
    """Parse a time zone such as "+02:00"; return UTC for any other text."""
    try:
        return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta())
    except ValueError:
        return timezone.utc
