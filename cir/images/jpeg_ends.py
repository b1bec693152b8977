"""Tell a JPEG that lacks only its end marker from one that lacks pixels."""

import hashlib
import re
from io import BytesIO

from PIL import Image

END = b"\xff\xd9"

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_RESTARTS = range(0xD0, 0xD8)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Never 0xFF, and with different first bits.
_NOISES = [
    bytes((167 * number + first) % 255 for number in range(96)) for first in (13, 90, 170, 242)
]


def pixels_are_whole(data: bytes) -> bool:
    """Return whether a JPEG without an end marker has all its pixels.

    A decoder that has all pixels does not look at what follows. So the picture is decoded with
    different bytes behind the data; it must be the same each time. The scans must also give every
    coefficient of every component, because a progressive JPEG may lack whole scans.
    """
    data = re.sub(rb"\x00{2,}\Z", b"", data)  # files of aborted downloads are filled with zeros
    data = data.rstrip(b"\xff")
    ended, scans_are_whole, next_restart = _scans(data)
    if ended or not scans_are_whole:
        return False
    expected = _pixels(data + END)
    others = (*_NOISES, next_restart + _NOISES[0])
    return expected is not None and all(_pixels(data + other + END) == expected for other in others)


def _scans(data: bytes) -> tuple[bool, bool, bytes]:
    """Return whether the end marker is there, whether no scan is missing, and the next restart."""
    frame, progressive, missing = b"", False, {}
    place, restarts = 2, 0
    while match := _MARKER.search(data, place):
        kind, place = match[1][0], match.end()
        if kind in _RESTARTS:
            restarts += 1
            continue
        if kind == END[1]:
            return True, not missing, b""
        size = int.from_bytes(data[place : place + 2], "big")
        segment = data[place + 2 : place + size]
        if kind in _FRAMES and not frame:
            frame, progressive = segment, kind in _PROGRESSIVE
            missing = {id: set(range(64)) for id in frame[6::3]}
        elif kind == 0xDA and len(segment) >= 4:
            _note(segment, progressive, missing)
            restarts = 0
        place += size
    next_restart = bytes([0xFF, _RESTARTS[restarts % 8]])
    return False, bool(frame) and not any(missing.values()), next_restart


def _note(scan: bytes, progressive: bool, missing: dict[int, set[int]]) -> None:
    """Remove from `missing` the coefficients that a scan gives to their last bit."""
    first, last, precision = scan[-3:]
    if progressive and precision & 15:
        return
    given = range(first, last + 1) if progressive else range(64)
    for id in scan[1 : 1 + 2 * scan[0] : 2]:
        missing.get(id, set()).difference_update(given)


def _pixels(data: bytes) -> bytes | None:
    """Return a digest of the decoded pixels, or None if they cannot be decoded."""
    try:
        with Image.open(BytesIO(data), "r", ["JPEG"]) as image:
            return hashlib.sha256(image.tobytes()).digest()
    except Exception:  # Pillow raises errors of many kinds
        return None
