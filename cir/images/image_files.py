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
    contents, problems = read_all(paths, workers)
    if problems:
        raise UserError(told(problems, len(paths)))
    return contents


def told(problems: Mapping[str, UserError], count: int) -> str:
    """Say how many of `count` images cannot be decoded, and the first reasons."""
    return f"{len(problems)} of {count} images cannot be used: " + listed(
        [*problems.values()], "; "
    )


def read_all(
    paths: Mapping[str, Path], workers: int = 1, quiet: bool = False
) -> tuple[dict[str, str], dict[str, UserError]]:
    """Decode every image once; return the SHA-256 of the good files, and why others are no good.

    Both are by image name. With `quiet`, no progress is shown.
    """
    with ExitStack() as stack:
        run = map
        if workers > 1 and len(paths) >= _WORTH_WORKERS:
            pool = stack.enter_context(ProcessPoolExecutor(workers))
            run = partial(pool.map, chunksize=32)
        found = run(_digest, paths.values(), paths)
        shown = found if quiet else progress(found, len(paths), "checking images", "images")
        results = dict(zip(paths, shown, strict=True))
    problems = {name: why for name, why in results.items() if isinstance(why, UserError)}
    return {name: own for name, own in results.items() if name not in problems}, problems


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
