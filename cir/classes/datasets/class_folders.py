"""Any tree of class folders: root/<class>/**, divided by shares.

A class's folder may hold folders of its own; they do not count as classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cir.classes.datasets import folders, rules
from cir.classes.datasets.base import ClassSource, Findings
from cir.classes.datasets.division import DIVISIONS, Divide, note_absences, queries_and_gallery
from cir.images.splitting import Split


@dataclass(frozen=True)
class ClassFolders(ClassSource):
    """Of each class the shares `val` and `test`, or of all classes these shares: unseen ones.

    `query_share` of each class's test images are queries. `max_side` in pixels.
    """

    name: ClassVar[str] = "class_folders"

    root: Path
    divide: Divide
    val: float
    test: float
    query_share: float
    max_side: int
    leave_out: bool
    workers: int

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource."""
        findings = Findings(self.leave_out)
        folders.require_root(self.root)
        files = {"": folders.read_classes(self.root, "", findings)}
        pools = rules.of_one_class_each(folders.checked(files, self.workers, findings), findings)
        place = f"in {folders.shown(self.root)}"
        images = rules.of_several_images(pools[""], place, rules.PAIRS, findings)
        # Test first: where a class is small, it is validation that goes without.
        shares = {"test": self.test, "val": self.val}
        parts = DIVISIONS[self.divide](images, shares, seed)
        if self.divide == "images":
            note_absences(parts, shares, findings)
        parts |= queries_and_gallery(parts.pop("test"), self.query_share, seed)
        return rules.settled(self.name, parts, findings, False).splits(
            folders.stored(files, self.max_side)
        )
