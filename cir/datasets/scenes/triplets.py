"""Queries about scenes, as sets of names: nothing is drawn here."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets.scenes.draw import MOST_OBJECTS
from cir.datasets.scenes.names import kind_of
from cir.edits.reading.templates import Template, fill

# Kinds of edit, (additions, removals), and how many objects of the reference such an edit may
# leave alone: references and targets show 2 to 4 objects, and there is room to do the additions
# without the removals. Edits of three additions or three removals do not fit.
KINDS: dict[tuple[int, int], tuple[int, ...]] = {
    (1, 0): (2, 3),
    (0, 1): (2, 3),
    (1, 1): (1, 2),
    (2, 0): (2,),
    (0, 2): (2,),
    (2, 1): (1,),
    (1, 2): (1,),
}

_PATIENCE = 2000  # refusals in a row before the names are declared too few


@dataclass(frozen=True)
class SceneTriplet:
    """A query as sets of names: what its reference, its target and its near misses show.

    `add` and `remove` are in the order of the sentence. `novel` says that the edit has a name
    that is never seen in training.
    """

    reference_names: tuple[str, ...]
    target_names: tuple[str, ...]
    add: tuple[str, ...]
    remove: tuple[str, ...]
    text: str
    near_misses: tuple[tuple[str, ...], ...] = ()
    novel: bool = False

    def images(self) -> list[tuple[str, ...]]:
        """What each of its images shows: the reference, the target, then the near misses."""
        return [self.reference_names, self.target_names, *self.near_misses]


def query_sets(triplets: Iterable[SceneTriplet]) -> set[frozenset[str]]:
    """The sets of names in the references and targets of some queries."""
    return {frozenset(names) for triplet in triplets for names in triplet.images()[:2]}


def sample_triplets(
    count: int,
    names: Sequence[str],
    rng: Generator,
    templates: Sequence[Template],
    avoid: AbstractSet[frozenset[str]] = frozenset(),
    near_misses_each: int = 0,
) -> list[SceneTriplet]:
    """Sample queries to train on, the kinds of edit in turn, all names of `names`.

    No image, near misses included, shows a set of names in `avoid` (`query_sets` of the queries
    to test on). A query carries up to `near_misses_each` of its near misses. Raises UserError
    when the templates lack a kind of edit, or the names do not suffice.
    """
    _check_enough(names)
    sentences = _by_kind(templates)

    def propose(number: int) -> SceneTriplet:
        return _sample(number, names, (), near_misses_each, sentences, rng)

    def acceptable(triplet: SceneTriplet) -> bool:
        return not any(frozenset(shown) in avoid for shown in triplet.images())

    return _collect(count, propose, acceptable)


def sample_hard_gallery(
    count: int,
    known: Sequence[str],
    rng: Generator,
    templates: Sequence[Template],
    novel: Sequence[str] = (),
    novel_share: float = 0.0,
    avoid: AbstractSet[frozenset[str]] = frozenset(),
) -> list[SceneTriplet]:
    """Sample queries to test on, with all their near misses, so that each has one answer.

    Of all the images of all the queries, one alone shows a query's target set. The edits of a
    share `novel_share` of the queries have exactly one name of `novel`; the other queries show
    no such name in any of their images. No reference or target shows a set in `avoid`. Errors as
    for `sample_triplets`.
    """
    if novel_share > 0 and not novel:
        raise UserError(f"{novel_share} of the queries should be novel, but no name is held out")
    _check_enough(known)
    sentences = _by_kind(templates)
    is_novel = rng.permutation(count) < round(novel_share * count)
    targets: set[frozenset[str]] = set()
    others: set[frozenset[str]] = set()

    def propose(number: int) -> SceneTriplet:
        held_out = novel if is_novel[number] else ()
        return _sample(number, known, held_out, None, sentences, rng)

    def acceptable(triplet: SceneTriplet) -> bool:
        reference, target, *nearly = map(frozenset, triplet.images())
        if reference in avoid or target in avoid or target in targets or target in others:
            return False
        if not targets.isdisjoint([reference, *nearly]):
            return False
        targets.add(target)
        others.update([reference, *nearly])
        return True

    triplets = _collect(count, propose, acceptable)
    shown = Counter(frozenset(names) for triplet in triplets for names in triplet.images())
    assert all(shown[frozenset(triplet.target_names)] == 1 for triplet in triplets)
    return triplets


def _check_enough(names: Sequence[str]) -> None:
    if len(names) <= MOST_OBJECTS:
        raise UserError(
            f"queries about scenes need more than {MOST_OBJECTS} names, for a wrong object beside "
            f"a full scene; got {len(names)}"
        )


def _by_kind(templates: Sequence[Template]) -> dict[tuple[int, int], list[Template]]:
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


def _sample(
    number: int,
    known: Sequence[str],
    novel: Sequence[str],
    most_near_misses: int | None,
    sentences: dict[tuple[int, int], list[Template]],
    rng: Generator,
) -> SceneTriplet:
    """One query; with `novel` names given, one name of its edit is one of them."""
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


def _collect(
    count: int,
    propose: Callable[[int], SceneTriplet],
    acceptable: Callable[[SceneTriplet], bool],
) -> list[SceneTriplet]:
    """Keep what is acceptable of the proposals for query 0, 1, ... until there are `count`."""
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
