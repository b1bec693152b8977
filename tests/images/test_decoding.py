"""Decoding: every kind of image a user may bring, against colours known beforehand."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.images import decoding as images
from cir.images import image_files


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def solid(mode, colour, size=(6, 4)):
    return Image.new(mode, size, colour)


def palette_image(transparent):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    options = {"transparency": 1} if transparent else {}
    return encoded(image, "PNG", **options)


def grey16(value):
    pixels = np.full((4, 6), value, np.uint16)
    return encoded(Image.fromarray(pixels), "PNG")


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (encoded(solid("RGB", (10, 20, 30))), (10, 20, 30)),
        (encoded(solid("L", 77)), (77, 77, 77)),
        (encoded(solid("1", 1)), (255, 255, 255)),
        (encoded(solid("RGBA", (10, 20, 30, 255))), (10, 20, 30)),
        (encoded(solid("RGBA", (10, 20, 30, 0))), (255, 255, 255)),
        (encoded(solid("RGBA", (255, 0, 0, 51))), (255, 204, 204)),  # one fifth of red on white
        (encoded(solid("LA", (0, 51))), (204, 204, 204)),
        (encoded(solid("RGB", (10, 20, 30)), transparency=(10, 20, 30)), (255, 255, 255)),
        (palette_image(transparent=False), (200, 100, 50)),
        (palette_image(transparent=True), (255, 255, 255)),
        (grey16(65535), (255, 255, 255)),
        (grey16(100 * 257), (100, 100, 100)),
        (encoded(solid("I", 100 * 257), "TIFF"), (100, 100, 100)),
        (encoded(solid("RGB", (10, 20, 30)), "BMP"), (10, 20, 30)),
        (encoded(solid("RGB", (10, 20, 30)), "WEBP", lossless=True), (10, 20, 30)),
    ],
)
def test_every_mode_becomes_rgb(data, colour):
    image = images.decode(data, "sample")
    assert image.mode == "RGB"
    assert (np.asarray(image) == colour).all()


def test_cmyk_jpeg_keeps_its_colour():
    data = encoded(solid("CMYK", (0, 255, 255, 0), (16, 16)), "JPEG", quality=100)
    red, green, blue = images.decode(data, "print.jpg").getpixel((8, 8))
    assert red > 245
    assert green < 10
    assert blue < 10


def test_orientation_of_the_camera_is_applied():
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown rotated clockwise by a quarter
    upright = images.decode(encoded(image, "PNG", exif=exif), "turned.png")
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 255, 255)


def test_first_frame_of_an_animation():
    frames = [solid("RGB", (255, 0, 0)), solid("RGB", (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert images.decode(data, "moving.gif").getpixel((0, 0)) == (255, 0, 0)


def test_picture_pairs_of_cameras_show_their_first_picture():
    frames = [solid("RGB", (200, 200, 200)), solid("RGB", (0, 0, 0))]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert images.decode(data, "pair.jpg").getpixel((0, 0)) == (200, 200, 200)


def waves(width, height, mode="RGB"):
    """Draw slow waves, which survive both shrinking and JPEG."""
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    channels = [np.sin(6 * across + 4 * down), np.sin(9 * across), np.cos(7 * down)]
    pixels = (127 + 120 * np.stack(channels, axis=2)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "least_side", "expected"),
    [
        ((400, 300), None, (400, 300)),
        ((400, 300), 301, (400, 300)),
        ((400, 300), 151, (400, 300)),
        ((400, 300), 150, (200, 150)),
        ((400, 300), 100, (200, 150)),
        ((300, 400), 75, (75, 100)),
        ((408, 304), 16, (51, 38)),  # an eighth is the smallest size
    ],
)
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(mode, size, least_side, expected):
    data = encoded(waves(*size, mode), "JPEG", quality=95)
    small = images.decode(data, "large.jpg", least_side=least_side)
    assert (small.size, small.mode) == (expected, "RGB")
    assert images.upright_size(data, "large.jpg") == size
    whole = images.decode(data, "large.jpg").resize(expected, Image.Resampling.BOX)
    difference = np.asarray(small).astype(int) - np.asarray(whole)
    assert np.abs(difference).mean() < 1.5


def test_other_images_are_decoded_at_their_full_size():
    pair = encoded(waves(400, 300), "MPO", save_all=True, append_images=[waves(400, 300)])
    assert images.decode(pair, "pair.jpg", least_side=100).size == (200, 150)
    for form in ("PNG", "WEBP", "GIF", "BMP"):
        assert images.decode(encoded(waves(400, 300), form), "a", least_side=50).size == (400, 300)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_smaller_jpeg_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(waves(400, 300), "JPEG", exif=exif)
    whole, small = (images.decode(data, "turned.jpg", least_side=side) for side in (None, 100))
    assert whole.size == images.upright_size(data, "turned.jpg")
    assert small.size == (whole.width // 2, whole.height // 2)
    shrunk = whole.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(shrunk)).mean() < 1.5


@pytest.mark.parametrize("source", [b"", b"<html>", Path("nowhere.jpg")])
def test_the_size_of_no_image_is_a_sentence(source):
    with pytest.raises(UserError, match=r"image cat\.jpg"):
        images.upright_size(source, "cat.jpg")


def noise(size=(64, 64)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))


def broken_png():
    data = bytearray(encoded(noise()))
    data[60:90] = bytes(30)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"GIF, or so it says", "unknown format"),
        (b"<html>404</html>", "unknown format"),
        (encoded(noise(), "JPEG")[:900], "cannot be decoded"),
        (encoded(noise())[:900], "cannot be decoded"),
        (broken_png(), "cannot be decoded"),
        (encoded(solid("F", 0.5), "TIFF"), "floating-point"),
    ],
)
def test_what_is_no_image_is_told_by_name(data, reason, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(UserError, match=rf"image cat\.jpg .*{reason}"):
            images.decode(source, "cat.jpg")


def test_every_cut_of_an_image_is_a_sentence_or_an_image():
    data = encoded(noise((24, 24)), "JPEG")
    told = []
    for end in range(0, len(data), 7):
        try:
            assert images.decode(data[:end], "cut.jpg").size == (24, 24)
        except UserError as error:
            told.append(str(error))
    assert len(told) > len(data) / 7 * 0.9
    assert all("cut.jpg" in sentence for sentence in told)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"image a\.png is missing: there is no file .*a\.png"):
        images.decode(tmp_path / "a.png", "a.png")
    for name in ("a sentence " * 40, "a\0b.png"):
        with pytest.raises(UserError, match="is missing"):
            images.decode(tmp_path / name, "a.png")


def test_huge_images_are_refused_by_their_header():
    with pytest.raises(UserError, match=r"image big is too large: 30 x 20 pixels"):
        images.decode(encoded(solid("L", 0, (30, 20))), "big", max_pixels=599)
    assert images.decode(encoded(solid("L", 0, (30, 20))), "big", max_pixels=600).size == (30, 20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [10_001, 20_000])  # Pillow warns at the first, stops the second
def test_decompression_bombs_are_refused(side):
    bomb = encoded(Image.new("1", (side, side)))
    assert len(bomb) < 200_000
    with pytest.raises(UserError, match="image bomb is too large"):
        images.decode(bomb, "bomb")


def test_check_names_every_kind_of_trouble_and_counts(tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(noise()))
    (tmp_path / "again.png").write_bytes(encoded(noise()))
    names = ["good.png", "again.png"]
    digests = image_files.check({name: tmp_path / name for name in names})
    assert digests["good.png"] == digests["again.png"]
    (tmp_path / "empty.png").write_bytes(b"")
    names += ["empty.png", "absent.png"]
    with pytest.raises(UserError) as caught:
        image_files.check({name: tmp_path / name for name in names})
    sentence = str(caught.value)
    assert sentence.startswith("2 of 4 images cannot be used")
    assert "empty.png is empty" in sentence
    assert "absent.png is missing" in sentence


def test_check_by_several_processes_finds_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "_WORTH_WORKERS", 1)
    paths = {}
    for number in range(5):
        paths[f"{number}.png"] = tmp_path / f"{number}.png"
        paths[f"{number}.png"].write_bytes(encoded(solid("L", number)))
    assert image_files.check(paths, workers=2) == image_files.check(paths, workers=1)
    paths["3.png"].write_bytes(b"no")
    with pytest.raises(UserError, match=r"1 of 5 .*3\.png"):
        image_files.check(paths, workers=2)


def test_stored_keeps_bytes_of_small_images_and_shrinks_large_ones(tmp_path):
    path = tmp_path / "wide.png"
    path.write_bytes(encoded(noise((20, 40))))
    assert image_files.stored(path, "wide.png", max_side=40) == path.read_bytes()
    smaller = images.decode(image_files.stored(path, "wide.png", max_side=10), "wide.png")
    assert smaller.size == (10, 5)
