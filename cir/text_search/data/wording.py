"""Describe drawn scenes as people would: completely, in part, or without colours."""

from collections import Counter
from collections.abc import Sequence

from numpy.random import Generator

from cir.core.english import article, plural
from cir.datasets.scenes import kind_of

RELATIONS = ("to the left of", "to the right of", "above", "below")
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
_OPENINGS = ("", "", "", "a picture of ", "a scene with ", "you can see ")
_ALWAYS_PLURAL = {"trousers", "scissors"}


def with_article(name: str) -> str:
    """Put an article before a name: "a red mug", "an orange hat", but "blue trousers"."""
    return name if name.split()[-1] in _ALWAYS_PLURAL else f"{article(name)} {name}"


def counted(name: str, times: int) -> str:
    """Write a number of objects: "a red mug", "two red mugs"."""
    return with_article(name) if times == 1 else f"{_NUMBERS[times]} {plural(name)}"


def listed_in_words(parts: Sequence[str]) -> str:
    """Join parts of a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def related(relation: str, here: int, there: int) -> bool:
    """Return whether cell `here` has the relation to cell `there`; see cir.datasets.scenes.draw."""
    (row, column), (other_row, other_column) = divmod(here, 2), divmod(there, 2)
    return {
        "to the left of": column < other_column,
        "to the right of": column > other_column,
        "above": row < other_row,
        "below": row > other_row,
    }[relation]


def caption(cells: Sequence[str], rng: Generator) -> str:
    """Describe a scene of four cells, of which "" is an empty one, in one of many ways.

    Given two objects that come once, a quarter of the captions tell where they are. The others
    name between one and all objects, each number equally often; one in six leaves out the colours.
    """
    names = Counter(name for name in cells if name)
    single = [name for name, times in names.items() if times == 1]
    if len(single) > 1 and rng.random() < 0.25:
        return _placed(cells, single, rng)
    order = [list(names)[place] for place in rng.permutation(len(names))]
    told = order[: int(rng.integers(1, len(order) + 1))]
    if rng.random() < 1 / 6:
        kinds = Counter(kind_of(name) for name in cells if name)
        parts = [counted(kind, kinds[kind]) for kind in dict.fromkeys(map(kind_of, told))]
    else:
        parts = [counted(name, names[name]) for name in told]
    if len(parts) == 1 and rng.random() < 0.5:
        return parts[0].removeprefix("a ").removeprefix("an ")
    return _OPENINGS[int(rng.integers(len(_OPENINGS)))] + listed_in_words(parts)


def _placed(cells: Sequence[str], single: Sequence[str], rng: Generator) -> str:
    """Tell the relation between two of the objects that come once."""
    one, other = (single[place] for place in rng.permutation(len(single))[:2])
    here, there = cells.index(one), cells.index(other)
    true = [relation for relation in RELATIONS if related(relation, here, there)]
    relation = true[int(rng.integers(len(true)))]
    return f"{with_article(one)} {relation} {with_article(other)}"
