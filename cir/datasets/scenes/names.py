"""Make the names of coloured objects ("teal umbrella"), and hold out some from training."""

from collections import Counter
from collections.abc import Sequence

from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets.scenes.colours import COLOURS
from cir.datasets.scenes.objects import OBJECTS


def all_names() -> list[str]:
    """List all names that can be drawn: each object in each colour."""
    return [f"{colour} {kind}" for kind in OBJECTS for colour in COLOURS]


def colour_of(name: str) -> str:
    """Return the colour of a name, its first word."""
    return name.partition(" ")[0]


def kind_of(name: str) -> str:
    """Return the kind of object of a name, without its colour."""
    return name.partition(" ")[2]


def split_names(
    names: Sequence[str], novel_share: float, rng: Generator
) -> tuple[list[str], list[str]]:
    """Hold out a share of the names; return (known, novel), each in the order of `names`.

    Novel names are spread evenly over objects and colours, so that a network knows both parts of
    each novel name. Raises UserError if an object or a colour would be left without a known name.
    """
    if not 0 <= novel_share < 1:
        raise UserError(f"the share of novel names must lie in [0, 1), got {novel_share}")
    held: set[str] = set()
    colours_held: Counter[str] = Counter()
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    order = [kinds[i] for i in rng.permutation(len(kinds))]
    for turn in range(round(novel_share * len(names))):
        kind = order[turn % len(order)]
        free = [name for name in names if kind_of(name) == kind and name not in held]
        rarest = min((colours_held[colour_of(name)] for name in free), default=0)
        free = [name for name in free if colours_held[colour_of(name)] == rarest]
        if free:
            chosen = free[int(rng.integers(len(free)))]
            held.add(chosen)
            colours_held[colour_of(chosen)] += 1
    known = [name for name in names if name not in held]
    novel = [name for name in names if name in held]
    for part in (kind_of, colour_of):
        lost = {part(name) for name in names} - {part(name) for name in known}
        if lost:
            raise UserError(
                f"a share of {novel_share} novel names leaves no known name with "
                f"{', '.join(sorted(lost))}; hold out fewer"
            )
    return known, novel
