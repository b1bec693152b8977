"""Class folders in a training and a test folder: root/<train>/<class>/, root/<test>/<class>/.

A validation folder of the same form may stand beside them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cir.classes.datasets import folders
from cir.classes.datasets.base import ClassSource, Findings
from cir.classes.datasets.given import Given, GivenGallery
from cir.images.splitting import Split


@dataclass(frozen=True)
class DividedFolders(ClassSource):
    """The folders' names; without a folder `val`, the share `val_share` of train validates.

    See Given for `gallery` and `query_share`. `max_side` in pixels.
    """

    name: ClassVar[str] = "divided_folders"

    root: Path
    train: str
    val: str | None
    test: str
    val_share: float
    gallery: GivenGallery
    query_share: float
    max_side: int
    leave_out: bool
    workers: int

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource."""
        findings = Findings(self.leave_out)
        folders.require_root(self.root)
        names = {"train": self.train, "val": self.val, "test": self.test}
        files = {
            pool: folders.read_classes(self.root / name, f"{name}/", findings)
            for pool, name in names.items()
            if name is not None
        }
        images = folders.checked(files, self.workers, findings)
        given = Given(self.gallery, self.val_share, self.query_share)
        return given.parts(self.name, images, findings, seed).splits(
            folders.stored(files, self.max_side)
        )
