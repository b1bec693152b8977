"""A user's image files: checked all at once, then taken over into shards."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from PIL import Image

from cir.core.errors import UserError
from cir.core.progress import progress
from cir.core.sentences import listed
from cir.images import decoding as images

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".jp2")

_WORTH_WORKERS = 500  # fewer images are checked sooner than processes start


def check(paths: Mapping[str, Path], workers: int = 1) -> dict[str, str]:
    """Decode every image once, and tell its content: name to SHA-256 of the file.

    Raises one UserError that counts the images that cannot be used and gives the first reasons.
    """
    with ExitStack() as stack:
        run = map
        if workers > 1 and len(paths) >= _WORTH_WORKERS:
            pool = stack.enter_context(ProcessPoolExecutor(workers))
            run = partial(pool.map, chunksize=32)
        found = list(
            progress(run(_digest, paths.values(), paths), len(paths), "checking images", "images")
        )
    problems = [result for result in found if isinstance(result, UserError)]
    if problems:
        raise UserError(
            f"{len(problems)} of {len(paths)} images cannot be used: " + listed(problems, "; ")
        )
    return dict(zip(paths, found, strict=True))


def _digest(path: Path, name: str) -> str | UserError:
    try:
        images.decode(path, name)
    except UserError as problem:
        return problem
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stored(path: Path, name: str, max_side: int) -> bytes:
    """The file's own bytes, or, if its longer side has more than `max_side` pixels, a JPEG."""
    with Image.open(path) as opened:
        small = max(opened.size) <= max_side
    return (
        path.read_bytes()
        if small
        else images.encode(images.fit(images.decode(path, name), max_side))
    )
