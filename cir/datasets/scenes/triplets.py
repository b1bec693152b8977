"""Sample queries about scenes as sets of names; this module draws no images."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets.scenes.draw import MOST_OBJECTS
from cir.datasets.scenes.names import kind_of
from cir.edits.reading.templates import Template, fill

# Kinds of edit as (additions, removals), and the allowed numbers of objects that stay. References
# and targets show 2 to 4 objects, also when only the additions are done. Three additions or three
# removals do not fit.
KINDS: dict[tuple[int, int], tuple[int, ...]] = {
    (1, 0): (2, 3),
    (0, 1): (2, 3),
    (1, 1): (1, 2),
    (2, 0): (2,),
    (0, 2): (2,),
    (2, 1): (1,),
    (1, 2): (1,),
}

_PATIENCE = 2000  # refusals in a row before the names count as too few


@dataclass(frozen=True)
class SceneTriplet:
    """A query as the sets of names of its reference, its target and its near misses.

    `add` and `remove` are in the order of the sentence. `novel` says that the edit has a name that
    training never shows.
    """

    reference_names: tuple[str, ...]
    target_names: tuple[str, ...]
    add: tuple[str, ...]
    remove: tuple[str, ...]
    text: str
    near_misses: tuple[tuple[str, ...], ...] = ()
    novel: bool = False

    def images(self) -> list[tuple[str, ...]]:
        """The names in the reference, in the target, then in each near miss."""
        return [self.reference_names, self.target_names, *self.near_misses]


def query_sets(triplets: Iterable[SceneTriplet]) -> set[frozenset[str]]:
    """Collect the sets of names in the references and targets of queries."""
    return {frozenset(names) for triplet in triplets for names in triplet.images()[:2]}


def sample_triplets(
    count: int,
    names: Sequence[str],
    rng: Generator,
    templates: Sequence[Template],
    avoid: AbstractSet[frozenset[str]] = frozenset(),
    near_misses_each: int = 0,
) -> list[SceneTriplet]:
    """Sample training queries with names from `names`; the kinds of edit take turns.

    No image, including near misses, shows a set of names in `avoid` (the `query_sets` of the test
    queries). A query has at most `near_misses_each` near misses. Raises UserError if the templates
    lack a kind of edit or if there are too few names.
    """
    check_enough(names)
    sentences = templates_by_kind(templates)

    def propose(number: int) -> SceneTriplet:
        return sample_one(number, names, (), near_misses_each, sentences, rng)

    def acceptable(triplet: SceneTriplet) -> bool:
        return not any(frozenset(shown) in avoid for shown in triplet.images())

    return collect(count, propose, acceptable)


def check_enough(names: Sequence[str]) -> None:
    if len(names) <= MOST_OBJECTS:
        raise UserError(
            f"queries about scenes need more than {MOST_OBJECTS} names, for a wrong object beside "
            f"a full scene; got {len(names)}"
        )


def templates_by_kind(templates: Sequence[Template]) -> dict[tuple[int, int], list[Template]]:
    sentences: dict[tuple[int, int], list[Template]] = {kind: [] for kind in KINDS}
    for template in templates:
        kind = (template.additions, template.removals)
        if kind in sentences:
            sentences[kind].append(template)
    for (additions, removals), found in sentences.items():
        if not found:
            raise UserError(
                f"none of {len(templates)} templates has {additions} additions and {removals} "
                "removals; edits of scenes need every kind of up to two of each, three in all"
            )
    return sentences


def sample_one(
    number: int,
    known: Sequence[str],
    novel: Sequence[str],
    most_near_misses: int | None,
    sentences: dict[tuple[int, int], list[Template]],
    rng: Generator,
) -> SceneTriplet:
    """Sample one query; if `novel` has names, the edit contains one of them."""
    kind, room = list(KINDS.items())[number % len(KINDS)]
    kept = room[int(rng.integers(len(room)))]
    edited = sum(kind)
    chosen = [known[i] for i in rng.choice(len(known), edited + kept, replace=False)]
    if novel:
        chosen[int(rng.integers(edited))] = novel[int(rng.integers(len(novel)))]
    add, remove, left = chosen[: kind[0]], chosen[kind[0] : edited], chosen[edited:]
    reference, target = [*remove, *left], [*left, *add]
    template = sentences[kind][int(rng.integers(len(sentences[kind])))]
    nearly: list[tuple[str, ...]] = []
    if most_near_misses != 0:
        nearly = near_misses(reference, add, remove, [*known, *novel], rng)
        if most_near_misses is not None:
            nearly = [nearly[i] for i in rng.permutation(len(nearly))[:most_near_misses]]
    return SceneTriplet(
        tuple(reference),
        tuple(target),
        tuple(add),
        tuple(remove),
        fill(template, add, remove).text,
        tuple(nearly),
        bool(novel),
    )


def collect(
    count: int,
    propose: Callable[[int], SceneTriplet],
    acceptable: Callable[[SceneTriplet], bool],
) -> list[SceneTriplet]:
    """Propose queries 0, 1, ... and keep the acceptable ones until there are `count`."""
    triplets: list[SceneTriplet] = []
    refused = 0
    while len(triplets) < count:
        proposal = propose(len(triplets))
        if acceptable(proposal):
            triplets.append(proposal)
            refused = 0
        else:
            refused += 1
        if refused == _PATIENCE:
            raise UserError(
                f"found only {len(triplets)} of {count} queries whose sets of names are free; "
                "ask for fewer queries or give more names"
            )
    return triplets


def near_misses(
    reference: Sequence[str],
    add: Sequence[str],
    remove: Sequence[str],
    names: Sequence[str],
    rng: Generator,
) -> list[tuple[str, ...]]:
    """Make sets of objects that satisfy an edit almost, but not quite.

    - additions and removals: only the additions are done; only the removals are done;
    - additions: a wrong object replaces one of them; one of them has a wrong colour;
    - removals: another object of the reference is removed instead of one of them;
    - two or more additions (removals): one of them is not done;
    - only removals: they are done, and an object is added that the edit does not ask for.

    Wrong objects come from `names`; they are neither in the reference nor in the edit. The sets
    differ from the target, from the reference and from each other.
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
