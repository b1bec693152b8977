"""Rewrite image files without the metadata and the small faults that Pillow refuses.

Pillow reads most of a file's metadata before its pixels, and refuses the whole file if they are
broken or large. The functions here copy only the parts of a file that its pixels need.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from cir.images import containers
from cir.images.containers import JPEG, PNG, Part, TiffDirectory
from cir.images.jpeg_ends import END, pixels_are_whole

_NEEDED_OF_PNG = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_BYTES_OF_TRANSPARENCY = {0: 2, 2: 6}  # of a chunk tRNS, by colour type; a palette has any number
_NEEDED_OF_WEBP = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_METADATA = 0x20 | 0x08 | 0x04  # flags of an ICC profile, EXIF and XMP
# Tags of size, samples, compression, strips and tiles, colours and planes; no others.
_NEEDED_OF_TIFF = {256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320}
_NEEDED_OF_TIFF |= {322, 323, 324, 325, 338, 339, 347, *range(512, 522), 529, 530, 531, 532}
_NUMBERS = (3, 4, 16)  # the types SHORT, LONG and LONG8
_OTHER_TYPES = {347: 7, 529: 5, 532: 5}  # JPEG tables are bytes, coefficients are rationals


def rewritten(data: bytes) -> Iterator[tuple[bytes, int | None]]:
    """Yield the file in other forms with the same pixels, the likeliest to be read first.

    With each comes the EXIF orientation of the original, or None if the form still holds it.
    Formats without metadata that disturb yield nothing, and neither do files without pixels.
    """
    if data.startswith(JPEG):
        plain, turned = _jpeg(data), containers.orientation(containers.exif_of(data))
        yield plain, turned
        if pixels_are_whole(plain):
            yield data + END, None
            yield plain + END, turned
    elif data.startswith(PNG):
        if any(part.kind == b"IDAT" for part in containers.png_chunks(data)):
            yield _png(data), containers.orientation(containers.exif_of(data))
    elif containers.is_webp(data):
        yield _webp(data), containers.orientation(containers.exif_of(data))
    elif data.startswith(containers.TIFF + containers.BIG_TIFF):
        plain = _tiff(data)
        if plain is not None:
            yield plain, None
    elif data.startswith(b"BM"):
        yield _bmp(data), None


def _jpeg(data: bytes) -> bytes:
    kept, end = JPEG, len(JPEG)
    for part in containers.jpeg_segments(data):
        end = part.end
        metadata = 0xE0 <= part.kind <= 0xEF or part.kind == 0xFE
        if not metadata or _tells_colours(part):
            kept += data[part.start : end]
    return kept + data[end:]


def _tells_colours(part: Part) -> bool:
    """Return whether a segment is JFIF's or Adobe's, by which decoders know the colour space."""
    if part.kind == 0xE0:
        return part.content.startswith(b"JFIF") and len(part.content) >= 14
    return part.kind == 0xEE and part.content.startswith(b"Adobe") and len(part.content) >= 12


def _png(data: bytes) -> bytes:
    kept = [PNG]
    for part in containers.png_chunks(data):
        checksum = struct.pack(">I", zlib.crc32(part.kind + part.content))
        # Decoders leave out a chunk that is not critical if its checksum or its size is wrong.
        sound = part.kind[:1].isupper() or data[part.end - 4 : part.end] == checksum
        if part.kind == b"tRNS":
            sound = sound and len(part.content) >= _BYTES_OF_TRANSPARENCY.get(data[25], 0)
        if part.kind in _NEEDED_OF_PNG and sound:
            kept.append(data[part.start : part.end])
    return b"".join(kept)


def _webp(data: bytes) -> bytes:
    kept = b""
    for part in containers.webp_chunks(data):
        chunk = data[part.start : part.end]
        if part.kind == b"VP8X" and part.content:
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA]) + chunk[9:]
        if part.kind in _NEEDED_OF_WEBP:
            kept += chunk + b"\0" * (len(chunk) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept


def _tiff(data: bytes) -> bytes | None:
    """Return a TIFF whose first directory has only the needed tags, in the same place.

    Returns None if the directory is cut, because tags that matter may be lost.
    """
    directory = containers.tiff_directory(BytesIO(data))
    if not directory.whole:
        return None
    entries = needed_of_tiff(directory)
    count = struct.pack(directory.number, len(entries))
    listed = count + b"".join(entries.values()) + struct.pack(directory.pointer, 0)
    return data[: directory.place] + listed + data[directory.place + len(listed) :]


def needed_of_tiff(directory: TiffDirectory) -> dict[int, bytes]:
    """Return the entries on which the pixels depend, by tag."""
    return {
        tag: entry
        for (tag, kind), entry in directory.entries.items()
        if tag in _NEEDED_OF_TIFF and kind in (*_NUMBERS, _OTHER_TYPES.get(tag))
    }


def _bmp(data: bytes) -> bytes:
    """Return a BMP whose header leaves the number of colours open.

    Pillow takes a palette of black and white for one bit a pixel, whatever the header says.
    """
    return data[:46] + bytes(4) + data[50:]
