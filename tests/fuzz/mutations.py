"""Change bytes and texts at random places."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from cir.images.containers import PNG, png_chunks
from tests.helpers.encoders import png_chunk

_EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]
TEXTS = [
    *("", " ", "\n", "\r\n", "\r", "\t", ",", ";", "|", '"', '""', "'", "\\", "/", "..", "\0"),
    *("\ufeff", "\u00ad", "\u200b", "e\u0301", "\u00e9", "\U0001f600", "\ud800", "null", "-1"),
    *("1e999", "NaN", "a" * 5000, "images", "train/", ".jpg", "\x1a", "\x85", "\u2028", "=1+1"),
]
_VALUES = [None, True, 0, -1, 1.5, 10**400, float("nan"), "", "a", [], {}, [None], {"a": 1}, "1"]


def changed(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Make one to six changes: of bits, numbers and stretches; stretches of `others` come in."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 7)):
        place = int(rng.integers(0, len(found) + 1))
        end = place + int(rng.integers(0, 1 + min(64, len(found))))
        kind = rng.integers(0, 7)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            size, order = rng.choice(["B", "H", "I"]), rng.choice(["<", ">"])
            number = int(rng.choice(_EXTREMES)) & (2 ** (8 * struct.calcsize(size)) - 1)
            found[place : place + struct.calcsize(size)] = struct.pack(order + size, number)
        elif kind == 2:
            del found[place:end]
        elif kind == 3:
            found[place:place] = found[place:end]
        elif kind == 4:
            found[place:end] = rng.integers(0, 256, end - place, np.uint8).tobytes()
        elif kind == 5 and len(others):
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(0, len(other) + 1))
            found[place:end] = other[start : start + int(rng.integers(0, 200))]
        elif kind == 6 and rng.integers(0, 4) == 0:
            del found[place:]
    return bytes(found)


def with_checksums(data: bytes) -> bytes:
    """Return a PNG whose checksums are right again, so that a change is seen behind them."""
    if not data.startswith(PNG):
        return data
    return PNG + b"".join(png_chunk(part.kind, part.content) for part in png_chunks(data))


def text_changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Make one to four changes to a text: odd characters come in, and stretches go or move."""
    for _ in range(rng.integers(1, 5)):
        place, end = sorted(int(at) for at in rng.integers(0, len(data) + 1, 2))
        end = min(end, place + int(rng.integers(0, 40)))
        odd = str(rng.choice(TEXTS)).encode("utf-8", "surrogatepass")
        data = [
            data[:place] + odd + data[place:],
            data[:place] + odd + data[end:],
            data[:place] + data[end:],
            data[:place] + data[place:end] * 3 + data[end:],
            changed(data, rng, ()),
        ][int(rng.integers(5))]
    if rng.integers(0, 12) == 0:
        encoding = str(rng.choice(["utf-16", "utf-8-sig", "utf-32", "cp1252"]))
        data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return data


def value_changed(value: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value in which one value, at any depth, is left out or another one."""
    if isinstance(value, dict | list) and value and rng.integers(0, 6):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[int(rng.integers(len(keys)))]
        copy = value.copy()
        if rng.integers(0, 6) == 0:
            del copy[key]
        else:
            copy[key] = value_changed(value[key], rng)
        return copy
    return _VALUES[int(rng.integers(len(_VALUES)))]


def json_changed(value: Any, rng: np.random.Generator) -> bytes:
    """Change values of a JSON document and, sometimes, its text."""
    for _ in range(rng.integers(1, 4)):
        value = value_changed(value, rng)
    data = json.dumps(value, ensure_ascii=bool(rng.integers(0, 2))).encode()
    return text_changed(data, rng) if rng.integers(0, 4) == 0 else data
