"""What is asked of the service and what it answers, as values; and what may be asked at all."""

import math
from dataclasses import dataclass
from typing import Literal

from cir.app.stores.records import ANY, Filter, Hit
from cir.app.web.faults import BadRequest, Unreadable
from cir.core.records import Edit

MAX_LIMIT = 200
MAX_OFFSET = 10_000
MAX_TEXT = 2_000  # characters
MAX_NAMES = 50  # to add and to remove, together
MAX_TAGS = 50  # of the filter
MAX_IMAGE_WEIGHT = 2.0
_MOST = 2**53  # up to which the stores' numbers are exact

Kind = Literal["text", "image", "composed"]


@dataclass(frozen=True)
class Search:
    """One search: by words, by an image, or by an image and a change.

    Args:
        text: words to look for, or with an image the sentence that says what to change.
        image: an encoded image from outside.
        image_id: or an image of the index, which is then left out of the answers.
        add, remove: names that take the place of what the tagger reads in the text; None for
            both leaves it to the tagger. They count with an image only.
        image_weight: how much the image counts, from 0 to 2; 1 is the model's own answer.
        where: what the answers have to be.
        limit, offset: how many answers, after how many better ones.
        least_score: the cut-off, a cosine; None for none.
    """

    text: str = ""
    image: bytes | None = None
    image_id: str | None = None
    add: tuple[str, ...] | None = None
    remove: tuple[str, ...] | None = None
    image_weight: float = 1.0
    where: Filter = ANY
    limit: int = 24
    offset: int = 0
    least_score: float | None = None

    @property
    def kind(self) -> Kind:
        """By what it searches."""
        if self.image is None and self.image_id is None:
            return "text"
        return "composed" if self.text.strip() or self.add or self.remove else "image"

    @property
    def overridden(self) -> bool:
        """Whether names are given, be it none, in place of the tagger's."""
        return self.add is not None or self.remove is not None


@dataclass(frozen=True)
class Answer:
    """The answers to a search, best first.

    Attributes:
        kind: by what was searched.
        hits: at most as many as asked for.
        more: whether there is a next page.
        edit: what was added and removed; None for searches by words or by an image.
        words: the sentence's words, each with its label (other, pos, neg); empty where nothing
            was tagged.
        seconds: by step (decode, tag, encode, search: those that ran), and in total.
    """

    kind: Kind
    hits: tuple[Hit, ...]
    more: bool
    edit: Edit | None
    words: tuple[tuple[str, str], ...]
    seconds: dict[str, float]


def check(search: Search) -> None:
    """Raise BadRequest or Unreadable for a search that cannot be answered."""
    names = [*(search.add or ()), *(search.remove or ())]
    if search.kind == "text" and not search.text.strip():
        raise BadRequest("there is nothing to search by: give words, an image, or both")
    if search.image is not None and search.image_id is not None:
        raise BadRequest("give either an image or image_id, not both")
    for what, text in (("text", search.text), *(("a name", name) for name in names)):
        check_text(text, what)
    if any(not name.strip() for name in names):
        raise BadRequest("a name to add or to remove is empty")
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
        raise BadRequest(f"least_score must be a number, got {search.least_score}")
    _check_where(search.where)


def check_text(text: str, what: str = "text") -> None:
    """Raise unless a text is one that a model can read."""
    if len(text) > MAX_TEXT:
        raise BadRequest(f"{what} may have {MAX_TEXT:,} characters, got {len(text):,}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable(f"{what} holds halves of characters that are no text") from None


def _check_where(where: Filter) -> None:
    numbers = {
        "after": where.after,
        "before": where.before,
        "least_bytes": where.least_bytes,
        "most_bytes": where.most_bytes,
    }
    for name, number in numbers.items():
        if number is not None and not abs(number) < _MOST:  # nor is NaN, nor infinity
            raise BadRequest(f"{name} must be a number below {_MOST:,}")
    if len(where.tags) > MAX_TAGS:
        raise BadRequest(f"at most {MAX_TAGS} tags can be asked for, got {len(where.tags)}")
    for what, text in (("folder", where.folder or ""), *(("a tag", tag) for tag in where.tags)):
        if len(text) > MAX_TEXT:
            raise BadRequest(f"{what} may have {MAX_TEXT:,} characters, got {len(text):,}")
