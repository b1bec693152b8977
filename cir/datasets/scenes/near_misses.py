"""Images that answer an edit almost: one part of it left undone, or done wrongly."""

from collections.abc import Sequence

from numpy.random import Generator

from cir.datasets.scenes.names import kind_of


def near_misses(
    reference: Sequence[str],
    add: Sequence[str],
    remove: Sequence[str],
    names: Sequence[str],
    rng: Generator,
) -> list[tuple[str, ...]]:
    """The sets of objects that a careless reader of the edit would be content with.

    - additions and removals: only the additions done; only the removals done;
    - additions: a wrong object in place of one of them; that object in a wrong colour;
    - removals: another object of the reference removed in place of one of them;
    - two or more additions (removals): one of them left undone;
    - removals alone: done, and something added that nobody asked for.

    Wrong objects come from `names` and are neither in the reference nor asked for. No set equals
    the target's, the reference's, or another in the list.
    """
    kept = [name for name in reference if name not in remove]
    target = [*kept, *add]
    strangers = [name for name in names if name not in reference and name not in add]
    found: list[list[str]] = []
    if add and remove:
        found += [[*reference, *add], kept]
    if add:
        wanted = _pick(add, rng)
        other_kinds = [name for name in strangers if kind_of(name) != kind_of(wanted)]
        other_colours = [name for name in strangers if kind_of(name) == kind_of(wanted)]
        found += [
            _swapped(target, wanted, _pick(pool, rng))
            for pool in (other_kinds, other_colours)
            if pool
        ]
    if remove:
        found.append(_swapped(target, _pick(kept, rng), _pick(remove, rng)))
    if len(add) > 1:
        undone = _pick(add, rng)
        found.append([name for name in target if name != undone])
    if len(remove) > 1:
        found.append([*target, _pick(remove, rng)])
    if not add:
        found.append([*target, _pick(strangers, rng)])
    return [tuple(names) for names in found]


def _pick(names: Sequence[str], rng: Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _swapped(names: Sequence[str], old: str, new: str) -> list[str]:
    return [new if name == old else name for name in names]
