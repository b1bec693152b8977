"""Walk through the parts of JPEG, PNG and WebP files, and read single entries of their EXIF data.

Nothing here fails on broken files: what cannot be read is not there.
"""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

JPEG, PNG, SCANS = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", 0xDA
EXIF = b"Exif\0\0"

TIFF, BIG_TIFF = (b"II*\0", b"MM\0*"), (b"II+\0", b"MM\0+")
_MOST_ENTRIES = 1 << 16
_EXIF_SEGMENT = 0xE1
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_ORIENTATION, _EXIF_DIRECTORY, _ORIGINAL, _ZONE = 0x0112, 0x8769, 0x9003, 0x9011
_ASCII, _SHORT, _LONG = 2, 3, 4
_LETTERS = {_SHORT: "H", _LONG: "I"}  # of `struct`


class Part(NamedTuple):
    """A part of a file: its kind, the place of its first byte, what it holds, and where it ends."""

    kind: int | bytes
    start: int
    content: bytes
    end: int


def is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """Yield the whole segments of a JPEG before its first scan; `content` is without the size."""
    place = len(JPEG)
    while match := _MARKER.match(data, place):
        size = int.from_bytes(data[match.end() : match.end() + 2], "big")
        if match[1][0] == SCANS or size < 2:
            return
        place = match.end() + size
        if place > len(data):
            return
        yield Part(match[1][0], match.end() - 2, data[match.end() + 2 : place], place)


def png_chunks(data: bytes) -> Iterator[Part]:
    """Yield the chunks of a PNG whose content is whole; `content` is without the checksum."""
    place = len(PNG)
    while len(data) >= place + 8:
        size, kind = struct.unpack_from(">I4s", data, place)
        if place + 8 + size > len(data):
            return
        yield Part(kind, place, data[place + 8 : place + 8 + size], place + 12 + size)
        place += 12 + size


def webp_chunks(data: bytes) -> Iterator[Part]:
    """Yield the whole chunks of a WebP."""
    place = 12
    while len(data) >= place + 8:
        kind, size = struct.unpack_from("<4sI", data, place)
        if place + 8 + size > len(data):
            return
        end = place + 8 + size + size % 2
        yield Part(kind, place, data[place + 8 : place + 8 + size], end)
        place = end


class TiffDirectory(NamedTuple):
    """The first directory of a TIFF: its entries as they are by tag and type.

    `whole` is false if the file ends before the last entry. `pointer` and `number` are the formats
    (see `struct`) of a place in the file and of a number of entries.
    """

    entries: dict[tuple[int, int], bytes]
    whole: bool
    pointer: str
    number: str
    place: int


def tiff_directory(file: BinaryIO) -> TiffDirectory:
    """Read the first directory of a TIFF, but none of the values behind it."""
    file.seek(0)
    head = file.read(16)
    order, big = "<" if head.startswith(b"II") else ">", head.startswith(BIG_TIFF)
    pointer, number, size, at = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    found = TiffDirectory({}, False, order + pointer, order + number, 0)
    try:
        found = found._replace(place=struct.unpack_from(found.pointer, head, at)[0])
        file.seek(found.place)
        (count,) = struct.unpack(found.number, file.read(struct.calcsize(number)))
        for _ in range(min(count, _MOST_ENTRIES)):
            entry = file.read(size)
            found.entries[struct.unpack_from(f"{order}HH", entry)] = entry
    except (struct.error, OverflowError, ValueError, OSError):  # the directory is cut or nowhere
        return found
    return found._replace(whole=len(entry) == size if count else False)


def exif_of(data: bytes) -> bytes:
    """Return the EXIF data of an image file, which begin with their byte order; b"" if none."""
    if data.startswith(JPEG):
        found = [
            part.content.removeprefix(EXIF)
            for part in jpeg_segments(data)
            if part.kind == _EXIF_SEGMENT and part.content.startswith(EXIF)
        ]
        return b"".join(found)
    if data.startswith(PNG):
        found = [part.content for part in png_chunks(data) if part.kind == b"eXIf"]
    elif is_webp(data):
        found = [part.content for part in webp_chunks(data) if part.kind == b"EXIF"]
    else:
        found = [data] if data.startswith(TIFF) else []
    return found[0].removeprefix(EXIF) if found else b""


def orientation(exif: bytes) -> int:
    """Return the orientation 1 to 8 that EXIF data hold; 1 if they hold none."""
    values = (_entry(exif, None, _ORIENTATION, kind) for kind in (_SHORT, _LONG))
    value = next((value for value in values if value is not None), 1)
    return value if value in range(1, 9) else 1


def original_date(exif: bytes) -> tuple[str, str]:
    """Return the texts of the date when a picture was taken and of its time zone; "" if none."""
    inner = _entry(exif, None, _EXIF_DIRECTORY, _LONG)
    if inner is None:
        return "", ""
    found = (_entry(exif, inner, tag, _ASCII) for tag in (_ORIGINAL, _ZONE))
    date, zone = ((text or b"").decode("ascii", "replace").strip("\0 ") for text in found)
    return date, zone


def _entry(exif: bytes, directory: int | None, tag: int, kind: int) -> int | bytes | None:
    """Return the number or the text of one entry of a directory; None stands for the first one.

    No other entry is read, so that none can disturb.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        if directory is None:
            (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for place in range(directory + 2, directory + 2 + 12 * entries, 12):
            found, its_kind, count = struct.unpack_from(f"{order}HHI", exif, place)
            if found != tag or its_kind != kind:
                continue
            if kind != _ASCII:
                return struct.unpack_from(order + {_SHORT: "H", _LONG: "I"}[kind], exif, place + 8)[
                    0
                ]
            if count > 4:
                (place,) = struct.unpack_from(f"{order}I", exif, place + 8)
                return exif[place : place + count]
            return exif[place + 8 : place + 8 + count]
    except struct.error:  # the data end early
        pass
    return None
