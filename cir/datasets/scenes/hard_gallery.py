"""Sample the queries of a hard gallery, which has one right answer and near misses for each."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets.scenes.triplets import (
    SceneTriplet,
    check_enough,
    collect,
    sample_one,
    templates_by_kind,
)
from cir.edits.reading.templates import Template


def sample_hard_gallery(
    count: int,
    known: Sequence[str],
    rng: Generator,
    templates: Sequence[Template],
    novel: Sequence[str] = (),
    novel_share: float = 0.0,
    avoid: AbstractSet[frozenset[str]] = frozenset(),
) -> list[SceneTriplet]:
    """Sample test queries with all their near misses, so that each query has one answer.

    Among the images of all queries, only one shows the target set of a query. The edits of the
    share `novel_share` of the queries have exactly one name of `novel`; the images of the other
    queries show no such name. No reference or target shows a set in `avoid`. Raises UserError like
    `sample_triplets`.
    """
    if novel_share > 0 and not novel:
        raise UserError(f"{novel_share} of the queries should be novel, but no name is novel")
    check_enough(known)
    sentences = templates_by_kind(templates)
    is_novel = rng.permutation(count) < round(novel_share * count)
    targets: set[frozenset[str]] = set()
    others: set[frozenset[str]] = set()

    def propose(number: int) -> SceneTriplet:
        held_out = novel if is_novel[number] else ()
        return sample_one(number, known, held_out, None, sentences, rng)

    def acceptable(triplet: SceneTriplet) -> bool:
        reference, target, *nearly = map(frozenset, triplet.images())
        if reference in avoid or target in avoid or target in targets or target in others:
            return False
        if not targets.isdisjoint([reference, *nearly]):
            return False
        targets.add(target)
        others.update([reference, *nearly])
        return True

    triplets = collect(count, propose, acceptable)
    shown = Counter(frozenset(names) for triplet in triplets for names in triplet.images())
    assert all(shown[frozenset(triplet.target_names)] == 1 for triplet in triplets)
    return triplets
