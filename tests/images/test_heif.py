"""Photographs of phones are decoded if pillow-heif is installed, and left out by name if not."""

import io
import sys
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.datasets.exif_dates import taken
from cir.images import decoding, walk

ORIENTATION, EXIF, TAKEN = 0x0112, 0x8769, 0x9003


def photograph():
    """60 x 40 pixels, red beside blue, which the camera took upright at a known time."""
    pytest.importorskip("pillow_heif", reason="the extra formats is not installed")
    image = Image.new("RGB", (60, 40), (255, 0, 0))
    image.paste((0, 0, 255), (30, 0, 60, 40))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(EXIF)[TAKEN] = "2020:01:02 03:04:05"
    buffer = io.BytesIO()
    image.save(buffer, "HEIF", quality=95, exif=exif.tobytes())
    return buffer.getvalue()


def test_the_format_is_read_if_its_package_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # cannot be imported
    without = decoding._formats()
    registered = []
    package = SimpleNamespace(register_heif_opener=lambda: registered.append("HEIF"))
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    assert decoding._formats() == (*without, *registered) == (*without, "HEIF")
    assert {"HEIF", *without} == {"HEIF", *decoding.FORMATS}


def test_without_the_package_the_files_are_counted_and_named(tmp_path):
    if "HEIF" in decoding.FORMATS:
        pytest.skip("the extra formats is installed")
    for name in ("a.HEIC", "b.heif"):
        (tmp_path / name).write_bytes(b"?")
    found = walk.walk(tmp_path)
    assert found.sentence() == "left out: 2 of a format that is not read (a.HEIC, b.heif)"


def test_a_photograph_is_upright_and_has_its_date(tmp_path):
    data = photograph()
    (tmp_path / "a.HEIC").write_bytes(data)
    assert walk.walk(tmp_path).images == ["a.HEIC"]
    decoded = decoding.decode(tmp_path / "a.HEIC", "a")
    assert decoding.upright_size(data, "a") == decoded.size == (40, 60)
    above, below = decoded.getpixel((20, 10)), decoded.getpixel((20, 50))
    assert above[0] > 200 > 50 > above[2]
    assert below[2] > 200 > 50 > below[0]
    assert taken(data) == datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize("left", [12, 100, 300, -50])
def test_a_cut_file_is_refused_with_a_sentence(left):
    with pytest.raises(UserError, match="image a cannot be decoded"):
        decoding.decode(photograph()[:left], "a")
