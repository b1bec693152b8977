"""Read from an image file when the camera took the picture."""

from datetime import datetime, timedelta, timezone
from io import BytesIO

from PIL import Image

from cir.images.decoding import FORMATS

_EXIF, _ORIGINAL, _OFFSET = 0x8769, 0x9003, 0x9011
_JPEG, _APP1, _START_OF_SCAN = b"\xff\xd8", 0xE1, 0xDA
_WITHOUT_EXIF = (b"BM", b"GIF8")  # BMP and GIF cannot store EXIF


def taken(data: bytes) -> float | None:
    """Return EXIF's DateTimeOriginal in seconds since 1970, or None if it is missing or invalid.

    A date without a time zone is read as UTC, so that the result is the same on each machine.
    """
    if data.startswith(_WITHOUT_EXIF) or (data.startswith(_JPEG) and not _has_exif(data)):
        return None
    try:
        with Image.open(BytesIO(data), "r", FORMATS) as image:
            written = image.getexif().get_ifd(_EXIF)
        zone = _zone(str(written.get(_OFFSET, "")).strip("\0 "))
        text = str(written[_ORIGINAL]).strip("\0 ")
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=zone).timestamp()
    except Exception:  # EXIF may be broken in many ways; the picture is useful without a date
        return None


def _has_exif(data: bytes) -> bool:
    """Return whether a JPEG file has an EXIF segment; most files on the web do not.

    A segment is 0xFF, its kind, and its size in two bytes, which the size includes. The picture
    itself comes last.
    """
    place = len(_JPEG)
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2]:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == _START_OF_SCAN:
            return False
        if kind == _APP1 and data[place + 4 : place + 8] == b"Exif":
            return True
        place += 1 if kind == 0xFF else 2 + size  # 0xFF may be repeated before a kind
    return False


def _zone(text: str) -> timezone:
    """Parse a time zone such as "+02:00"; return UTC for any other text."""
    try:
        return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta())
    except ValueError:
        return timezone.utc
