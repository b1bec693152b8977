"""A corpus of small image files: each format in each mode and depth, with its pixels as RGB."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import product

import numpy as np
from PIL import Image

from tests.helpers.encoders import SHORT, bmp, png, png_chunk, tiff

HEIGHT, WIDTH = 13, 22


@dataclass(frozen=True)
class Kind:
    """An image file of one kind.

    Attributes:
        pixels: what is to be shown, RGB [height, width, 3].
        tolerance: the largest difference of a value, for lossy formats and for rounding.
    """

    name: str
    data: bytes
    pixels: np.ndarray
    tolerance: int = 0


@cache
def kinds() -> list[Kind]:
    """Return all kinds; the pixels are random, but the same each time."""
    makers: list[Callable[[np.random.Generator], Iterator[Kind]]] = [
        *(_pngs, _palette_pngs, _tiffs, _tiffs_of_many_channels),
        *(_bmps, _ppms, _gifs, _webps, _jpeg2000s, _jpegs),
    ]
    return [kind for make in makers for kind in make(np.random.default_rng(7))]


def _samples(rng: np.random.Generator, channels: int, depth: int) -> np.ndarray:
    return rng.integers(0, 2**depth, (HEIGHT, WIDTH, channels))


def _shown(samples: np.ndarray, depth: int, alpha: bool = False) -> np.ndarray:
    """Scale samples [height, width, channels] to 8 bits and put them on white.

    One channel of 16 bits is rounded down by 257, several by their high bytes.
    """
    colour, clear = (samples[..., :-1], samples[..., -1:]) if alpha else (samples, None)
    if depth == 16:
        eight = colour // 257 if samples.shape[2] == 1 else colour >> 8
    else:
        eight = colour * 255 // (2**depth - 1)
    if clear is not None:
        share = (clear >> (depth - 8)) / 255
        eight = np.rint(eight * share + 255 * (1 - share)).astype(int)
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight


def _pngs(rng: np.random.Generator) -> Iterator[Kind]:
    colours = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
    for colour, depths in colours.items():
        for depth in depths:
            channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
            samples = _samples(rng, channels, depth)
            name, alpha = f"png of {depth} bits, colour type {colour}", colour in (4, 6)
            shown = _shown(samples, depth, alpha)
            yield Kind(name, png(samples, depth, colour), shown, int(alpha))
            if not alpha:
                clear = samples[3, 4]
                near = samples.copy()
                near[0, :, -1] = clear[-1] ^ 1
                shown = _shown(near, depth)
                shown[(near == clear).all(axis=2)] = 255
                chunk = png_chunk(b"tRNS", struct.pack(f">{channels}H", *clear))
                data = png(near, depth, colour, before=chunk)
                yield Kind(f"{name}, one colour transparent", data, shown)


def _palette_pngs(rng: np.random.Generator) -> Iterator[Kind]:
    for depth in (1, 2, 4, 8):
        samples, palette = _samples(rng, 1, depth), rng.integers(0, 256, (2**depth, 3))
        colours = png_chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        shown = palette[samples[..., 0]]
        yield Kind(f"png of {depth} bits, palette", png(samples, depth, 3, colours), shown)
        alpha = rng.integers(0, 256, 2**depth)
        share = alpha[samples] / 255
        clear = png_chunk(b"tRNS", alpha.astype(np.uint8).tobytes())
        shown = np.rint(shown * share + 255 * (1 - share)).astype(int)
        data = png(samples, depth, 3, colours + clear)
        yield Kind(f"png of {depth} bits, transparent palette", data, shown, 1)
    image = Image.fromarray(_samples(rng, 3, 8).astype(np.uint8))
    yield _by_pillow("png that moves", image, "PNG", save_all=True, append_images=[image] * 2)


def _tiffs(rng: np.random.Generator) -> Iterator[Kind]:
    """Yield TIFFs of one channel: grey and palettes."""
    for order in "<>":
        for deflate, apart in product((False, True), repeat=2):
            where = f"{order}, {'deflated' if deflate else 'raw'}{', apart' if apart else ''}"
            options = {"order": order, "deflate": deflate, "apart": apart, "rows": 5}
            for depth in (1, 2, 4, 8, 12, 16):
                samples = _samples(rng, 1, depth)
                if depth != 12 or order == "<":
                    data = tiff(samples, depth, 1, **options)
                    yield Kind(f"tiff of {depth} bits, {where}", data, _shown(samples, depth))
                if depth < 12 or (depth, order) == (16, "<"):
                    data = tiff(samples, depth, 0, **options)
                    shown = _shown(2**depth - 1 - samples, depth)
                    yield Kind(f"tiff of {depth} bits, white is zero, {where}", data, shown)
                if depth <= 8:
                    palette = rng.integers(0, 256, (2**depth, 3))
                    numbers = struct.pack(f"{order}{palette.size}H", *palette.T.ravel() * 257)
                    data = tiff(samples, depth, 3, tags={320: (SHORT, numbers)}, **options)
                    shown = palette[samples[..., 0]]
                    yield Kind(f"tiff of {depth} bits, palette, {where}", data, shown)


def _tiffs_of_many_channels(rng: np.random.Generator) -> Iterator[Kind]:
    for deflate, apart, big in product((False, True), repeat=3):
        for order in "<" if big else "<>":  # Pillow reads no big-endian BigTIFF
            for depth in (8, 16):
                options = {"order": order, "deflate": deflate, "apart": apart, "big": big}
                where = f"of {depth} bits, {options}"
                rgb = _samples(rng, 3, depth)
                shown = _shown(rgb, depth)
                yield Kind(f"tiff RGB {where}", tiff(rgb, depth, 2, **options), shown)
                rgba = _samples(rng, 4, depth)
                shown = _shown(rgba, depth, alpha=True)
                data = tiff(rgba, depth, 2, (2,), **options)
                yield Kind(f"tiff RGBA {where}", data, shown, 1)
                if deflate or not apart:
                    data = tiff(rgba, depth, 2, (0,), rows=4, **options)
                    yield Kind(f"tiff RGBX {where}", data, _shown(rgba[..., :3], depth))
                data = tiff(rgba, depth, 5, rows=4, **options)
                inks = Image.fromarray((rgba >> (depth - 8)).astype(np.uint8), "CMYK")
                yield Kind(f"tiff CMYK {where}", data, np.asarray(inks.convert("RGB")))
        if not apart:
            grey = _samples(rng, 2, 8)
            data = tiff(grey, 8, 1, (2,), deflate=deflate, big=big)
            yield Kind(f"tiff LA, {deflate} {big}", data, _shown(grey, 8, alpha=True), 1)
            ycc = _samples(rng, 3, 8)
            data = tiff(ycc, 8, 6, deflate=deflate, big=big, tags={530: (SHORT, b"\1\0\1\0")})
            shown = np.asarray(Image.fromarray(ycc.astype(np.uint8), "YCbCr").convert("RGB"))
            yield Kind(f"tiff YCbCr, {deflate} {big}", data, shown, 2)
    image = Image.fromarray(_samples(rng, 3, 8).astype(np.uint8))
    for compression in ("tiff_lzw", "packbits", "jpeg"):
        options = {"quality": 100, "tolerance": 6} if compression == "jpeg" else {}
        yield _by_pillow(f"tiff {compression}", image, "TIFF", compression=compression, **options)
    for compression in ("group3", "group4"):
        yield _by_pillow(f"tiff {compression}", image.convert("1"), "TIFF", compression=compression)


def _bmps(rng: np.random.Generator) -> Iterator[Kind]:
    for bits in (1, 4, 8):
        for colours in {2, 2**bits}:
            samples = rng.integers(0, colours, (HEIGHT, WIDTH, 1))
            grey = np.linspace(0, 255, colours).round().astype(int)[:, None].repeat(3, axis=1)
            for palette in (rng.integers(0, 256, (colours, 3)), grey):
                entries = np.pad(palette[:, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()
                data = bmp(samples, bits, entries, colours=colours)
                name = f"bmp of {bits} bits, {colours} {'grey' if palette is grey else 'colours'}"
                yield Kind(name, data, palette[samples[..., 0]])
    for layout, red, green, blue in (("555", 10, 5, 0), ("565", 11, 5, 0)):
        bits = [int(size) for size in layout]
        words = rng.integers(0, 2**16, (HEIGHT, WIDTH, 1))
        samples = np.concatenate([words & 255, words >> 8], axis=2)
        masks = [(2**size - 1) << by for size, by in zip(bits, (red, green, blue), strict=True)]
        shown = [
            (words[..., 0] >> by & (2**size - 1)) * 255 / (2**size - 1)
            for size, by in zip(bits, (red, green, blue), strict=True)
        ]
        data = bmp(samples, 16, masks=[*masks, 0])
        yield Kind(f"bmp of 16 bits, {layout}", data, np.stack(shown, axis=2), 1)
    samples = _samples(rng, 4, 8)
    yield Kind("bmp of 24 bits", bmp(samples[..., :3], 24), samples[..., 2::-1])
    yield Kind("bmp of 32 bits", bmp(samples, 32), samples[..., 2::-1])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    shown = _shown(samples[..., [2, 1, 0, 3]], 8, alpha=True)
    yield Kind("bmp with alpha", bmp(samples, 32, masks=masks), shown, 1)
    unused = samples * [1, 1, 1, 0]
    yield Kind("bmp with alpha 0 everywhere", bmp(unused, 32, masks=masks), samples[..., 2::-1])


def _ppms(rng: np.random.Generator) -> Iterator[Kind]:
    for magic, channels in ((b"P2", 1), (b"P3", 3), (b"P5", 1), (b"P6", 3)):
        for largest in (255, 65535, 100, 1000):
            samples = rng.integers(0, largest + 1, (HEIGHT, WIDTH, channels))
            if magic in (b"P2", b"P3"):
                body = b" ".join(b"%d" % number for number in samples.ravel())
            else:
                body = samples.astype(">u2" if largest > 255 else np.uint8).tobytes()
            header = b"%s\n# made by hand\n%d %d\n%d\n" % (magic, WIDTH, HEIGHT, largest)
            shown = np.repeat(samples, 4 - channels, axis=2)[..., :3] * 255 / largest
            yield Kind(f"ppm {magic.decode()} to {largest}", header + body + b"\n", shown, 1)
    dark = _samples(rng, 1, 1)
    header = b"%d %d\n" % (WIDTH, HEIGHT)
    yield Kind("ppm P1", b"P1 " + header + b" ".join(b"%d" % d for d in dark.ravel()), 255 - dark.repeat(3, 2) * 255)  # noqa: E501  # fmt: skip
    yield Kind("ppm P4", b"P4 " + header + np.packbits(dark[..., 0].astype(np.uint8), axis=1).tobytes(), 255 - dark.repeat(3, 2) * 255)  # noqa: E501  # fmt: skip


def _gifs(rng: np.random.Generator) -> Iterator[Kind]:
    samples, palette = _samples(rng, 1, 6), rng.integers(0, 256, (64, 3))
    image = Image.fromarray(samples[..., 0].astype(np.uint8), "P")
    image.putpalette(palette.astype(np.uint8).tobytes())
    shown = palette[samples[..., 0]]
    for interlace in (0, 1):
        data = _written(image, "GIF", interlace=interlace)
        yield Kind(f"gif, interlaced {interlace}", data, shown)
    clear = np.where(samples == 5, 255, shown)
    yield Kind("gif with a transparent colour", _written(image, "GIF", transparency=5), clear)
    moving = _written(image, "GIF", save_all=True, append_images=[image.rotate(180)])
    yield Kind("gif that moves", moving, shown)
    grey = Image.fromarray(_samples(rng, 1, 8)[..., 0].astype(np.uint8))
    yield _by_pillow("gif, grey", grey, "GIF")


def _webps(rng: np.random.Generator) -> Iterator[Kind]:
    samples = _samples(rng, 4, 8)
    rgba = Image.fromarray(samples.astype(np.uint8))
    yield _by_pillow("webp, lossless", rgba.convert("RGB"), "WEBP", lossless=True)
    shown = _shown(samples, 8, alpha=True)
    yield Kind("webp with alpha", _written(rgba, "WEBP", lossless=True, exact=True), shown, 1)
    yield _by_pillow("webp", _smooth(), "WEBP", quality=100, tolerance=16)
    moving = {"save_all": True, "append_images": [rgba.convert("RGB")], "lossless": True}
    yield _by_pillow("webp that moves", _smooth(), "WEBP", **moving)


def _jpeg2000s(rng: np.random.Generator) -> Iterator[Kind]:
    samples = _samples(rng, 4, 8)
    rgba = Image.fromarray(samples.astype(np.uint8))
    for raw in (False, True):
        for mode in ("L", "RGB"):
            name = f"jpeg 2000 {mode}, {'codestream' if raw else 'jp2'}"
            yield _by_pillow(name, rgba.convert("RGB").convert(mode), "JPEG2000", no_jp2=raw)
    yield Kind("jpeg 2000 RGBA", _written(rgba, "JPEG2000"), _shown(samples, 8, alpha=True), 1)
    deep = _samples(rng, 1, 16)
    data = _written(Image.fromarray(deep[..., 0].astype(np.uint16)), "JPEG2000")
    yield Kind("jpeg 2000 of 16 bits", data, _shown(deep, 16))


def _jpegs(rng: np.random.Generator) -> Iterator[Kind]:
    for mode, off in (("L", 4), ("RGB", 10), ("CMYK", 6)):
        for progressive in (False, True):
            options = {"quality": 100, "subsampling": 0, "progressive": progressive}
            image = _smooth().convert(mode)
            name = f"jpeg {mode}{', progressive' if progressive else ''}"
            yield _by_pillow(name, image, "JPEG", tolerance=off, **options)
    yield _by_pillow("jpeg of RGB", _smooth(), "JPEG", quality=100, keep_rgb=True, tolerance=6)
    restarts = {"quality": 100, "subsampling": 0, "restart_marker_blocks": 1, "tolerance": 10}
    yield _by_pillow("jpeg with restarts", _smooth(), "JPEG", **restarts)
    pair = {"save_all": True, "append_images": [_smooth().rotate(180)], "subsampling": 0}
    yield _by_pillow("jpeg with a second one", _smooth(), "MPO", quality=100, tolerance=10, **pair)


def _smooth() -> Image.Image:
    """Draw slow changes of colour, which survive lossy formats."""
    across, down = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    channels = [200 * across + 20, 180 * down + 40, 230 - 100 * across - 100 * down]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def _written(image: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _by_pillow(name: str, image: Image.Image, form: str, tolerance: int = 0, **options) -> Kind:
    return Kind(name, _written(image, form, **options), np.asarray(image.convert("RGB")), tolerance)
