"""Food-101 as it is published (Bossard, Guillaumin and Van Gool, ECCV 2014).

    root/images/<class>/<number>.jpg
    root/meta/train.txt, root/meta/test.txt     lines "<class>/<number>"

Images in neither list are counted in a note.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cir.classes.datasets import folders
from cir.classes.datasets.base import ClassSource, Findings
from cir.classes.datasets.folders import ImageFile
from cir.classes.datasets.given import Given, GivenGallery
from cir.core.errors import UserError
from cir.core.sentences import listed
from cir.images.splitting import Split

LISTS = {"train": "meta/train.txt", "test": "meta/test.txt"}


@dataclass(frozen=True)
class Food101(ClassSource):
    """See Given for `val`, `gallery` and `query_share`. `max_side` in pixels."""

    name: ClassVar[str] = "food101"

    root: Path
    val: float
    gallery: GivenGallery
    query_share: float
    max_side: int
    leave_out: bool
    workers: int

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource."""
        findings = Findings(self.leave_out)
        folders.require_root(self.root)
        files = self._files(findings)
        images = folders.checked(files, self.workers, findings)
        given = Given(self.gallery, self.val, self.query_share)
        return given.parts(self.name, images, findings, seed).splits(
            folders.stored(files, self.max_side)
        )

    def _files(self, findings: Findings) -> dict[str, list[ImageFile]]:
        """The listed images by pool; UserError where lists and images do not agree."""
        there = {file.id: file for file in folders.read_classes(self.root / "images", "", findings)}
        lines = {pool: _read_list(self.root / place) for pool, place in LISTS.items()}
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
                f"{len(absent)} of {len(counts)} listed images are not in {self.root / 'images'}: "
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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8: {error}") from error
    filled = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    wrong = [number for number, line in filled.items() if not all(line.partition("/"))]
    if wrong or not filled:
        raise UserError(
            f"{path}: expected lines <class>/<number>, and {len(wrong)} of {len(filled)} are not"
            + (f": {listed(wrong)}" if wrong else "")
        )
    return list(filled.values())
