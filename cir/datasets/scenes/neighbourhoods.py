"""Sample sets of names that differ by one edit, so that each is a near miss of the others."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets.scenes.attribute_edits import AttributeEdit
from cir.datasets.scenes.draw import MOST_OBJECTS
from cir.datasets.scenes.names import colour_of, kind_of

SIZE = 5  # number of sets in a neighbourhood
_FEWEST_OBJECTS, _FEWEST_VALUES = 2, 3
_PATIENCE = 2000  # refusals in a row before the sets count as used up


@dataclass(frozen=True)
class Neighbourhood:
    """A set of 2 to 4 names, and four edits of it.

    The first three edits are of one kind: the intended edit, the edit with a wrong value, and the
    edit of a wrong object. (Additions: the intended object, the object in a wrong colour, a wrong
    object in the intended colour. Removals: three different objects.) The fourth edit is of another
    kind and changes the object of the first.
    """

    reference: tuple[str, ...]
    edits: tuple[AttributeEdit, ...]

    def sets(self) -> list[tuple[str, ...]]:
        """The reference, then the result of each edit."""
        return [self.reference, *(edit.done_to(self.reference) for edit in self.edits)]


@dataclass(frozen=True)
class _Values:
    """The kinds and colours of objects to choose from, in all combinations."""

    kinds: Sequence[str]
    colours: Sequence[str]
    rng: Generator

    def pick(self, values: Sequence[str], count: int) -> list[str]:
        places = self.rng.choice(len(values), count, replace=False).tolist()
        return [values[place] for place in places]

    def recoloured(self, name: str, count: int) -> list[str]:
        others = [colour for colour in self.colours if colour != colour_of(name)]
        return [f"{colour} {kind_of(name)}" for colour in self.pick(others, count)]

    def exchanged(self, name: str, count: int) -> list[str]:
        others = [kind for kind in self.kinds if kind != kind_of(name)]
        return [f"{colour_of(name)} {kind}" for kind in self.pick(others, count)]

    def changed(self, name: str) -> str:
        """Change the colour or the kind of a name, with equal probability."""
        change = self.recoloured if self.rng.integers(2) else self.exchanged
        return change(name, 1)[0]


def _recolour(reference: Sequence[str], values: _Values) -> list[AttributeEdit]:
    return _change(reference, values, values.recoloured)


def _exchange(reference: Sequence[str], values: _Values) -> list[AttributeEdit]:
    return _change(reference, values, values.exchanged)


def _change(
    reference: Sequence[str], values: _Values, changed: Callable[[str, int], list[str]]
) -> list[AttributeEdit]:
    old, other = values.pick(reference, 2)
    new, wrong = changed(old, 2)
    astray = _likewise(AttributeEdit(old, new), other)
    edits = [AttributeEdit(old, new), AttributeEdit(old, wrong), AttributeEdit(other, astray)]
    return [*edits, _half(reference, edits[0], values)]


def _likewise(edit: AttributeEdit, other: str) -> str:
    """Give another object the new colour or the new kind of an edit."""
    if edit.kind == "recolour":
        return f"{colour_of(edit.new)} {kind_of(other)}"
    return f"{colour_of(other)} {kind_of(edit.new)}"


def _half(reference: Sequence[str], edit: AttributeEdit, values: _Values) -> AttributeEdit:
    """Do half of an edit: only remove or only add, as the number of objects allows."""
    may_remove, may_add = len(reference) > _FEWEST_OBJECTS, len(reference) < MOST_OBJECTS
    if may_remove and (not may_add or values.rng.integers(2)):
        return AttributeEdit(edit.old, None)
    return AttributeEdit(None, edit.new)


def _add(reference: Sequence[str], values: _Values) -> list[AttributeEdit]:
    (beside,) = values.pick(reference, 1)
    new = values.changed(beside)
    wrong = [*values.recoloured(new, 1), *values.exchanged(new, 1)]
    added = [AttributeEdit(None, name) for name in (new, *wrong)]
    return [*added, AttributeEdit(beside, new)]


def _remove(reference: Sequence[str], values: _Values) -> list[AttributeEdit]:
    chosen = values.pick(reference, 3)
    removed = [AttributeEdit(name, None) for name in chosen]
    return [*removed, AttributeEdit(chosen[0], values.changed(chosen[0]))]


_Draw = Callable[[Sequence[str], _Values], list[AttributeEdit]]

# How each kind of edit is drawn, and the allowed numbers of objects in its reference.
_DRAWS: tuple[tuple[_Draw, tuple[int, ...]], ...] = (
    (_recolour, (2, 3, 4)),
    (_exchange, (2, 3, 4)),
    (_add, (2, 3)),
    (_remove, (3, 4)),
)


def sample_neighbourhoods(
    count: int,
    kinds: Sequence[str],
    colours: Sequence[str],
    rng: Generator,
    avoid: AbstractSet[frozenset[str]] = frozenset(),
) -> list[Neighbourhood]:
    """Sample neighbourhoods; the kinds of edit take turns, and no set of names is repeated.

    No set is in `avoid`. Raises UserError for too few kinds or colours.
    """
    if min(len(kinds), len(colours)) < _FEWEST_VALUES:
        raise UserError(
            f"edits of attributes need at least {_FEWEST_VALUES} kinds of objects and as many "
            f"colours, for a right and a wrong one beside the old; got {len(kinds)} and "
            f"{len(colours)}"
        )
    values = _Values(kinds, colours, rng)
    found: list[Neighbourhood] = []
    used, refused = set(avoid), 0
    while len(found) < count:
        proposal = _propose(*_DRAWS[len(found) % len(_DRAWS)], values)
        sets = {frozenset(names) for names in proposal.sets()}
        if _sound(proposal) and used.isdisjoint(sets):
            found.append(proposal)
            used |= sets
            refused = 0
        else:
            refused += 1
        if refused == _PATIENCE:
            raise UserError(
                f"found only {len(found) * SIZE} of {count * SIZE} different sets of names among "
                f"{len(kinds)} kinds of objects in {len(colours)} colours; ask for fewer images"
            )
    return found


def _propose(draw: _Draw, sizes: tuple[int, ...], values: _Values) -> Neighbourhood:
    size = sizes[values.rng.integers(len(sizes))]
    places = values.rng.choice(len(values.kinds) * len(values.colours), size, replace=False)
    among = len(values.colours)
    reference = [f"{values.colours[p % among]} {values.kinds[p // among]}" for p in places.tolist()]
    return Neighbourhood(tuple(reference), tuple(draw(reference, values)))


def _sound(proposal: Neighbourhood) -> bool:
    """Return whether no edit adds a name that the reference shows, and all sets differ."""
    fresh = all(edit.new not in proposal.reference for edit in proposal.edits)
    return fresh and len({frozenset(names) for names in proposal.sets()}) == SIZE
