"""Build what a clause asks for from the match of a form."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cir.app.phrasings.words import ARTICLE, LOOK, MATTERLESS, PRONOUNS, REMOVE, WHOLE


@dataclass(frozen=True)
class Clause:
    """A clause that was read without the tagger.

    Attributes:
        start, end: its place in the text.
        add, remove: names of objects.
        marks: (start, end, label) of the words that name them.
        keep: names of objects that stay.
        remark: what cannot be read in it, "" if all is.
    """

    start: int
    end: int
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    marks: tuple[tuple[int, int, str], ...] = ()
    keep: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class _Name:
    text: str
    start: int
    end: int

    def marked(self, label: str) -> tuple[int, int, str]:
        return self.start, self.end, label


Before = Sequence[Clause]

_COUNTS = "of same one two three four five"
_DETERMINERS = re.compile(rf"(?:(?:{ARTICLE}|{_COUNTS.replace(' ', '|')})\s+)*", re.IGNORECASE)
_PLACE = re.compile(
    r"\s+(?:on|in|under|behind|beside|next to|near|at|by|from|that|which|who|over|to the)\s.*$",
    re.IGNORECASE,
)
_LOOKS_IN_FRONT = re.compile(rf"(?:{LOOK}[ ,]+(?:and )?)+(?=\S)", re.IGNORECASE)
_LIST = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s+or\s+", re.IGNORECASE)
_ANOTHER = re.compile(rf"\s({LOOK})\s*(?:,|,?\s*and)\s+(?={ARTICLE}\s)", re.IGNORECASE)


def recoloured(found: re.Match, before: Before) -> Clause | None:
    """Remove the things as they are and add them with the new look."""
    groups = found.groupdict()
    if re.fullmatch(WHOLE, found["name"], re.IGNORECASE):
        return _it_recoloured(found, before)
    # "the ball blue and the cup" before "red"
    parts = _ANOTHER.split(found["name"])
    looks = [*parts[1::2], found["look"]]
    add, remove, marks, place = [], [], [(*found.span("look"), "pos")], found.start("name")
    for number, (part, look) in enumerate(zip(parts[::2], looks, strict=True)):
        at = found.string.index(part, place)
        for name in _names(part, at):
            bare = _bare(name.text)
            add.append(f"{look} {bare}")
            remove.append(f"{groups['old']} {bare}" if groups.get("old") else name.text)
            marks.append(name.marked("neg"))
        place = at + len(part)
        if number < len(looks) - 1:
            at = found.string.index(look, place)
            marks.append((at, at + len(look), "pos"))
    return _clause(found, add=tuple(add), remove=tuple(remove), marks=tuple(marks)) if add else None


def _it_recoloured(found: re.Match, before: Before) -> Clause:
    """Recolour the thing that an earlier clause names last, if "it" stands for one."""
    named = [name for clause in before for name in (*clause.keep, *clause.add)]
    if found["name"].lower() != "it" or not named:
        return unread(found, before)
    mark = (*found.span("look"), "pos")
    add = (f"{found['look']} {_bare(named[-1])}",)
    return _clause(found, add=add, remove=(named[-1],), marks=(mark,))


def replaced(found: re.Match, before: Before) -> Clause | None:
    """Remove one thing and add the other: "make the cat a dog"."""
    if re.fullmatch(WHOLE, found["name"], re.IGNORECASE):
        return unread(found, before)
    old, new = list(_of(found, "name")), list(_of(found, "thing"))
    marks = (*(n.marked("neg") for n in old), *(n.marked("pos") for n in new))
    return _clause(found, add=_texts(new), remove=_texts(old), marks=marks)


def kept(found: re.Match, before: Before) -> Clause | None:
    """Take the names as those of things that stay; "everything else" is left to the tagger."""
    if found["name"].lower() in PRONOUNS:
        return _clause(found)
    names = _texts(_of(found, "name"))
    return None if any(map(MATTERLESS.fullmatch, names)) else _clause(found, keep=names)


def kept_alone(found: re.Match, before: Before) -> Clause:
    """Take the names as those of the only things that stay; all others have no names."""
    remark = "it does not name what should go, only what stays: add chips for what should go"
    return _clause(found, keep=_texts(_of(found, "name")), remark=remark)


def kept_beside_a_removal(found: re.Match, before: Before) -> Clause | None:
    """Read "not the cat" as a word that keeps, if the clause before removes something."""
    earlier = found.string[: found.start("all")]
    removes = re.search(rf"\b{REMOVE}\b[^.;:!?]*$", earlier, re.IGNORECASE)
    return kept(found, before) if removes else None


def added(found: re.Match, before: Before) -> Clause:
    """Add the things."""
    names = list(_of(found, "thing"))
    return _clause(found, add=_texts(names), marks=tuple(n.marked("pos") for n in names))


def removed(found: re.Match, before: Before) -> Clause:
    """Remove the things."""
    names = list(_of(found, "name"))
    return _clause(found, remove=_texts(names), marks=tuple(n.marked("neg") for n in names))


def unread(found: re.Match, before: Before) -> Clause:
    """Say that the clause is no sum of names."""
    said = " ".join(found["all"].split())
    return _clause(
        found, remark=f"{said!r} cannot be read as objects to add or to remove: use chips"
    )


def _clause(found: re.Match, **more: object) -> Clause:
    return Clause(*found.span("all"), **more)


def _of(found: re.Match, group: str) -> Iterator[_Name]:
    return _names(found[group], found.start(group))


def _names(text: str, start: int) -> Iterator[_Name]:
    """Yield the names of a list, without articles, numbers and places."""
    ends = [found.span() for found in _LIST.finditer(text)]
    firsts, lasts = [0, *(end for _, end in ends)], [*(at for at, _ in ends), len(text)]
    for first, last in zip(firsts, lasts, strict=True):
        part = text[first:last]
        lead = _DETERMINERS.match(part).end()
        name = re.sub(r"'s?$", "", _PLACE.sub("", part[lead:]).strip())
        if name:
            yield _Name(name, start + first + lead, start + first + lead + len(name))


def _texts(names: Iterator[_Name] | Sequence[_Name]) -> tuple[str, ...]:
    return tuple(name.text for name in names)


def _bare(name: str) -> str:
    """Return a name without the looks in front of it: "car" for "old red car"."""
    found = _LOOKS_IN_FRONT.match(name)
    return name[found.end() :] if found else name
