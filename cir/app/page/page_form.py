"""Read the fields of the page's form and turn them into a search."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from cir.app.requests import Sort
from cir.app.schemas import first_and_more, read_box
from cir.app.service import Search
from cir.app.stores.records import Filter, original_text
from cir.app.web.faults import BadRequest

_FILTERS = ("folder", "tags", "after", "before", "least_kb", "most_kb")
_KB = 1000
_MOST_KB = 10**12
_DIGITS = 12


@dataclass(frozen=True)
class PageForm:
    """The fields of the page, as they were typed; "" stands for an empty field.

    Attributes:
        edited: whether `add` and `remove` were changed by hand and replace the edit that the
            tagger reads in `q`. If the form has a field `asked`, this holds only while `asked`
            and `q` are the same sentence.
        after, before: the first and the last day of the images' dates.
        least_kb, most_kb: sizes of files, in units of 1,000 bytes.
        sort: "score", "date" or "name".
        duplicates: the cosine from which near duplicates are hidden; "" hides none.
        folder, tags: as `cir.app.stores.records.safe_text` writes them.
    """

    q: str = ""
    image_ids: tuple[str, ...] = ()
    box: str = ""
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    edited: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    image_weight: str = "1"
    least_score: str = "0"
    folder: str = ""
    tags: tuple[str, ...] = ()
    after: str = ""
    before: str = ""
    least_kb: str = ""
    most_kb: str = ""
    sort: str = "score"
    duplicates: str = ""
    offset: int = 0

    @classmethod
    def read(cls, fields: Iterable[tuple[str, str]]) -> "PageForm":
        """Read the fields of an address or a body; if a field comes twice, the last counts."""
        given = [(name, value.strip()) for name, value in fields]

        def all_of(name: str) -> tuple[str, ...]:
            return tuple(value for key, value in given if key == name and value)

        def one(name: str, default: str = "") -> str:
            return (all_of(name) or (default,))[-1]

        return cls(
            q=one("q"),
            image_ids=tuple(dict.fromkeys(all_of("image_id"))),
            box=one("box"),
            like=tuple(dict.fromkeys(all_of("like"))),
            unlike=tuple(dict.fromkeys(all_of("unlike"))),
            edited=one("edited") == "1" and dict(given).get("asked", one("q")) == one("q"),
            add=all_of("add"),
            remove=all_of("remove"),
            image_weight=one("image_weight", "1"),
            least_score=one("least_score", "0"),
            folder=one("folder"),
            tags=tuple(dict.fromkeys(all_of("tag"))),
            after=one("after"),
            before=one("before"),
            least_kb=one("least_kb"),
            most_kb=one("most_kb"),
            sort=one("sort", "score"),
            duplicates=one("duplicates"),
            offset=_offset(one("offset", "0")),
        )

    @property
    def filters(self) -> int:
        """The number of filters that are set."""
        return sum(bool(getattr(self, name)) for name in _FILTERS)

    @property
    def values(self) -> dict[str, Any]:
        """The fields that differ from an empty form, by their names in an address."""
        names = ("q", "box", "like", "unlike", "folder", "after", "before", "least_kb", "most_kb")
        values: dict[str, Any] = {name: getattr(self, name) for name in (*names, "duplicates")}
        values |= {"image_id": self.image_ids, "tag": self.tags, "offset": self.offset or None}
        if self.edited:
            values |= {"edited": "1", "add": self.add, "remove": self.remove}
        for name, usual in (("image_weight", "1"), ("least_score", "0"), ("sort", "score")):
            if getattr(self, name) != usual:
                values[name] = getattr(self, name)
        return values

    @property
    def image_id(self) -> str:
        """The first image of the index to start from, "" for none."""
        return next(iter(self.image_ids), "")

    def search(self, limit: int, images: Sequence[bytes] = ()) -> Search:
        """Return the search for these fields and the uploaded images.

        Raises:
            BadRequest: a field of a number or a date holds something else.
        """
        least = _number(self.least_score, "the least score") or None
        weight = _number(self.image_weight, "the weight of the image")
        if self.sort not in get_args(Sort):
            raise BadRequest(f"sort must be score, date or name, got {self.sort[:40]!r}")
        return Search(
            text=self.q,
            **first_and_more(images, self.image_ids),
            box=read_box(self.box),
            like=self.like,
            unlike=self.unlike,
            add=self.add if self.edited else None,
            remove=self.remove if self.edited else None,
            image_weight=1.0 if weight is None else weight,
            where=Filter(
                folder=original_text(self.folder) or None,
                after=_day(self.after, "the first day"),
                before=_day(self.before, "the last day", days=1),
                least_bytes=_bytes(self.least_kb, "the least size", math.ceil),
                most_bytes=_bytes(self.most_kb, "the greatest size", math.floor),
                tags=tuple(original_text(tag) for tag in self.tags),
            ),
            limit=limit,
            offset=self.offset,
            least_score=least,
            sort=self.sort,
            duplicates=_number(self.duplicates, "the cosine of near duplicates"),
        )

    @staticmethod
    def lowered(best: float) -> str:
        """Return the greatest multiple of 0.05 up to `best` as text, "0" at least."""
        return f"{max(math.floor(20 * best) / 20, 0):g}"


def _number(text: str, what: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadRequest(f"{what} must be a number, got {text[:40]!r}")
    return number


def _bytes(text: str, what: str, rounded: Callable[[float], int]) -> int | None:
    number = _number(text, what)
    if number is None:
        return None
    if not abs(number) <= _MOST_KB:
        raise BadRequest(f"{what} must be at most {_MOST_KB:,} kB, got {number:g}")
    return rounded(number * _KB)


def _offset(text: str) -> int:
    """Read an offset: 0 if it is not a number, 10**12 (too much for a search) if it is huge."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) < _DIGITS else 10**_DIGITS


def _day(text: str, what: str, days: int = 0) -> float | None:
    """Return midnight at the start of the day, `days` later, in seconds since 1970."""
    if not text:
        return None
    try:
        return (datetime.strptime(text, "%Y-%m-%d") + timedelta(days=days)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"{what} must be a date such as 2024-12-31, got {text[:40]!r}") from None
