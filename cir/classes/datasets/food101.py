"""Read Food-101 as published (Bossard, Guillaumin and Van Gool, ECCV 2014).

    root/images/<class>/<number>.jpg
    root/meta/train.txt, root/meta/test.txt     lines "<class>/<number>"

A note counts the images that are in neither list.
"""

from collections import Counter
from pathlib import Path

from cir.classes.datasets import division, folders
from cir.classes.datasets.base import Findings
from cir.classes.datasets.folders import ImageFile
from cir.classes.datasets.params import Food101
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.tables import read_text
from cir.images.splitting import Split

LISTS = {"train": "meta/train.txt", "test": "meta/test.txt"}


def splits(params: Food101, seed: int) -> dict[str, Split]:
    """Read Food-101; see make_splits."""
    findings = Findings(params.leave_out)
    folders.require_root(params.root)
    files = _files(params.root, findings)
    pools = folders.checked(files, params.processes(), findings)
    parts = division.of_given_parts(params, params.val, pools, findings, seed)
    return parts.splits(folders.stored(files, params.max_side))


def _files(root: Path, findings: Findings) -> dict[str, list[ImageFile]]:
    """Return the listed images of each pool.

    Raises UserError if the lists and the images do not agree.
    """
    there = {file.id: file for file in folders.read_classes(root / "images", "", findings)}
    lines = {pool: _read_list(root / place) for pool, place in LISTS.items()}
    counts = Counter(line for own in lines.values() for line in own)
    twice = [line for line, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            f"{len(twice)} of {len(counts)} images are listed twice in "
            f"{' and '.join(LISTS.values())}: {listed(twice)}"
        )
    absent = [f"{line}.jpg" for line in counts if f"{line}.jpg" not in there]
    if absent:
        raise UserError(
            f"{len(absent)} of {len(counts)} listed images are not in {root / 'images'}: "
            + listed(absent)
        )
    unlisted = [name for name in there if name.removesuffix(".jpg") not in counts]
    if unlisted:
        findings.notes.append(
            f"{len(unlisted)} of {len(there)} images are in neither list and left out: "
            + listed(unlisted)
        )
    return {pool: [there[f"{line}.jpg"] for line in own] for pool, own in lines.items()}


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} does not exist: expected a line <class>/<number> for each image")
    lines = read_text(path, "a text file").split("\n")
    filled = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    wrong = [number for number, line in filled.items() if not all(line.partition("/"))]
    if wrong or not filled:
        raise UserError(
            f"{path}: expected lines <class>/<number>, and {len(wrong)} of {len(filled)} are not"
            + (f": {listed(wrong)}" if wrong else "")
        )
    return list(filled.values())
