"""Define a search and its answer, and check that a search is allowed."""

import math
from dataclasses import dataclass
from typing import Literal

from cir.app.search_model import TaggedText
from cir.app.stores.records import ANY, Filter, Hit
from cir.app.web.faults import BadRequest, Unreadable

MAX_LIMIT = 200
MAX_OFFSET = 10_000
MAX_TEXT = 2_000  # characters
MAX_NAMES = 50  # names to add and to remove, together
MAX_TAGS = 50  # tags of the filter
MAX_IMAGES = 8  # that a search starts from, together
MAX_MARKED = 50  # images that are wanted or unwanted, together
MAX_IMAGE_WEIGHT = 2.0
MAX_REARRANGED = 1_000  # best answers that are sorted otherwise, or in which duplicates are hidden
_LEAST_BOX = 0.01  # of a side
_MOST = 2**53  # the stores' numbers are exact up to this one

Box = tuple[float, float, float, float]
Kind = Literal["text", "image", "composed", "filter"]
Sort = Literal["score", "date", "name"]


@dataclass(frozen=True)
class Search:
    """A search by words, by an image, by an image and a change, or by conditions alone.

    Args:
        text: the words to look for, or with an image the sentence that describes the change.
        image: an encoded image from the client.
        image_id: an image of the index instead, which the answers leave out.
        more_images, more_ids: further images to start from, of the client and of the index. The
            query is the mean of the queries that each image gives.
        box: the region of the first image that counts: its left, top, right and bottom, in shares
            of the width and the height. None takes the whole image.
        like, unlike: images of the index that the answers should be more and less like.
        add, remove: names that replace the edit that the tagger reads in the text; if both are
            None, the tagger decides. They need an image.
        image_weight: the weight of the image, from 0 to 2; 1 is the model's own answer.
        where: conditions that the images have to meet.
        limit, offset: the number of answers, and of better answers to skip.
        least_score: leave out images with a lower cosine; None leaves out none.
        sort: "score" for the best first, "date" for the newest first, or "name" for the paths in
            order. Without a query, "score" is "date".
        duplicates: leave out images whose cosine with a better answer is at least this; None leaves
            out none. With a query, another order and duplicates go as far as MAX_REARRANGED.
    """

    text: str = ""
    image: bytes | None = None
    image_id: str | None = None
    more_images: tuple[bytes, ...] = ()
    more_ids: tuple[str, ...] = ()
    box: Box | None = None
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    add: tuple[str, ...] | None = None
    remove: tuple[str, ...] | None = None
    image_weight: float = 1.0
    where: Filter = ANY
    limit: int = 24
    offset: int = 0
    least_score: float | None = None
    sort: Sort = "score"
    duplicates: float | None = None

    @property
    def images(self) -> tuple[bytes | str, ...]:
        """Return the images that the search starts from: encoded ones, and ids of the index."""
        first = (self.image, self.image_id, *self.more_images, *self.more_ids)
        return tuple(image for image in first if image is not None)

    @property
    def left_out(self) -> set[str]:
        """Return the ids of the index that the search names; no answer repeats them."""
        given = (*self.images, *self.like, *self.unlike)
        return {image for image in given if isinstance(image, str)}

    @property
    def kind(self) -> Kind:
        """Return the kind of search."""
        if not self.images and not self.text.strip():
            conditions = self.where != ANY or self.sort != "score"
            return "filter" if conditions and not (self.like or self.unlike) else "text"
        if not self.images:
            return "text"
        return "composed" if self.text.strip() or self.add or self.remove else "image"


