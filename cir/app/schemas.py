"""The API's bodies: what its fields are called, and how they become values and back."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from cir.app.requests import MAX_IMAGE_WEIGHT, MAX_LIMIT, MAX_OFFSET, Answer, Search
from cir.app.search_model import TaggedText
from cir.app.stores.records import Filter, Hit, original_text, safe_text

LISTS = ("add", "remove", "tag")  # the fields of a form that may come several times


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Where(_Body):
    """What the answers have to be; all that is given must hold."""

    folder: str | None = Field(None, description="in this folder of the index, or below")
    after: float | None = Field(None, description="not taken before, seconds since 1970")
    before: float | None = Field(None, description="taken before, seconds since 1970")
    least_bytes: int | None = None
    most_bytes: int | None = None
    tags: list[str] = Field([], description="has all of these")

    def filter(self) -> Filter:
        """The same as a value."""
        return Filter(
            folder=None if self.folder is None else original_text(self.folder),
            after=self.after,
            before=self.before,
            least_bytes=self.least_bytes,
            most_bytes=self.most_bytes,
            tags=tuple(map(original_text, self.tags)),
        )


class _Page(_Body):
    limit: int = Field(24, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    least_score: float | None = Field(None, description="the cut-off, a cosine")


class TextSearch(_Page):
    """A search by words."""

    text: str
    where: Where = Field(default_factory=Where)

    def search(self) -> Search:
        """The same as a value."""
        return Search(
            text=self.text,
            where=self.where.filter(),
            limit=self.limit,
            offset=self.offset,
            least_score=self.least_score,
        )


class ImageSearch(_Page):
    """The fields of a form beside `image`, for a search by an image."""

    image_id: str | None = Field(None, description="an image of the index, instead of `image`")
    folder: str | None = None
    after: float | None = None
    before: float | None = None
    least_bytes: int | None = None
    most_bytes: int | None = None
    tag: list[str] = []

    def search(self, image: bytes | None) -> Search:
        """The same, with the image, as a value."""
        where = Filter(
            folder=None if self.folder is None else original_text(self.folder),
            after=self.after,
            before=self.before,
            least_bytes=self.least_bytes,
            most_bytes=self.most_bytes,
            tags=tuple(map(original_text, self.tag)),
        )
        return Search(
            image=image,
            image_id=self.image_id,
            where=where,
            limit=self.limit,
            offset=self.offset,
            least_score=self.least_score,
            **self._change(),
        )

    def _change(self) -> dict:
        return {}


class ComposedSearch(ImageSearch):
    """The fields of a form beside `image`, for a search by an image and a change."""

    text: str = ""
    add: list[str] | None = Field(
        None, description="names to add; given, if only once and empty, the text is not tagged"
    )
    remove: list[str] | None = Field(None, description="names to remove, likewise")
    image_weight: float = Field(1.0, ge=0, le=MAX_IMAGE_WEIGHT)

    def _change(self) -> dict:
        given = self.add is not None or self.remove is not None
        return {
            "text": self.text,
            "add": _names(self.add) if given else None,
            "remove": _names(self.remove) if given else None,
            "image_weight": self.image_weight,
        }


class Text(_Body):
    """A sentence."""

    text: str


class HitBody(BaseModel):
    """An image that matches."""

    id: str
    score: float
    paths: list[str]
    bytes: int
    date: float
    width: int
    height: int
    tags: list[str]
    image: str = Field(description="where the file itself is")
    thumbnail: str


class TagBody(BaseModel):
    """How a sentence was read; labels are other, pos (to add) and neg (to remove)."""

    add: list[str]
    remove: list[str]
    words: list[tuple[str, str]]


class AnswerBody(BaseModel):
    """The answers to a search, best first; `edit` is null where nothing could be changed."""

    kind: str
    hits: list[HitBody]
    more: bool
    edit: TagBody | None
    seconds: dict[str, float]


class ErrorBody(BaseModel):
    """Why there is no answer, in a sentence."""

    error: str


def answer_body(answer: Answer) -> dict:
    """An answer as JSON, in the form of AnswerBody."""
    edit = answer.edit
    return {
        "kind": answer.kind,
        "hits": [_hit_body(hit) for hit in answer.hits],
        "more": answer.more,
        "edit": None if edit is None else tag_body(TaggedText(edit, answer.words)),
        "seconds": {step: round(seconds, 6) for step, seconds in answer.seconds.items()},
    }


def tag_body(tagged: TaggedText) -> dict:
    """A sentence as it was read, in the form of TagBody."""
    return {
        "add": list(tagged.edit.add),
        "remove": list(tagged.edit.remove),
        "words": [list(word) for word in tagged.words],
    }


def fields_of(items: Sequence[tuple[str, str]]) -> Mapping[str, str | list[str]]:
    """The fields of a form: lists as lists, others the last time they come; blank ones absent."""
    fields: dict[str, str | list[str]] = {}
    for name, value in items:
        if name in LISTS:
            fields.setdefault(name, []).append(value)
        elif value.strip() or name == "text":
            fields[name] = value
    return fields


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name for name in given or () if name.strip())


def _hit_body(hit: Hit) -> dict:
    image = hit.image
    return {
        "id": image.id,
        "score": round(float(hit.score), 6),
        "paths": [safe_text(path) for path in image.paths],
        "bytes": image.bytes,
        "date": image.date,
        "width": image.width,
        "height": image.height,
        "tags": [safe_text(tag) for tag in image.tags],
        "image": f"/images/{image.id}",
        "thumbnail": f"/thumbnails/{image.id}",
    }
