"""Read FashionIQ: products of three categories, with two captions from reference to target.

    captions/cap.<category>.<split>.json        [{candidate, target, captions: [2]}]
    image_splits/split.<category>.<split>.json  ids
    images/<id>.jpg or .png

Wu et al., "Fashion IQ: A New Dataset Towards Retrieving Images by Natural Language Feedback", CVPR
2021. Papers report the validation split by category, as the test split has no targets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

from cir.core.english import listed
from cir.core.errors import UserError
from cir.published.datasets.base import Part, PublishedDataset, Query, QuerySet
from cir.published.datasets.pairs import Listed, ListedPairs
from cir.published.datasets.reading import (
    MissingError,
    is_name,
    is_text,
    list_of,
    read_entries,
    read_json,
    require_layout,
)
from cir.retrieval.ranking.protocol import Captions, Protocol
from cir.retrieval.ranking.protocol import Gallery as GalleryName

CATEGORIES = ("dress", "shirt", "toptee")
GALLERIES: dict[str, GalleryName] = {
    "full": "the whole split",
    "val": "references and targets",
    "pooled": "the whole splits of all categories",
}
_ENTRY = {"candidate": is_name, "captions": list_of(is_text, 2)}
_LABELLED = {**_ENTRY, "target": is_name}


def query_texts(category: str, captions: tuple[str, str], how: Captions) -> list[tuple[str, ...]]:
    """Return the queries that a pair of captions gives, each with one or several texts.

    "clip4cir": "C1 and c2". "composeae": "<category> c1 and it c2" in lower case. "searle": both
    orders in one query, whose vectors are averaged. "separate": a query for each caption, as in
    VAL.
    """
    one, two = captions
    bare, other = one.strip(".?, "), two.strip(".?, ")
    return {
        "clip4cir": [(f"{bare.capitalize()} and {other}",)],
        "composeae": [(f"{category} {one} and it {two}".lower(),)],
        "searle": [(f"{bare} and {other}", f"{other} and {bare}")],
        "separate": [(one,), (two,)],
    }[how]


def training_texts(category: str, captions: tuple[str, str], how: Captions) -> tuple[str, ...]:
    """Return the texts from which a training triplet gets one at random.

    "clip4cir" has four: both orders joined, and each caption alone. The other ways have the texts
    of their queries.
    """
    if how == "clip4cir":
        bare, other = (caption.strip(".?, ") for caption in captions)
        joined = (f"{bare.capitalize()} and {other}", f"{other.capitalize()} and {bare}")
        return (*joined, bare.capitalize(), other.capitalize())
    return tuple(text for texts in query_texts(category, captions, how) for text in texts)


@dataclass(frozen=True)
class FashionIQ(PublishedDataset):
    """FashionIQ under `root`.

    `gallery`: "full" is the category's whole split. "val" holds only the references and targets
    of its queries, as in VAL, and gives much higher figures. "pooled" joins the splits of all
    categories, as in ComposeAE. `captions`: see `query_texts`.
    """

    title: ClassVar[str] = "FashionIQ"
    root: Path
    gallery: Literal["full", "val", "pooled"] = "full"
    captions: Captions = "clip4cir"
    reference_kept: bool = True
    categories: tuple[str, ...] = CATEGORIES

    def __post_init__(self) -> None:
        """Raise UserError for unknown or repeated categories."""
        known = f"expected any of {', '.join(CATEGORIES)}, each once"
        if not self.categories:
            raise UserError(f"{self.title}: categories is empty; {known}")
        wrong = [name for name in self.categories if name not in CATEGORIES]
        wrong += [name for name in CATEGORIES if self.categories.count(name) > 1]
        if wrong:
            raise UserError(
                f"{self.title}: {len(wrong)} of {len(self.categories)} categories are unknown or "
                f"repeated: {listed(wrong)}; {known}"
            )

    def parts(self) -> tuple[Part, ...]:
        """Train, validation and test of every category."""
        return tuple(
            Part(f"{split} {category}", use, partial(read, category))
            for split, use, read in (
                ("train", "train", self._pairs),
                ("val", "val", partial(self._query_set, "val")),
                ("test", "withheld", partial(self._query_set, "test")),
            )
            for category in self.categories
        )

    def _pairs(self, category: str) -> ListedPairs:
        entries, blank = self._entries(category, "train", labelled=True)
        triplets = tuple(
            Listed(
                entry["candidate"],
                entry["target"],
                training_texts(category, tuple(entry["captions"]), self.captions),
            )
            for entry in entries
        )
        named = [name for triplet in triplets for name in (triplet.reference, triplet.target)]
        outside = self._outside(named, category, "train")
        notes = (*blank, f"{outside}; they are trained on all the same") if outside else blank
        return ListedPairs(f"{self.title} train {category}", triplets, self._images(named), notes)

    def _query_set(self, split: str, category: str) -> QuerySet:
        labelled = split != "test"
        entries, blank = self._entries(category, split, labelled)
        queries = []
        for number, entry in enumerate(entries):
            target = entry["target"] if labelled else None
            variants = query_texts(category, tuple(entry["captions"]), self.captions)
            for variant, texts in enumerate(variants, 1):
                name = f"{category}-{number}" + (f"-{variant}" if len(variants) > 1 else "")
                hits = frozenset({target} if labelled else ())
                queries.append(Query(name, entry["candidate"], texts, hits, target))
        named = [name for q in queries for name in (q.reference, q.target) if name]
        if outside := self._outside(named, category, split):
            raise UserError(f"{self.title} {split} {category}: {outside}")
        gallery = self._gallery(queries, split, category)
        protocol = Protocol(
            GALLERIES[self.gallery],
            reference_kept=self.reference_kept,
            dataset=self.title,
            split=f"{split} {category}",
            captions=self.captions,
        )
        images = self._images([*gallery, *(query.reference for query in queries)])
        name = f"{self.title} {split} {category}"
        return QuerySet(name, tuple(queries), gallery, images, protocol, blank)

    def _gallery(self, queries: list[Query], split: str, category: str) -> tuple[str, ...]:
        if self.gallery == "val":
            if queries[0].target is None:
                raise UserError(
                    f"{self.title} {split} {category}: {len(queries)} queries have no target, so "
                    "there is no gallery of references and targets: choose the full one"
                )
            pairs = [(query.reference, query.target) for query in queries]
            return tuple(dict.fromkeys(name for pair in pairs for name in pair if name))
        chosen = self.categories if self.gallery == "pooled" else (category,)
        # A product in two categories is one image of the pool.
        return tuple(dict.fromkeys(name for one in chosen for name in self._split(one, split)))

    def _outside(self, named: Iterable[str], category: str, split: str) -> str | None:
        """Say, with counts, which of the named images are not in the list of the split."""
        names, there = dict.fromkeys(named), set(self._split(category, split))
        outside = [name for name in names if name not in there]
        if not outside:
            return None
        return (
            f"{len(outside)} of {len(names)} images of the captions are not in "
            f"split.{category}.{split}.json, which has {len(there)}: {listed(outside)}"
        )

    def _split(self, category: str, split: str) -> list[str]:
        path = self.root / "image_splits" / f"split.{category}.{split}.json"
        self._require(path, category, split)
        names = read_json(path)
        if not list_of(is_name)(names):
            raise UserError(f"{path}: expected a list of image ids")
        if len(set(names)) < len(names):
            raise UserError(f"{path}: {len(names) - len(set(names))} of {len(names)} ids repeat")
        return names

    def _entries(
        self, category: str, split: str, labelled: bool
    ) -> tuple[list[dict], tuple[str, ...]]:
        path = self.root / "captions" / f"cap.{category}.{split}.json"
        self._require(path, category, split)
        entries = read_entries(path, _LABELLED if labelled else _ENTRY)
        blank = [k for k, entry in enumerate(entries) if not all(map(str.strip, entry["captions"]))]
        what = f"{len(blank)} of {len(entries)} queries have an empty caption, and are kept: "
        return entries, (what + f"entries {listed(blank)}",) if blank else ()

    def _require(self, path: Path, category: str, split: str) -> None:
        require_layout(self.root, self.title)
        if not path.exists():
            raise MissingError(
                f"{self.title}: {category} has no {split} split in {self.root}: "
                f"{path.relative_to(self.root)} is missing"
            )

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        """Return the existing images by id, from one listing of the folder."""
        folder = self.root / "images"
        paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ()
        return {path.stem: path for path in paths if path.suffix in (".jpg", ".png")}

    def _images(self, names: Iterable[str]) -> dict[str, Path]:
        folder = self.root / "images"
        return {name: self._files.get(name, folder / f"{name}.jpg") for name in names}
