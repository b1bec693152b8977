"""Read CIRR: photos of the open world in sets of six similar ones.

    cirr/captions/cap.rc2.<split>.json        queries
    cirr/image_splits/split.rc2.<split>.json  name → ./dev/x.png
    dev/ test1/ train/                        photos, there or in cirr/img_raw/

Liu et al., "Image Retrieval on Real-life Images with Pre-trained Vision-and-Language Models", ICCV
2021. The split test1 has no targets: the test server takes the files that
cir.published.servers.server_files writes.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import is_file
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
from cir.published.datasets.pairs import Listed, ListedPairs
from cir.published.datasets.reading import (
    MissingError,
    is_name,
    is_text,
    is_whole,
    list_of,
    read_entries,
    read_json,
    require_layout,
)
from cir.retrieval.ranking.protocol import Protocol


def _is_image_set(value: Any) -> bool:
    members = value.get("members") if isinstance(value, dict) else None
    return list_of(is_name, 6)(members) and len(set(members)) == 6


_ENTRY = {"pairid": is_whole, "reference": is_name, "caption": is_text, "img_set": _is_image_set}
_LABELLED = {**_ENTRY, "target_hard": is_name}


@dataclass(frozen=True)
class CIRR(PublishedDataset):
    """CIRR, release rc2, under `root`, which holds the folder cirr/."""

    title: ClassVar[str] = "CIRR"
    root: Path
    reference_kept: bool = False

    def parts(self) -> tuple[Part, ...]:
        """Train, val and test1."""
        return (
            Part("train", "train", self._pairs),
            Part("val", "val", partial(self._query_set, "val")),
            Part("test1", "test server", partial(self._query_set, "test1")),
        )

    def _pairs(self) -> ListedPairs:
        entries = self._entries("train", labelled=True)
        images = self._images("train")
        triplets = tuple(
            Listed(entry["reference"], entry["target_hard"], (entry["caption"],))
            for entry in entries
        )
        named = {name for t in triplets for name in (t.reference, t.target)}
        self._refuse_unknown(named, images, "train")
        return ListedPairs(f"{self.title} train", triplets, images)

    def _query_set(self, split: str) -> QuerySet:
        labelled = split != "test1"
        images = self._images(split)
        queries = []
        for entry in self._entries(split, labelled):
            target = entry["target_hard"] if labelled else None
            queries.append(
                Query(
                    str(entry["pairid"]),
                    entry["reference"],
                    (entry["caption"],),
                    frozenset({target} if labelled else ()),
                    target,
                    tuple(entry["img_set"]["members"]),
                )
            )
        self._refuse_unknown({query.reference for query in queries}, images, split)
        protocol = Protocol(
            "the whole split",
            reference_kept=self.reference_kept,
            dataset=self.title,
            split=split,
        )
        return QuerySet(f"{self.title} {split}", tuple(queries), tuple(images), images, protocol)

    def _entries(self, split: str, labelled: bool) -> list[dict]:
        path = self._file("captions", f"cap.rc2.{split}.json", split)
        return read_entries(path, _LABELLED if labelled else _ENTRY)

    def _images(self, split: str) -> dict[str, Path]:
        path = self._file("image_splits", f"split.rc2.{split}.json", split)
        content = read_json(path)
        right = isinstance(content, dict) and bool(content) and all(map(is_name, content.values()))
        if not right:
            raise UserError(f"{path}: expected an object with the path of every image by its name")
        places = (self.root, self.root / "cirr" / "img_raw")
        found = {}
        for name, relative in content.items():
            options = [place / relative for place in places]
            found[name] = next((option for option in options if is_file(option)), options[0])
        return found

    def _file(self, folder: str, name: str, split: str) -> Path:
        require_layout(self.root, self.title)
        path = self.root / "cirr" / folder / name
        if not path.exists():
            raise MissingError(
                f"{self.title} has no {split} split in {self.root}: cirr/{folder}/{name} is missing"
            )
        return path

    def _refuse_unknown(self, named: set[str], images: dict[str, Path], split: str) -> None:
        unknown = sorted(named - images.keys())
        if unknown:
            raise UserError(
                f"{self.title} {split}: {len(unknown)} of {len(named)} images of the captions are "
                f"not in split.rc2.{split}.json, which has {len(images)}: {listed(unknown)}"
            )
