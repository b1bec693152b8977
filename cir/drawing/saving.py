"""Write pictures and plots to files."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from cir.core import files

MOST_BYTES = 300_000  # the sheets are committed


def save_sheet(picture: Image.Image, path: Path) -> None:
    """Save a picture in the best quality that needs no more than MOST_BYTES.

    The suffix of `path` chooses PNG (".png") or JPEG (any other).
    """
    for encoded in _encodings(picture, path.suffix):
        if len(encoded) <= MOST_BYTES:
            break
    with files.whole_file(path) as unfinished:
        unfinished.write_bytes(encoded)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a plot as PNG; equal plots give equal bytes."""
    with files.whole_file(path) as unfinished:
        # Without metadata, the bytes do not depend on the version of matplotlib.
        figure.savefig(unfinished, dpi=100, metadata={"Software": None})


def _encodings(picture: Image.Image, suffix: str) -> Iterator[bytes]:
    """Encode the picture in the format of `suffix`, from the best quality down."""
    if suffix == ".png":
        yield _encoded(picture, "PNG", optimize=True)
        for colours in (256, 64, 16, 4):
            yield _encoded(picture.quantize(colours), "PNG", optimize=True)
    else:
        for quality in range(90, 0, -10):
            yield _encoded(picture, "JPEG", quality=quality)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
