"""Compose triplets from images with known sets of objects.

The reference and the target of a triplet share some objects. The edit adds the objects that only
the target shows and removes those that only the reference shows. The sentence is a filled template.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cir.core.records import Triplet
from cir.datasets.params import PairRules
from cir.edits.reading import templates
from cir.edits.reading.templates import Template

_BLOCK = 512  # number of targets that are compared with all sets at once


def compose(
    shown: Mapping[str, frozenset[str]],
    sentences: Sequence[Template],
    rules: PairRules,
    known: frozenset[str] | None,
    seed: int,
) -> list[Triplet]:
    """Compose the triplets of a gallery, in the order of its images.

    `shown` maps each image of the gallery to its names. A target is an image with a unique set.
    Its references are drawn so that all kinds of edit (numbers of additions and removals) that
    `sentences` can express are about equally frequent. The set of a near miss differs from the
    target's by one object: missing, added or exchanged. With `known`, a triplet is `novel` if its
    edit contains a name outside `known`.
    """
    rng = np.random.default_rng(seed)
    says = defaultdict(list)
    for template in sentences:
        says[template.additions, template.removals].append(template)
    sets = _Sets(shown)
    triplets = []
    for target, added, removed in sets.around_unique():
        near = _near_misses(added, removed, rules.near_misses, rng)
        choices = _choices(sets.sizes[target] - added, added, removed, rules, says)
        for number, (kind, other) in enumerate(_evenly(choices, rules.per_target, rng)):
            want, have = sets.distinct[target], sets.distinct[other]
            add = rng.permutation(sorted(want - have)).tolist()
            remove = rng.permutation(sorted(have - want)).tolist()
            template = says[kind][rng.integers(len(says[kind]))]
            triplets.append(
                Triplet(
                    id=f"{sets.holders[target][0]}:{number}",
                    reference=sets.holder(other, rng),
                    text=templates.fill(template, add, remove).text,
                    target=sets.holders[target][0],
                    add=tuple(add),
                    remove=tuple(remove),
                    near_misses=tuple(sets.holder(miss, rng) for miss in near if miss != other),
                    novel=known is not None and not known.issuperset(add + remove),
                )
            )
    return triplets


class _Sets:
    """The distinct sets of a gallery, and the images that show each set."""

    def __init__(self, shown: Mapping[str, frozenset[str]]) -> None:
        by_set = defaultdict(list)
        for image, names in shown.items():
            by_set[names].append(image)
        self.distinct = list(by_set)
        self.holders = list(by_set.values())
        self.sizes = np.array([len(names) for names in self.distinct], dtype=int)
        column = {name: i for i, name in enumerate(sorted(frozenset().union(*self.distinct)))}
        self._member = np.zeros((len(self.distinct), len(column)), dtype=np.float32)
        for row, names in enumerate(self.distinct):
            self._member[row, [column[name] for name in names]] = 1

    def holder(self, row: int, rng: np.random.Generator) -> str:
        return self.holders[row][rng.integers(len(self.holders[row]))]

    def around_unique(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Compare each set that only one image shows with all distinct sets.

        Yields its row, and how many names it has in addition to each distinct set, and how many it
        lacks (two integer arrays [number of distinct sets]).
        """
        unique = [row for row, images in enumerate(self.holders) if len(images) == 1]
        for start in range(0, len(unique), _BLOCK):
            block = unique[start : start + _BLOCK]
            shared = (self._member[block] @ self._member.T).astype(int)
            for row, common in zip(block, shared, strict=True):
                yield row, self.sizes[row] - common, self.sizes - common


def _choices(
    common: np.ndarray,
    added: np.ndarray,
    removed: np.ndarray,
    rules: PairRules,
    says: Mapping[tuple[int, int], list[Template]],
) -> dict[tuple[int, int], list[int]]:
    """Find the sets that may be references of a target, by kind of edit."""
    edited = added + removed
    allowed = (edited > 0) & (edited <= rules.max_edit) & (common >= rules.min_shared)
    found = defaultdict(list)
    for row in np.flatnonzero(allowed).tolist():
        kind = (int(added[row]), int(removed[row]))
        if kind in says:
            found[kind].append(row)
    return found


def _evenly(
    choices: Mapping[tuple[int, int], list[int]], most: int, rng: np.random.Generator
) -> list[tuple[tuple[int, int], int]]:
    """Draw up to `most` different choices; each round takes the kinds in a new random order."""
    waiting = {kind: rng.permutation(rows).tolist() for kind, rows in sorted(choices.items())}
    kinds = list(waiting)
    drawn = []
    while len(drawn) < most and any(waiting.values()):
        for place in rng.permutation(len(kinds)):
            if waiting[kinds[place]] and len(drawn) < most:
                drawn.append((kinds[place], waiting[kinds[place]].pop()))
    return drawn


def _near_misses(
    added: np.ndarray, removed: np.ndarray, most: int, rng: np.random.Generator
) -> list[int]:
    """Find sets with one name more or less than the target's, then sets with one exchanged."""
    one_off = np.flatnonzero(added + removed == 1)
    exchanged = np.flatnonzero((added == 1) & (removed == 1))
    return [*rng.permutation(one_off).tolist(), *rng.permutation(exchanged).tolist()][:most]
