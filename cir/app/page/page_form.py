"""What stands in the page's form, as it was typed, and the search that it asks for."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cir.app.service import Search
from cir.app.stores.records import Filter, original_text
from cir.app.web.faults import BadRequest

_FILTERS = ("folder", "tags", "after", "before", "least_kb", "most_kb")
_KB = 1000
_MOST_KB = 10**12
_DIGITS = 12


@dataclass(frozen=True)
class PageForm:
    """The fields of the page, all as text but `offset` and `edited`; "" where nothing is asked.

    `edited` says that `add` and `remove` were changed by hand and take the place of what the
    tagger reads in `q`; where the fields hold the sentence that they belong to, as `asked`, only
    as long as `q` is that. `before` is the last day that counts, `least_kb` is in units of 1,000
    bytes. Folder and tags are as `cir.app.stores.records.safe_text` writes them.
    """

    q: str = ""
    image_id: str = ""
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
    offset: int = 0

    @classmethod
    def read(cls, fields: Iterable[tuple[str, str]]) -> "PageForm":
        """From the fields of an address or of a body; of two of one kind the last counts."""
        given = [(name, value.strip()) for name, value in fields]

        def all_of(name: str) -> tuple[str, ...]:
            return tuple(value for key, value in given if key == name and value)

        def one(name: str, default: str = "") -> str:
            return (all_of(name) or (default,))[-1]

        return cls(
            q=one("q"),
            image_id=one("image_id"),
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
            offset=_offset(one("offset", "0")),
        )

    @property
    def filters(self) -> int:
        """How many filters are set."""
        return sum(bool(getattr(self, name)) for name in _FILTERS)

    @property
    def values(self) -> dict[str, Any]:
        """The fields that differ from those of an empty form, as they stand in an address."""
        names = ("q", "image_id", "folder", "after", "before", "least_kb", "most_kb")
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values |= {"tag": self.tags, "offset": self.offset or None}
        if self.edited:
            values |= {"edited": "1", "add": self.add, "remove": self.remove}
        for name, usual in (("image_weight", "1"), ("least_score", "0")):
            if getattr(self, name) != usual:
                values[name] = getattr(self, name)
        return values

    def search(self, limit: int, image: bytes | None = None) -> Search:
        """The search that the form asks for, with an uploaded image if there is one.

        Raises:
            BadRequest: a number or a date is none.
        """
        least = _number(self.least_score, "the least score") or None
        weight = _number(self.image_weight, "how much the image counts")
        return Search(
            text=self.q,
            image=image,
            image_id=self.image_id or None,
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
        )

    @staticmethod
    def lowered(best: float) -> str:
        """A least score that `best` passes, maybe with others: a multiple of 0.05, "0" for none."""
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
    """0 for what is no number; one of many digits is more than a search takes, whichever it is."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) < _DIGITS else 10**_DIGITS


def _day(text: str, what: str, days: int = 0) -> float | None:
    """Midnight at which the day begins, `days` later, in seconds since 1970."""
    if not text:
        return None
    try:
        return (datetime.strptime(text, "%Y-%m-%d") + timedelta(days=days)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"{what} must be a date such as 2024-12-31, got {text[:40]!r}") from None
