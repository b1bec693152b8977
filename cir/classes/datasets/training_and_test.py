"""Class folders to train on, and flat folders of queries and gallery to be measured by.

    root/training/<class>/*
    root/test/query/*, root/test/gallery/*

The class of a flat file stands in its name ("apple_pie_0012.jpg" is of "apple_pie") or in a table
(see label_table).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cir.classes.datasets import folders, label_table, rules
from cir.classes.datasets.base import ClassSource, Findings
from cir.classes.datasets.division import DIVISIONS, Divide, note_absences
from cir.classes.datasets.folders import ImageFile
from cir.core.errors import UserError
from cir.core.sentences import listed
from cir.images.splitting import Split

TRAINING, FLAT = "training", {"query": "test/query", "gallery": "test/gallery"}


@dataclass(frozen=True)
class TrainingAndTest(ClassSource):
    """Labels "prefix": a flat file's class is its name before the last `separator`.

    Labels "csv": the table `csv`, which lies in root/test or in root. `val` is the share of each
    class's training images, or of the classes, that validates. `max_side` in pixels.
    """

    name: ClassVar[str] = "training_and_test"

    root: Path
    labels: Literal["prefix", "csv"]
    separator: str
    csv: str
    divide: Divide
    val: float
    max_side: int
    leave_out: bool
    workers: int

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource."""
        findings = Findings(self.leave_out)
        folders.require_root(self.root)
        files = {
            "train": folders.read_classes(self.root / TRAINING, f"{TRAINING}/", findings),
            **self._labelled(findings),
        }
        pools = rules.of_one_class_each(folders.checked(files, self.workers, findings), findings)
        train = rules.of_several_images(pools.pop("train"), f"in {TRAINING}", rules.PAIRS, findings)
        shares = {"val": self.val}
        parts = DIVISIONS[self.divide](train, shares, seed)
        if self.divide == "images":
            note_absences(parts, shares, findings)
        return rules.settled(self.name, parts | pools, findings, False).splits(
            folders.stored(files, self.max_side)
        )

    def _labelled(self, findings: Findings) -> dict[str, list[ImageFile]]:
        """The flat files with their classes, by part."""
        paths = {
            part: {
                f"{place}/{path.name}": path
                for path in folders.read_flat(self.root / place, findings)
            }
            for part, place in FLAT.items()
        }
        ids = [name for own in paths.values() for name in own]
        if self.labels == "csv":
            labels = label_table.labels(self._table(), ids)
        else:
            labels = _prefixes(ids, self.separator)
        return {
            part: [ImageFile(name, labels[name], path) for name, path in own.items()]
            for part, own in paths.items()
        }

    def _table(self) -> Path:
        places = [self.root / "test" / self.csv, self.root / self.csv]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise UserError(f"no table of classes: expected {places[0]} or {places[1]}")
        return found


def _prefixes(ids: Sequence[str], separator: str) -> Mapping[str, str]:
    """The classes of files by their names; UserError for names that hold none."""
    labels = {name: Path(name).stem.rpartition(separator)[0] for name in ids}
    bare = [name for name, label in labels.items() if not label]
    if bare:
        raise UserError(
            f"{len(bare)} of {len(ids)} files have no class before a {separator!r} in their "
            f"names: {listed(bare)}"
        )
    return labels
