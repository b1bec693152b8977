"""Write small PNG, TIFF and BMP files byte by byte, in kinds that Pillow itself does not write."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

SHORT, LONG, UNDEFINED = 3, 4, 7
_SIZES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 5: 8, UNDEFINED: 1, 10: 8}


def png_chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    """Return a PNG chunk; `crc` stands in the place of the right checksum."""
    right = zlib.crc32(kind + data)
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", right if crc is None else crc)
    )


def png(
    samples: np.ndarray,
    depth: int,
    colour: int,
    before: bytes = b"",
    after: bytes = b"",
    end: bytes = png_chunk(b"IEND", b""),
) -> bytes:
    """Write samples [height, width, channels] with `depth` bits as a PNG of a colour type.

    `before` and `after` are chunks around the pixels.
    """
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + packed(row, depth) for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + pixels + after + end


def packed(samples: np.ndarray, depth: int, order: str = ">") -> bytes:
    """Pack samples into bytes, the highest bit first; a row ends with a whole byte."""
    flat = np.asarray(samples).reshape(-1)
    if depth in (8, 16, 32):
        return flat.astype(f"{order}u{depth // 8}").tobytes()
    bits = (flat.astype(np.int64)[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def tiff(
    samples: np.ndarray,
    depth: int,
    photometric: int,
    extra: Sequence[int] = (),
    order: str = "<",
    apart: bool = False,
    deflate: bool = False,
    big: bool = False,
    tags: Mapping[int, tuple[int, bytes]] = {},
    rows: int | None = None,
    sample_format: int = 1,
) -> bytes:
    """Write samples [height, width, channels] as a TIFF.

    Args:
        apart: each channel is a plane of its own (PlanarConfiguration 2).
        tags: further tags, each with its type and its value in bytes.
        rows: the number of rows in a strip; by default all.
        sample_format: 1 unsigned, 2 signed, 3 floating point (bytes of float32 as uint32).
    """
    height, width, channels = samples.shape
    rows = rows or height
    planes = np.moveaxis(samples, 2, 0)[..., None] if apart else samples[None]
    strips = _strips(planes, rows, depth, order)
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]

    def short(*values):
        return SHORT, struct.pack(f"{order}{len(values)}H", *values)

    def long(*values):
        return LONG, struct.pack(f"{order}{len(values)}I", *values)

    start = 16 if big else 8
    offsets = [start + sum(map(len, strips[:number])) for number in range(len(strips))]
    entries = {
        256: long(width),
        257: long(height),
        258: short(*[depth] * channels),
        259: short(8 if deflate else 1),
        262: short(photometric),
        273: long(*offsets),
        277: short(channels),
        278: long(rows),
        279: long(*map(len, strips)),
        284: short(2 if apart else 1),
    }
    if extra:
        entries[338] = short(*extra)
    if sample_format != 1:
        entries[339] = short(*[sample_format] * channels)
    entries |= tags
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    return (
        _tiff_header(start + len(body), order, big)
        + body
        + _directory(entries, start + len(body), order, big)
    )


def _strips(planes: np.ndarray, rows: int, depth: int, order: str) -> list[bytes]:
    """Pack planes [P, height, width, channels] as strips of so many rows, plane after plane."""
    return [
        b"".join(packed(row, depth, order) for row in plane[start : start + rows])
        for plane in planes
        for start in range(0, planes.shape[1], rows)
    ]


def exif(
    entries: Mapping[int, tuple[int, bytes]],
    inner: Mapping[int, tuple[int, bytes]] | None = None,
    order: str = "<",
) -> bytes:
    """Write EXIF data, a TIFF without pixels; `inner` are the entries about the picture."""
    if inner is None:
        return _tiff_header(8, order, False) + _directory(entries, 8, order, False)
    pointing = entries | {0x8769: (LONG, bytes(4))}
    place = len(exif(pointing, order=order))
    pointing[0x8769] = LONG, struct.pack(f"{order}I", place)
    return exif(pointing, order=order) + _directory(inner, place, order, False)


def _tiff_header(directory: int, order: str, big: bool) -> bytes:
    name = b"II" if order == "<" else b"MM"
    if big:
        return name + struct.pack(f"{order}HHHQ", 43, 8, 0, directory)
    return name + struct.pack(f"{order}HI", 42, directory)


def _directory(
    entries: Mapping[int, tuple[int, bytes]], place: int, order: str, big: bool
) -> bytes:
    count, inline = ("Q", 8) if big else ("H", 4)
    entry = struct.calcsize(f"{order}HH{'Q' if big else 'I'}") + inline
    after = place + struct.calcsize(f"{order}{count}") + entry * len(entries) + inline
    listed, values = struct.pack(f"{order}{count}", len(entries)), b""
    for tag, (kind, value) in sorted(entries.items()):
        number = len(value) // _SIZES[kind]
        listed += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, number)
        if len(value) <= inline:
            listed += value.ljust(inline, b"\0")
        else:
            listed += struct.pack(f"{order}{'Q' if big else 'I'}", after + len(values))
            values += value + b"\0" * (len(value) % 2)
    return listed + bytes(inline) + values


def bmp(
    samples: np.ndarray,
    bits: int,
    palette: bytes = b"",
    masks: Sequence[int] = (),
    colours: int = 0,
) -> bytes:
    """Write samples [height, width, channels], in the order of a BMP's bytes, as a BMP.

    `masks` are those of red, green, blue and alpha, for which the header has version 4.
    """
    height, width, channels = samples.shape
    lines = [packed(row, bits // channels, "<") for row in samples[::-1]]
    body = b"".join(line + b"\0" * (-len(line) % 4) for line in lines)
    size = 108 if masks else 40
    header = struct.pack(
        "<IiiHHIIiiII",
        size,
        width,
        height,
        1,
        bits,
        3 if masks else 0,
        len(body),
        2835,
        2835,
        colours,
        0,
    )
    if masks:
        header += struct.pack("<4I", *masks) + b"sRGB".ljust(52, b"\0")
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + header + palette + body
