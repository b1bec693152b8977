"""Read CIRCO: queries on COCO's unlabelled photos, with all their right answers.

    annotations/{val,test}.json
    COCO2017_unlabeled/annotations/image_info_unlabeled2017.json   the gallery
    COCO2017_unlabeled/unlabeled2017/                              its photos

Baldrati et al., "Zero-Shot Composed Image Retrieval with Textual Inversion", ICCV 2023. The test
split has no targets: the test server takes the file that cir.published.servers.server_files writes.
There is no training split.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from cir.core.english import listed
from cir.core.errors import UserError
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
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

_ENTRY = {"id": is_whole, "reference_img_id": is_whole, "relative_caption": is_text}
_LABELLED = {
    **_ENTRY,
    "target_img_id": is_whole,
    "gt_img_ids": list_of(is_whole),
    "semantic_aspects": list_of(is_name),
}


@dataclass(frozen=True)
class CIRCO(PublishedDataset):
    """CIRCO under `root`."""

    title: ClassVar[str] = "CIRCO"
    root: Path
    reference_kept: bool = True

    def parts(self) -> tuple[Part, ...]:
        """Val and test."""
        return (
            Part("val", "val", partial(self._query_set, "val")),
            Part("test", "test server", partial(self._query_set, "test")),
        )

    def _query_set(self, split: str) -> QuerySet:
        queries = self.read_queries(split)
        images = self._images()
        unknown = sorted({query.reference for query in queries} - images.keys())
        if unknown:
            raise UserError(
                f"{self.title} {split}: {len(unknown)} reference images are not among the "
                f"{len(images)} of COCO's list: {listed(unknown)}"
            )
        protocol = Protocol(
            "COCO 2017 unlabeled",
            reference_kept=self.reference_kept,
            hit="any of its targets",
            dataset=self.title,
            split=split,
        )
        return QuerySet(f"{self.title} {split}", queries, tuple(images), images, protocol)

    def read_queries(self, split: str) -> tuple[Query, ...]:
        """Read only the queries; images have COCO's numbers."""
        require_layout(self.root, self.title)
        path = self.root / "annotations" / f"{split}.json"
        if not path.exists():
            raise MissingError(
                f"{self.title} has no {split} split in {self.root}: annotations/{split}.json is "
                "missing"
            )
        labelled = split != "test"
        entries = read_entries(path, _LABELLED if labelled else _ENTRY)
        odd = [e["id"] for e in entries if labelled and e["target_img_id"] not in e["gt_img_ids"]]
        if odd:
            raise UserError(
                f"{path}: {len(odd)} of {len(entries)} queries have a target that is not among "
                f"their right answers: {listed(odd)}"
            )
        return tuple(
            Query(
                str(entry["id"]),
                str(entry["reference_img_id"]),
                (entry["relative_caption"],),
                frozenset(map(str, entry["gt_img_ids"])) if labelled else frozenset(),
                str(entry["target_img_id"]) if labelled else None,
                aspects=tuple(entry["semantic_aspects"]) if labelled else (),
            )
            for entry in entries
        )

    def _images(self) -> dict[str, Path]:
        folder = self.root / "COCO2017_unlabeled"
        path = folder / "annotations" / "image_info_unlabeled2017.json"
        content = read_json(path)
        entries = content.get("images") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries:
            raise UserError(f'{path}: expected an object with a list under "images"')
        wrong = [
            number
            for number, entry in enumerate(entries)
            if not isinstance(entry, dict)
            or not is_whole(entry.get("id"))
            or not is_name(entry.get("file_name"))
        ]
        if wrong:
            raise UserError(
                f'{path}: {len(wrong)} of {len(entries)} images have no "id" or "file_name": '
                f"images {listed(wrong)}"
            )
        images = {str(e["id"]): folder / "unlabeled2017" / e["file_name"] for e in entries}
        if len(images) < len(entries):
            raise UserError(f"{path}: {len(entries) - len(images)} ids of {len(entries)} repeat")
        return images
