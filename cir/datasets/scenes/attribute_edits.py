"""Define edits of one object or one of its attributes, and their sentences."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from cir.core.english import article, plural
from cir.datasets.scenes.names import colour_of, kind_of

Kind = Literal["recolour", "exchange", "add", "remove"]


@dataclass(frozen=True)
class AttributeEdit:
    """An edit of a set of names: it removes `old` and adds `new`; either may be None.

    If both are names, they share the kind of object (the edit recolours) or the colour (the edit
    exchanges the object).
    """

    old: str | None
    new: str | None

    @property
    def kind(self) -> Kind:
        """The kind of edit."""
        if self.old is None:
            return "add"
        if self.new is None:
            return "remove"
        return "recolour" if kind_of(self.old) == kind_of(self.new) else "exchange"

    def done_to(self, names: Sequence[str]) -> tuple[str, ...]:
        """Apply the edit to `names`; the order of the result has no meaning."""
        kept = [name for name in names if name != self.old]
        return tuple(kept if self.new is None else [*kept, self.new])


def edit_between(names: AbstractSet[str], others: AbstractSet[str]) -> AttributeEdit | None:
    """Find the edit that turns `names` into `others`, or None if one edit is not enough."""
    gone, come = sorted(names - others), sorted(others - names)
    if len(gone) > 1 or len(come) > 1 or not (gone or come):
        return None
    edit = AttributeEdit(gone[0] if gone else None, come[0] if come else None)
    if gone and come and kind_of(gone[0]) != kind_of(come[0]):
        return edit if colour_of(gone[0]) == colour_of(come[0]) else None
    return edit


# {old} is a name, and {a new} is a name with its article. {colour} and {a kind} are the new name's
# colour, and its kind with its article.
WORDINGS: Mapping[Kind, tuple[str, ...]] = {
    "recolour": (
        "make the {old} {colour}",
        "paint the {old} {colour}",
        "turn the {old} {colour}",
        "change the colour of the {old} to {colour}",
        "give the {old} the colour {colour}",
        "the {old} should be {colour}",
        "I want the {old} to be {colour}",
        "the same with the {old} in {colour}",
    ),
    "exchange": (
        "turn the {old} into {a kind}",
        "make the {old} {a kind}",
        "change the {old} into {a kind} of the same colour",
        "replace the {old} with {a new}",
        "swap the {old} for {a new}",
        "the {old} should be {a kind}",
        "{a new} instead of the {old}",
        "I want {a new} in place of the {old}",
    ),
    "add": (
        "add {a new}",
        "put {a new} into the picture",
        "draw {a new} beside the rest",
        "there should be {a new} as well",
        "I want {a new} too",
        "add {a new} to the scene",
        "the same and {a new}",
        "with {a new} added",
    ),
    "remove": (
        "remove the {old}",
        "take the {old} away",
        "delete the {old} from the picture",
        "leave out the {old}",
        "get rid of the {old}",
        "there should be no {old}",
        "I want no {old}",
        "the same without the {old}",
    ),
}

# For test sentences: they use the words of the wordings above in another order.
HELD_OUT_WORDINGS: Mapping[Kind, tuple[str, ...]] = {
    "recolour": (
        "the colour of the {old} should be {colour}",
        "change the {old} to {colour}",
        "I want the {old} in {colour}",
        "turn the colour of the {old} to {colour}",
    ),
    "exchange": (
        "change the {old} into {a new}",
        "{a new} in place of the {old}",
        "replace the {old} with {a kind} of the same colour",
        "I want {a new} instead of the {old}",
    ),
    "add": (
        "put {a new} beside the rest",
        "the same with {a new} added",
        "add {a new} to the picture",
        "{a new} should be there too",
    ),
    "remove": (
        "take away the {old}",
        "remove the {old} from the picture",
        "I want the same without the {old}",
        "leave the {old} out",
    ),
}


def said(edit: AttributeEdit, wording: str) -> str:
    """Fill a wording, for example to "make the red mug blue"."""
    words = {"old": edit.old}
    if edit.new is not None:
        words["a new"] = _with_article(edit.new)
        words["a kind"] = _with_article(kind_of(edit.new))
        words["colour"] = colour_of(edit.new)
    return wording.format_map(words)


def _with_article(name: str) -> str:
    """Put an article before a name ("a red mug"), but not before a plural ("red scissors")."""
    many = name.endswith("s") and plural(name) == name
    return name if many else f"{article(name)} {name}"
