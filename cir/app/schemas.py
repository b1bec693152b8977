"""Define the bodies of the API, and convert them to searches and from answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cir.app.reindexing import State
from cir.app.requests import (
    MAX_IMAGE_WEIGHT,
    MAX_LIMIT,
    MAX_OFFSET,
    MAX_REARRANGED,
    Answer,
    Box,
    Search,
    Sort,
)
from cir.app.search_model import TaggedText
from cir.app.stores.records import Filter, Hit, original_text, safe_text
from cir.app.web.faults import BadRequest

LISTS = (
    "add",
    "remove",
    "tag",
    "image_id",
    "like",
    "unlike",
)  # fields of a form that may come several times


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Bounds(_Body):
    folder: str | None = Field(None, description="the folder of the images, at any depth")
    after: float | None = Field(None, description="the earliest date, in seconds since 1970")
    before: float | None = Field(None, description="a time later than every date, likewise")
    least_bytes: int | None = None
    most_bytes: int | None = None

    def filter(self, tags: Iterable[str]) -> Filter:
        return Filter(
            folder=None if self.folder is None else original_text(self.folder),
            after=self.after,
            before=self.before,
            least_bytes=self.least_bytes,
            most_bytes=self.most_bytes,
            tags=tuple(map(original_text, tags)),
        )


class Where(_Bounds):
    """Conditions on the images; an image has to meet all of them."""

    tags: list[str] = Field([], description="tags that the image must have")


class _Page(_Body):
    limit: int = Field(24, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    least_score: float | None = Field(None, description="the lowest cosine of an answer")
    sort: Sort = Field(
        "score", description=f"date and name sort the best {MAX_REARRANGED:,} answers of a query"
    )
    duplicates: float | None = Field(
        None,
        description="leave out images whose cosine with a better answer is at least this, among "
        f"the best {MAX_REARRANGED:,}",
    )

    def _page(self) -> dict:
        names = ("limit", "offset", "least_score", "sort", "duplicates")
        return {name: getattr(self, name) for name in names}


class _Marked(_Body):
    like: list[str] = Field([], description="ids of images that the answers should be more like")
    unlike: list[str] = Field([], description="ids of images that they should be less like")


class TextSearch(_Marked, _Page):
    """A search by words, or by conditions alone."""

    text: str = Field("", description="may be empty if there are conditions or another order")
    where: Where = Field(default_factory=Where)

    def search(self) -> Search:
        """Convert the body to a search."""
        where = self.where.filter(self.where.tags)
        marked = {"like": tuple(self.like), "unlike": tuple(self.unlike)}
        return Search(text=self.text, where=where, **marked, **self._page())


class ImageSearch(_Marked, _Bounds, _Page):
    """The fields beside `image` in a form that searches by one image or several."""

    image_id: list[str] = Field(
        [], description="images of the index, instead of `image` or beside it; their mean counts"
    )
    box: str | None = Field(
        None,
        description="the region of the first image that counts: left,top,right,bottom in shares of "
        "its width and height, from 0 to 1",
    )
    tag: list[str] = []

    def search(self, images: Sequence[bytes]) -> Search:
        """Convert the form and its images to a search."""
        return Search(
            **first_and_more(images, self.image_id),
            box=read_box(self.box),
            like=tuple(self.like),
            unlike=tuple(self.unlike),
            where=self.filter(self.tag),
            **self._page(),
        )


class ComposedSearch(ImageSearch):
    """The fields beside `image` in a form that searches by an image and a change."""

    text: str = ""
    add: list[str] | None = Field(
        None, description="names to add; if given, even empty, the tagger does not read the text"
    )
    remove: list[str] | None = Field(None, description="names to remove, likewise")
    image_weight: float = Field(1.0, ge=0, le=MAX_IMAGE_WEIGHT)

    def search(self, images: Sequence[bytes]) -> Search:
        """Convert the form and its images to a search."""
        add, remove = self.add, self.remove
        if add is not None or remove is not None:
            add, remove = (tuple(n for n in names or () if n.strip()) for names in (add, remove))
        return replace(
            super().search(images),
            text=self.text,
            add=add,
            remove=remove,
            image_weight=self.image_weight,
        )


def first_and_more(images: Sequence[bytes], ids: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a search that starts from these images, those of the index first."""
    if ids:
        return {"image_id": ids[0], "more_ids": tuple(ids[1:]), "more_images": tuple(images)}
    return {"image": next(iter(images), None), "more_images": tuple(images[1:])}


