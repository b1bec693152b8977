"""Files whose metadata are broken, odd or huge, and faults that other programs look over."""

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from cir.core.errors import UserError
from cir.images import containers, decoding, image_files
from tests.helpers import encoders
from tests.helpers.encoders import png_chunk, tiff

ASCII, RATIONAL, SIGNED_RATIONAL = 2, 5, 10


def picture(size=(48, 32)):
    """Draw a picture with a corner of its own, so that each orientation looks different."""
    image = Image.radial_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(image).rectangle((2, 2, size[0] // 3, size[1] // 4), "red")
    return image


def encoded(image, form, **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decoded(data):
    return np.asarray(decoding.decode(data, "sample"))


def upright(image, orientation):
    """Turn by EXIF's own words: which side of the stored picture is the top, and which the left."""
    pixels = np.asarray(image)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def short(number):
    return encoders.SHORT, struct.pack("<H", number)


ODD_ENTRIES = {
    "nothing": {},
    "a rational of -1/0": {0x011A: (SIGNED_RATIONAL, struct.pack("<ii", -1, 0))},
    "a rational of 0/0": {0x011A: (RATIONAL, bytes(8)), 0x0128: short(2)},
    "a text where a number belongs": {0x011A: (ASCII, b"many\0"), 0x0128: (ASCII, b"inches\0")},
    "a number where a text belongs": {0x010F: short(7), 0x0132: short(1)},
    "a text as directory": {0x8769: (ASCII, b"nowhere\0"), 0x8825: (ASCII, b"a\0")},
    "a directory far behind the end": {0x8769: (encoders.LONG, struct.pack("<I", 2**31))},
    "an unknown type": {0x9C9B: (encoders.UNDEFINED, b"\xff" * 9)},
}


def with_exif(form, exif):
    """Write a picture whose file holds a block of EXIF data as it is."""
    lossless = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    return encoded(picture(), form, exif=b"Exif\0\0" + exif, **lossless.get(form, {}))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("odd", ODD_ENTRIES)
def test_odd_exif_costs_neither_the_picture_nor_its_orientation(form, orientation, odd):
    exif = encoders.exif({0x0112: short(orientation)} | ODD_ENTRIES[odd])
    data = with_exif(form, exif)
    stored = Image.open(BytesIO(encoded(picture(), form, **({"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True})))).convert("RGB")  # noqa: E501  # fmt: skip
    expected = upright(stored, orientation)
    assert (decoded(data) == expected).all()
    assert decoding.upright_size(data, "a") == expected.shape[1::-1]
    assert containers.orientation(containers.exif_of(data)) == orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_entry_that_says_it_is_longer_than_the_file_hides_no_orientation(form):
    exif = encoders.exif({0x010F: (ASCII, b"maker\0"), 0x0112: short(6)})
    count, too_many = (struct.pack("<HHI", 0x010F, ASCII, n) for n in (6, 2**32 - 1))
    assert count in exif
    data = with_exif(form, exif.replace(count, too_many))
    assert (decoded(data) == upright(Image.fromarray(decoded(with_exif(form, b""))), 6)).all()
    assert decoding.upright_size(data, "a") == picture().size[::-1]


def test_an_orientation_of_another_type_counts_with_and_without_other_faults():
    exif = encoders.exif({0x0112: (encoders.LONG, struct.pack("<I", 6))})
    plain = with_exif("PNG", exif)
    faulty = plain[:33] + png_chunk(b"tEXt", b"a", 0) + plain[33:]
    for data in (plain, faulty):
        assert (decoded(data) == upright(picture(), 6)).all()


def test_too_little_memory_is_a_sentence(monkeypatch):
    def fail(opened):
        raise MemoryError

    monkeypatch.setattr(decoding, "load_rgb", fail)
    with pytest.raises(UserError, match="image large needs more memory"):
        decoding.decode(encoded(picture(), "PNG"), "large")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("odd", ODD_ENTRIES)
@pytest.mark.parametrize("big", [False, True])
def test_odd_entries_of_a_tiff_cost_nothing(orientation, odd, big):
    pixels = np.asarray(picture())
    entries = {0x0112: short(orientation)} | ODD_ENTRIES[odd]
    data = tiff(pixels, 8, 2, big=big, tags=entries)
    expected = upright(pixels, orientation)
    assert (decoded(data) == expected).all()
    assert decoding.upright_size(data, "a") == expected.shape[1::-1]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_costs_nothing(form):
    whole = encoders.exif({0x0112: short(6)} | ODD_ENTRIES["a text where a number belongs"])
    rng = np.random.default_rng(0)
    for end in range(0, len(whole), 3):
        for exif in (whole[:end], bytes(rng.integers(0, 256, end, np.uint8))):
            assert decoded(with_exif(form, exif)).size == picture().width * picture().height * 3


def huge_profiles():
    rng = np.random.default_rng(0)
    noise = bytes(rng.integers(32, 127, 3 << 20, np.uint8))
    text, itext = PngInfo(), PngInfo()
    text.add_text("comment", "long " * 400_000, zip=True)
    itext.add_itxt("XML:com.adobe.xmp", "<x> " * 400_000, zip=True)
    plain = PngInfo()
    plain.add_itxt("XML:com.adobe.xmp", noise.decode())
    yield "PNG", {"icc_profile": bytes(2 << 20)}
    yield "PNG", {"pnginfo": text}
    yield "PNG", {"pnginfo": itext}
    yield "PNG", {"pnginfo": plain}
    yield "WEBP", {"icc_profile": noise, "xmp": noise, "lossless": True}
    yield "JPEG", {"icc_profile": noise, "comment": noise[:60_000], "quality": 100}
    yield "TIFF", {"icc_profile": noise, "tiffinfo": {270: noise.decode()}}
    yield "GIF", {"comment": noise[:100_000]}


@pytest.mark.parametrize(("form", "options"), huge_profiles())
def test_huge_profiles_and_texts_cost_nothing(form, options):
    data = encoded(picture(), form, **options)
    plain = encoded(picture(), form, **{name: options[name] for name in {"quality", "lossless"} & options.keys()})  # noqa: E501  # fmt: skip
    assert (decoded(data) == decoded(plain)).all()


def png_with(chunk, after=False):
    data = encoded(picture(), "PNG")
    place = data.index(b"IEND") - 4 if after else 33
    return data[:place] + chunk + data[place:]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP", "gAMA", "pHYs", "eXIf", "abCd"])
@pytest.mark.parametrize("content", [b"", b"a", b"name\0\x07rest", b"\xff" * 40])
@pytest.mark.parametrize("crc", [None, 0])
def test_no_ancillary_chunk_of_a_png_costs_the_picture(kind, content, crc, after):
    data = png_with(png_chunk(kind.encode(), content, crc), after)
    assert (decoded(data) == np.asarray(picture())).all()


def test_a_wrong_checksum_of_a_critical_chunk_is_the_reason():
    data = bytearray(encoded(picture(), "PNG"))
    data[30] ^= 1
    with pytest.raises(UserError, match=r"image a cannot be decoded: .*checksum in b'IHDR'"):
        decoding.decode(bytes(data), "a")


def test_transparency_with_a_wrong_checksum_or_size_is_left_out_as_browsers_do():
    for channels, colour in ((1, 0), (3, 2)):
        pixels = np.full((4, 4, channels), 7)
        clear = struct.pack(">H", 7) * channels
        for content, crc, shown in ((clear, None, 255), (clear, 0, 7), (clear[:-1], None, 7)):
            data = encoders.png(pixels, 8, colour, before=png_chunk(b"tRNS", content, crc))
            assert (decoded(data) == shown).all()


def test_a_png_of_a_palette_that_is_not_there_is_refused():
    data = encoders.png(np.zeros((4, 4, 1), int), 8, 3)
    with pytest.raises(UserError, match="image a cannot be decoded: it has no palette"):
        decoding.decode(data, "a")


KINDS_OF_JPEG = {
    "baseline": {},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "progressive": {"progressive": True},
    "progressive grey": {"progressive": True, "mode": "L"},
    "restarts": {"restart_marker_blocks": 3},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
    "noisy": {"noise": 60},
}


def jpeg(mode="RGB", noise=0, **options):
    image = picture((75, 61)).convert(mode)
    if noise:
        image = Image.blend(image, Image.effect_noise(image.size, noise).convert(mode), 0.5)
    return encoded(image, "JPEG", quality=90, **options)


@pytest.mark.parametrize("kind", KINDS_OF_JPEG)
def test_a_jpeg_needs_no_end_marker_but_all_its_pixels(kind):
    """Cut at many bytes: with all pixels it is shown, and else refused."""
    whole = jpeg(**KINDS_OF_JPEG[kind])
    expected = decoded(whole)
    assert whole[-2:] == b"\xff\xd9"
    for after in (b"", b"\xff", bytes(1), bytes(5000)):
        assert (decoded(whole[:-2] + after) == expected).all()
    scan = whole.index(b"\xff\xda")
    # Where zeros follow a scan that is cut, Pillow takes them for pixels, as other programs do.
    zeros = [bytes(5000)] if KINDS_OF_JPEG[kind].get("progressive") else []
    for end in [*range(scan, len(whole) - 3, 37), *range(len(whole) - 40, len(whole) - 3)]:
        for after in (b"", *zeros):
            if end < len(whole) - 4:
                with pytest.raises(UserError, match="image cut cannot be decoded"):
                    decoding.decode(whole[:end] + after, "cut")
                continue
            with suppress(UserError):  # the last bytes may hold no more than padding
                assert (decoded(whole[:end] + after) == expected).all()


@pytest.mark.parametrize("restarts", [1, 2, 3])
def test_a_jpeg_cut_before_a_restart_is_refused(restarts):
    whole = jpeg(restart_marker_blocks=restarts)
    marks = [place for place in range(len(whole) - 1) if whole[place] == 0xFF and whole[place + 1] in range(0xD0, 0xD8)]  # noqa: E501  # fmt: skip
    assert len(marks) > 5
    for place in marks:
        with pytest.raises(UserError, match="cannot be decoded"):
            decoding.decode(whole[:place], "cut")


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    whole = jpeg(progressive=True)
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for place in scans[1:]:
        tables = whole.rfind(b"\xff\xc4", 0, place)
        with pytest.raises(UserError, match="cannot be decoded"):
            decoding.decode(whole[: max(tables, scans[0] + 10)], "cut")


def test_a_jpeg_without_end_marker_is_upright_and_may_be_decoded_smaller():
    exif = b"Exif\0\0" + encoders.exif({0x0112: short(6)})
    whole = encoded(picture((160, 96)), "JPEG", exif=exif)
    assert (decoded(whole[:-2]) == decoded(whole)).all()
    small = [decoding.decode(data, "a", least_side=24) for data in (whole, whole[:-2])]
    assert small[0].size == (24, 40)
    assert (np.asarray(small[0]) == np.asarray(small[1])).all()


def test_a_webp_that_is_cut_in_its_metadata_has_its_picture():
    data = encoded(picture(), "WEBP", lossless=True, xmp=b"x" * 500, exif=b"Exif\0\0" + bytes(99))
    assert (decoded(data[:-300]) == np.asarray(picture())).all()


def test_metadata_do_not_travel_with_the_pixels():
    exif = b"Exif\0\0" + encoders.exif({0x0112: short(6)})
    shown = decoding.decode(encoded(picture(), "JPEG", exif=exif, comment=b"secret"), "a")
    assert shown.info == {}


def test_a_second_picture_in_a_jpeg_is_a_jpeg():
    data = encoded(picture(), "MPO", save_all=True, append_images=[picture()])
    header = decoding.header(data, "pair.jpg")
    assert (header.format, header.content_type) == ("JPEG", "image/jpeg")
    assert (header.width, header.height) == picture().size
    broken = data.replace(b"MPF\0II", b"MPF\0XX")
    assert broken != data
    assert (decoded(broken) == decoded(data)).all()


def test_a_file_that_only_the_decoder_can_open_is_stored(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_with(png_chunk(b"iTXt", b"a", 0)))
    assert image_files.stored(path, "a.png", max_side=48) == path.read_bytes()
    assert decoding.decode(image_files.stored(path, "a.png", 24), "a.png").size == (24, 16)
    assert image_files.check({"a.png": path}).keys() == {"a.png"}


def test_grey_of_32_bits_is_white_above_16_bits():
    grey = np.array([[[0], [257 * 9], [65536], [2**31], [2**32 - 1]]])
    assert decoded(tiff(grey, 32, 1))[0, :, 0].tolist() == [0, 9, 255, 255, 255]
    signed = decoded(tiff(grey, 32, 1, sample_format=2))
    assert signed[0, :, 0].tolist() == [0, 9, 255, 0, 0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(np.zeros((2, 2, 3), int), 32, 2, sample_format=3), "floating-point pixels"),
        (tiff(np.zeros((2, 2, 2), int), 16, 1, (2,)), "2 samples a pixel, of 16, 16 bits"),
        (tiff(np.zeros((2, 2, 2), int), 8, 1, (2,), apart=True), "planes apart"),
        (jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "12-bit layers"),
        (b"\x89PNG\r\n\x1a\n" + zlib.compress(b"no chunks"), "broken PNG file"),
        (b"BM" + bytes(60), "BMP"),
        (b"P6 12", "header"),
    ],
)
def test_a_known_format_that_cannot_be_read_says_why(data, reason):
    with pytest.raises(UserError, match=rf"image odd .*{reason}"):
        decoding.decode(data, "odd")
