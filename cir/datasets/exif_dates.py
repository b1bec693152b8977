"""When a picture was taken, as the camera wrote it into the file."""

from datetime import datetime, timedelta, timezone
from io import BytesIO

from PIL import Image

from cir.images.decoding import FORMATS

_EXIF, _ORIGINAL, _OFFSET = 0x8769, 0x9003, 0x9011
_JPEG, _APP1, _START_OF_SCAN = b"\xff\xd8", 0xE1, 0xDA
_WITHOUT_EXIF = (b"BM", b"GIF8")  # BMP and GIF have no place for it


def taken(data: bytes) -> float | None:
    """Seconds since 1970 of EXIF's DateTimeOriginal; None where there is none that makes sense.

    Cameras that do not write their time zone are taken to be on UTC, so that the answer is the
    same on every machine.
    """
    if data.startswith(_WITHOUT_EXIF) or (data.startswith(_JPEG) and not _has_exif(data)):
        return None
    try:
        with Image.open(BytesIO(data), "r", FORMATS) as image:
            written = image.getexif().get_ifd(_EXIF)
        zone = _zone(str(written.get(_OFFSET, "")).strip("\0 "))
        text = str(written[_ORIGINAL]).strip("\0 ")
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=zone).timestamp()
    except Exception:  # broken EXIF is met in many ways, and a date is never worth the picture
        return None


def _has_exif(data: bytes) -> bool:
    """Whether a JPEG file has such a segment; most of those on the web do not.

    A segment is 0xFF, its kind, and two bytes that count themselves and what follows; the picture
    itself comes last.
    """
    place = len(_JPEG)
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2]:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == _START_OF_SCAN:
            return False
        if kind == _APP1 and data[place + 4 : place + 8] == b"Exif":
            return True
        place += 1 if kind == 0xFF else 2 + size  # any number of 0xFF may go before a kind
    return False


def _zone(text: str) -> timezone:
    """The time zone "+02:00"; UTC for anything else."""
    try:
        return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta())
    except ValueError:
        return timezone.utc