@dataclass(frozen=True)
class Answer:
    """The answers to a search, best first.

    Attributes:
        kind: the kind of search.
        hits: at most `limit` images.
        more: whether there is a next page.
        tagged: the names that were added and removed; None for searches by words or by an image.
        seconds: the time of each step that ran (decode, tag, encode, search) and the total.
        unread: the words at the end of a search by words that the model cut off.
        fits: whether the first image fits better than what random queries find; None if that is not
            known, or the page does not begin with the best one.
        hidden: how many near duplicates were left out, of all answers that were looked at.
    """

    kind: Kind
    hits: tuple[Hit, ...]
    more: bool
    tagged: TaggedText | None
    seconds: dict[str, float]
    unread: str = ""
    fits: bool | None = None
    hidden: int = 0


def check(search: Search) -> None:
    """Raise BadRequest or Unreadable for a search that cannot be answered."""
    names = [*(search.add or ()), *(search.remove or ())]
    if search.kind == "text" and not search.text.strip():
        raise BadRequest("there is nothing to search by: give a text, an image, or conditions")
    _check_images(search)
    for what, text in (("text", search.text), *(("a name", name) for name in names)):
        check_text(text, what)
    if any(not name.strip() for name in names):
        raise BadRequest("a name to add or to remove must not be empty")
    if len(names) > MAX_NAMES:
        raise BadRequest(f"at most {MAX_NAMES} names can be added and removed, got {len(names)}")
    if not 1 <= search.limit <= MAX_LIMIT:
        raise BadRequest(f"limit must be from 1 to {MAX_LIMIT}, got {search.limit}")
    if not 0 <= search.offset <= MAX_OFFSET:
        raise BadRequest(f"offset must be from 0 to {MAX_OFFSET:,}, got {search.offset}")
    if not 0 <= search.image_weight <= MAX_IMAGE_WEIGHT:
        raise BadRequest(
            f"image_weight must be from 0 to {MAX_IMAGE_WEIGHT:g}, got {search.image_weight:g}"
        )
    if search.least_score is not None and not math.isfinite(search.least_score):
        raise BadRequest(f"least_score must be a finite number, got {search.least_score}")
    if search.duplicates is not None and not 0 < search.duplicates <= 1:
        raise BadRequest(f"duplicates must be above 0 and at most 1, got {search.duplicates}")
    _check_where(search.where)


def _check_images(search: Search) -> None:
    if len(search.images) > MAX_IMAGES:
        raise BadRequest(
            f"a search starts from at most {MAX_IMAGES} images, got {len(search.images)}"
        )
    marked = len(search.like) + len(search.unlike)
    if marked > MAX_MARKED:
        raise BadRequest(f"at most {MAX_MARKED} images can be wanted or unwanted, got {marked}")
    if search.box is None:
        return
    left, top, right, bottom = search.box
    inside = left >= 0 and top >= 0 and right <= 1 and bottom <= 1  # false for NaN too
    if not inside or not min(right - left, bottom - top) >= _LEAST_BOX:
        raise BadRequest(
            "box must be left, top, right and bottom in shares of the image, from 0 to 1 and at "
            f"least {_LEAST_BOX} apart; got {search.box}"
        )
    if not search.images:
        raise BadRequest("box is a region of an image, and there is no image")


def check_text(text: str, what: str = "text") -> None:
    """Raise BadRequest for a text that is too long, Unreadable for one that is not Unicode."""
    _check_length(text, what)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable(f"{what} contains surrogates, which are no text in UTF-8") from None


def _check_length(text: str, what: str) -> None:
    if len(text) > MAX_TEXT:
        raise BadRequest(f"{what} may have {MAX_TEXT:,} characters, got {len(text):,}")


def _check_where(where: Filter) -> None:
    for name in ("after", "before", "least_bytes", "most_bytes"):
        number = getattr(where, name)
        if number is not None and not abs(number) < _MOST:  # true for NaN and infinity too
            raise BadRequest(f"{name} must be a number below {_MOST:,}")
    if len(where.tags) > MAX_TAGS:
        raise BadRequest(f"at most {MAX_TAGS} tags can be asked for, got {len(where.tags)}")
    for what, text in (("folder", where.folder or ""), *(("a tag", tag) for tag in where.tags)):
        _check_length(text, what)
