"""Check a user's image files and prepare their bytes for shards."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.progress import progress
from cir.images import decoding

_WORTH_WORKERS = 500  # checking fewer images takes less time than starting processes


def check(paths: Mapping[str, Path], workers: int = 1) -> dict[str, str]:
    """Decode every image once; return the SHA-256 of each file by image name.

    Raises UserError with the number of images that cannot be decoded and the first reasons.
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
        decoding.decode(path, name)
    except UserError as problem:
        return problem
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stored(path: Path, name: str, max_side: int) -> bytes:
    """Return the file's bytes, or a smaller JPEG if its longer side exceeds `max_side` pixels."""
    header = decoding.header(path, name)
    if max(header.width, header.height) <= max_side:
        return path.read_bytes()
    return decoding.encode(decoding.fit(decoding.decode(path, name), max_side))
