"""Read requests that are no sum of names: recolouring, words that keep, and what cannot be read.

The tagger labels the objects to add and to remove, and takes "keep the dog" for a removal. This
layer finds clauses of a few forms before the tagger reads the rest of the sentence:

- a new colour, material or pattern ("make the ball blue") removes "ball" and adds "blue ball";
- what is to stay ("keep the dog", "don't remove the cat") is neither added nor removed;
- what names no object ("remove everything but the cat", "make it darker", "move the cup to the
  left") is left out, with a remark that says so.

Contract: `split(text)` returns these clauses and the rest of the text. In the rest, the clauses are
spaces, so that every word keeps its place.
"""

import re
from collections.abc import Sequence

from cir.app.phrasings.clauses import Clause
from cir.app.phrasings.rules import RULES
from cir.app.phrasings.words import ONES, REMOVING
from cir.core.english import listed

__all__ = ["Clause", "one_resolved", "remarks_of", "split"]

_LONGEST = 400  # characters; longer texts are left to the tagger
_JOIN = re.compile(r"\s*,?\s*(?:\b(?:and|but|then)\b\s*)?", re.IGNORECASE)
# Where a clause may begin.
_NEXT = re.compile(
    r"[.,;:!?]+\s*|\s[-–—]\s|\s+(?:but|then|and|while|whilst|yet)\s+|\s+(?=not\s)|"
    rf"\s+(?=(?:without|instead of|rather than)\s+{REMOVING}\b)",
    re.IGNORECASE,
)
_WORDS_OF_JOINING = r"\b(?:and|but|then|while|yet|so)\b"
_LOOSE_START = re.compile(rf"[\s,;:.!?]*(?:{_WORDS_OF_JOINING}[\s,]*)*", re.IGNORECASE)
_LOOSE_END = re.compile(rf"(?:[\s,;:]*{_WORDS_OF_JOINING})+[\s,;:.!?]*$|[\s,;:]*$", re.IGNORECASE)


def split(text: str) -> tuple[list[Clause], str]:
    """Return the clauses of these forms, and the text with spaces in their places."""
    if len(text) > _LONGEST:
        return [], text
    plain = text.replace("’", "'").replace("\n", " ")
    found: list[Clause] = []
    place = 0
    while place < len(plain):
        clause = _clause_at(plain, place, found)
        if clause is not None:
            found.append(clause)
            place = _JOIN.match(plain, clause.end).end()
        else:
            after = _NEXT.search(plain, place)
            place = max(after.end(), place + 1) if after else len(plain)
    if not found:
        return [], text
    rest = list(text)
    for clause in found:
        rest[clause.start : clause.end] = " " * (clause.end - clause.start)
    return found, _without_loose_ends("".join(rest))


def remarks_of(found: Sequence[Clause]) -> list[str]:
    """Say what the clauses keep, and what cannot be read in them."""
    removed = {name for clause in found for name in clause.remove}
    kept = [repr(name) for clause in found for name in clause.keep if name not in removed]
    said = [f"it keeps {listed(kept)}"] if kept else []
    return said + list(dict.fromkeys(clause.remark for clause in found if clause.remark))


def one_resolved(
    add: tuple[str, ...], remove: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Replace "one" at the end of a name by the object of another name: "a blue one"."""
    others = [name.split()[-1] for name in (*remove, *add) if name.split()[-1] not in ONES]
    if not others:
        return add, remove

    def resolved(name: str) -> str:
        words = name.split()
        return " ".join([*words[:-1], others[0]]) if words[-1] in ONES else name

    return tuple(map(resolved, add)), tuple(map(resolved, remove))


def _clause_at(text: str, place: int, before: Sequence[Clause]) -> Clause | None:
    for pattern, build in RULES:
        found = pattern.match(text, place)
        clause = None if found is None else build(found, before)
        if clause is not None:
            return clause
    return None


def _without_loose_ends(rest: str) -> str:
    """Blank the words that joined a clause to the others, at both ends."""
    start, end = _LOOSE_START.match(rest).end(), _LOOSE_END.search(rest).start()
    kept = rest[start:end] if start <= end else ""
    return " " * start + kept + " " * (len(rest) - start - len(kept))