def read_box(text: str | None) -> Box | None:
    """Read "left,top,right,bottom"; raise BadRequest for anything else."""
    if not text:
        return None
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        raise BadRequest(f"box must be left,top,right,bottom, got {text[:60]!r}") from None
    return left, top, right, bottom


class Text(_Body):
    """A sentence for the tagger."""

    text: str


class HitBody(BaseModel):
    """An image that was found."""

    id: str
    score: float | None = Field(description="the cosine; null without a query")
    fit: Literal["good", "fair", "unlikely"] | None = Field(
        description="how well the image fits, against what random queries find in this index; null "
        "if that was not measured"
    )
    paths: list[str]
    bytes: int
    date: float
    width: int
    height: int
    tags: list[str]
    image: str = Field(description="the address of the file")
    thumbnail: str


class TagBody(BaseModel):
    """The edit in a sentence; the labels are other, pos (to add) and neg (to remove)."""

    add: list[str]
    remove: list[str]
    words: list[tuple[str, str]]
    confidence: float = Field(
        description="how probable it is that the whole edit is right; 1 for names that were given"
    )
    confidence_by_object: dict[Literal["add", "remove"], list[float]] = Field(
        description="the same for each name in `add` and in `remove`"
    )
    remarks: list[str] = Field(
        description="says if the edit is empty or contradictory, or the sentence not in English"
    )


class AnswerBody(BaseModel):
    """The answers to a search, best first; `edit` is null without an image and a change."""

    kind: str
    hits: list[HitBody]
    more: bool
    edit: TagBody | None
    seconds: dict[str, float]
    unread: str = Field(description="words at the end of a text that the model cut off")
    fits: bool | None = Field(
        description="false if nothing fits: the first image is unlikely; null if that is not known"
    )
    hidden: int = Field(description="near duplicates that were left out")


class ErrorBody(BaseModel):
    """The reason why there is no answer, in a sentence."""

    error: str


def answer_body(answer: Answer, base_path: str = "") -> dict:
    """Return an answer as JSON, in the form of AnswerBody; addresses lie below `base_path`."""
    return {
        "kind": answer.kind,
        "hits": [_hit_body(hit, base_path) for hit in answer.hits],
        "more": answer.more,
        "edit": None if answer.tagged is None else tag_body(answer.tagged),
        "seconds": {step: round(seconds, 6) for step, seconds in answer.seconds.items()},
        "unread": answer.unread,
        "fits": answer.fits,
        "hidden": answer.hidden,
    }


def index_body(state: State) -> dict:
    """Return the state of indexing as JSON, in the form of State."""
    found = asdict(state)
    if state.report is not None:
        found["report"]["unreadable"] = [safe_text(line) for line in state.report.unreadable]
    return found | {"error": safe_text(state.error)}


def tag_body(tagged: TaggedText) -> dict:
    """Return a tagged sentence as JSON, in the form of TagBody."""
    return {
        "add": list(tagged.edit.add),
        "remove": list(tagged.edit.remove),
        "words": [list(word) for word in tagged.words],
        "confidence": round(tagged.confidence, 3),
        "confidence_by_object": {
            sign: [round(confidence, 3) for confidence in confidences]
            for sign, confidences in tagged.confidence_by_object.items()
        },
        "remarks": list(tagged.remarks),
    }


def fields_of(items: Sequence[tuple[str, str]]) -> Mapping[str, str | list[str]]:
    """Read the fields of a form: all values of LISTS, else the last value; skip blank values."""
    fields: dict[str, str | list[str]] = {}
    for name, value in items:
        if name in LISTS:
            fields.setdefault(name, []).append(value)
        elif value.strip() or name == "text":
            fields[name] = value
    return fields


def _hit_body(hit: Hit, base_path: str) -> dict:
    image = hit.image
    return {
        "id": image.id,
        "score": None if hit.score is None else round(float(hit.score), 6),
        "fit": hit.fit,
        "paths": [safe_text(path) for path in image.paths],
        "bytes": image.bytes,
        "date": image.date,
        "width": image.width,
        "height": image.height,
        "tags": [safe_text(tag) for tag in image.tags],
        "image": f"{base_path}/images/{image.id}",
        "thumbnail": f"{base_path}/thumbnails/{image.id}",
    }
