"""Draw scenes for text-to-image search: galleries with graded answers, and captions for training.

A scene has four cells (top left, top right, bottom left, bottom right), each with a name or "". The
cells determine how well a scene answers a query, so every image of the gallery has a grade.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.random import Generator

from cir.core.errors import UserError
from cir.datasets import scenes
from cir.datasets.scenes import colour_of, kind_of
from cir.text_search.data.graded_requests import (
    Cells,
    Count,
    OneObject,
    Pair,
    PairOfKinds,
    Place,
    Request,
    shown,
)
from cir.text_search.data.params import DrawnScenes
from cir.text_search.data.queries import TextQuery, TextSplit
from cir.text_search.data.wording import RELATIONS, caption

_TRIES = 2000
_CELLS = 4


def load(
    params: DrawnScenes, names: Sequence[str], seen: Set[frozenset[str]], seed: int
) -> dict[str, TextSplit]:
    """Sample scenes and queries now; the pictures are drawn when the rows are read.

    Training shows no pair of coloured objects and no counted number of an object for which a query
    of val or test asks, and no scene of val or test. Single objects and pairs without colours do
    occur in training, in other scenes. `seen` holds the pairs of names that the encoder's training
    has shown together; no query asks for one of them.

    Raises UserError if there are too few names or images.
    """
    draws = [np.random.default_rng([seed, number]) for number in range(4)]
    test = sample_gallery(
        "test", params.test_queries_each, params.test_images, names, draws[0], seen
    )
    val = sample_gallery("val", params.val_queries_each, params.val_images, names, draws[1], seen)
    held = test.held | val.held
    train = sample_scenes("train", params.train_images, names, draws[2], held)
    described = dict(islice(train.items(), params.described))

    def split(scenes_: Mapping[str, Cells], captions, queries=()) -> TextSplit:
        drawn = scenes.draw_many(
            scenes_, params.image_size, seed, params.processes(), scenes.draw_cells
        )
        rows = ((name, encoded, shown(cells)) for name, encoded, cells in drawn)
        return TextSplit(len(scenes_), rows, captions, queries, {"source": "scenes"})

    def captions(scenes_: Mapping[str, Cells], each: int) -> list[tuple[str, str]]:
        return [(n, caption(cells, draws[3])) for n, cells in scenes_.items() for _ in range(each)]

    return {
        "train": split(train, captions(described, params.captions_each)),
        "val": split(val.scenes, captions(val.scenes, 1), val.queries),
        "test": split(test.scenes, [], test.queries),
    }


@dataclass(frozen=True)
class Gallery:
    """Scenes by image id, the queries, and what training may not show."""

    scenes: Mapping[str, Cells]
    queries: tuple[TextQuery, ...]
    held: "HeldOut"


@dataclass(frozen=True)
class HeldOut:
    """What no training scene may show: pairs of names, numbers of a name, and whole scenes."""

    pairs: Set[frozenset[str]] = frozenset()
    counts: Set[tuple[str, int]] = frozenset()
    scenes: Set[tuple[str, ...]] = frozenset()

    def __or__(self, other: "HeldOut") -> "HeldOut":
        return HeldOut(
            self.pairs | other.pairs, self.counts | other.counts, self.scenes | other.scenes
        )

    def allows(self, cells: Cells) -> bool:
        """Return whether the scene shows nothing that is held out."""
        names = sorted(shown(cells))
        return (
            tuple(names) not in self.scenes
            and not self.pairs & {frozenset(pair) for pair in combinations(set(names), 2)}
            and not self.counts & {(name, names.count(name)) for name in names}
        )


class Sampler:
    """Draws names and scenes at random.

    Args:
        names: the names to draw from.
        rng: the random generator.
    """

    def __init__(self, names: Sequence[str], rng: Generator):
        self.names, self.rng = list(names), rng

    def name(self, *, kind: str | None = None, unlike: Sequence[str] = ()) -> str:
        """Draw a name that is not in `unlike`, of the kind `kind` unless None."""
        able = [n for n in self.names if n not in unlike and kind in (None, kind_of(n))]
        if not able:
            raise UserError(f"too few names to draw from: none but {', '.join(unlike)}")
        return able[int(self.rng.integers(len(able)))]

    def pair(self, seen: Set[frozenset[str]]) -> tuple[str, str]:
        """Draw two names of different kinds and colours that no training image shows together.

        Both kinds exist in both colours, so that the colours can be exchanged.
        """
        for _ in range(_TRIES):
            one, other = self.name(), self.name()
            swapped = {
                f"{colour_of(one)} {kind_of(other)}",
                f"{colour_of(other)} {kind_of(one)}",
            }
            differ = kind_of(one) != kind_of(other) and colour_of(one) != colour_of(other)
            if differ and frozenset((one, other)) not in seen and swapped <= set(self.names):
                return one, other
        raise UserError("training shows nearly every pair of names: draw fewer training images")

    def scene(self, *names: str, extra: int = 2) -> Cells:
        """Put the names into random cells, and up to `extra` other names into free ones."""
        return self.placed(dict(zip(self._cells(len(names)), names, strict=True)), extra)

    def placed(self, cells: Mapping[int, str], extra: int = 2) -> Cells:
        """Put the names into their cells, and up to `extra` other names into free ones."""
        filled = dict(cells)
        free = [cell for cell in self._cells(_CELLS) if cell not in filled]
        for cell in free[: int(self.rng.integers(extra + 1))]:
            filled[cell] = self.name(unlike=list(filled.values()))
        return tuple(filled.get(cell, "") for cell in range(_CELLS))

    def any_scene(self) -> Cells:
        """Draw one to four objects; in 3 of 10 scenes, one of them comes two or three times."""
        first = self.name()
        times = int(self.rng.integers(2, 4)) if self.rng.random() < 0.3 else 1
        return self.scene(*[first] * times, extra=_CELLS - times)

    def _cells(self, count: int) -> list[int]:
        return self.rng.permutation(_CELLS)[:count].tolist()


def one_object(sampler: Sampler, seen: Set[frozenset[str]]) -> tuple[Request, list[Cells]]:
    """Ask for a coloured object: two scenes show it, a third has another colour."""
    name = sampler.name()
    recoloured = sampler.name(kind=kind_of(name), unlike=[name])
    return OneObject(name), [sampler.scene(shows) for shows in (name, name, recoloured)]


def pair(sampler: Sampler, seen: Set[frozenset[str]]) -> tuple[Request, list[Cells]]:
    """Ask for two coloured objects: two scenes show them, a third exchanges the colours, and a
    fourth shows one of them in another colour.
    """
    one, other = sampler.pair(seen)
    swapped = f"{colour_of(other)} {kind_of(one)}", f"{colour_of(one)} {kind_of(other)}"
    recoloured = sampler.name(kind=kind_of(one), unlike=[one, swapped[0]])
    scenes = [(one, other), (one, other), swapped, (recoloured, other)]
    return Pair(one, other), [sampler.scene(*names) for names in scenes]


def pair_of_kinds(sampler: Sampler, seen: Set[frozenset[str]]) -> tuple[Request, list[Cells]]:
    """Ask for two objects of any colour: two scenes show both, two more show only one of them."""
    one, other = sampler.pair(seen)
    third = sampler.name(unlike=[one, other])
    recoloured = tuple(sampler.name(kind=kind_of(name), unlike=[name]) for name in (one, other))
    scenes = [(one, other), recoloured, (one, third), (third, other)]
    return PairOfKinds(kind_of(one), kind_of(other)), [sampler.scene(*names) for names in scenes]


def count(sampler: Sampler, seen: Set[frozenset[str]]) -> tuple[Request, list[Cells]]:
    """Ask for two or three of an object: two scenes show so many, two more show another number."""
    name, times = sampler.name(), int(sampler.rng.integers(2, 4))
    numbers = (times, times, 1, 5 - times)
    return Count(name, times), [sampler.scene(*[name] * number, extra=1) for number in numbers]


def place(sampler: Sampler, seen: Set[frozenset[str]]) -> tuple[Request, list[Cells]]:
    """Ask for an object beside, above or below another: two scenes show this, two others do not."""
    one, other = sampler.pair(seen)
    relation = RELATIONS[int(sampler.rng.integers(len(RELATIONS)))]
    request = Place(one, relation, other)
    found: dict[bool, list[Cells]] = {True: [], False: []}
    while min(map(len, found.values())) < 2:
        cells = sampler.scene(one, other, extra=1)
        holds = request.holds(cells)
        if len(found[holds]) < 2:
            found[holds].append(cells)
    return request, found[True] + found[False]


KINDS: Sequence[Callable[..., tuple[Request, list[Cells]]]] = (
    one_object,
    pair,
    pair_of_kinds,
    count,
    place,
)


def sample_gallery(
    prefix: str,
    queries_each: int,
    images: int,
    names: Sequence[str],
    rng: Generator,
    seen: Set[frozenset[str]],
) -> Gallery:
    """Sample a gallery of `images` scenes with answers and near misses of all queries.

    There are `queries_each` queries of every kind, none for a pair of names in `seen`. Raises
    UserError if the queries need more images.
    """
    sampler = Sampler(names, rng)
    asked, scenes = [], []
    for draw in KINDS:
        for _ in range(queries_each):
            request, its_scenes = draw(sampler, seen)
            asked.append(request)
            scenes.extend(its_scenes)
    if len(scenes) > images:
        raise UserError(f"the queries need {len(scenes)} images of the gallery's {images}")
    scenes.extend(sampler.any_scene() for _ in range(images - len(scenes)))
    order = rng.permutation(images)
    named = {f"{prefix}-{n:05d}": scenes[place] for n, place in enumerate(order.tolist())}
    queries = tuple(
        TextQuery(
            f"{prefix}-query-{n:04d}",
            request.text(rng),
            request.kind,
            _grades(request, named),
            tuple(name for name, cells in named.items() if request.nearly(cells)),
        )
        for n, request in enumerate(asked)
    )
    return Gallery(named, queries, _held_out(asked, scenes))


def sample_scenes(
    prefix: str, images: int, names: Sequence[str], rng: Generator, held: HeldOut
) -> dict[str, Cells]:
    """Sample scenes by image id; none shows what is held out.

    Raises UserError if too few scenes are allowed.
    """
    sampler = Sampler(names, rng)
    scenes: dict[str, Cells] = {}
    tries = 0
    while len(scenes) < images:
        cells = sampler.any_scene()
        tries += 1
        if held.allows(cells):
            scenes[f"{prefix}-{len(scenes):05d}"] = cells
        elif tries > 100 * images:
            raise UserError(f"what is held out leaves too few scenes: {len(scenes)} of {images}")
    return scenes


def _grades(request: Request, scenes: Mapping[str, Cells]) -> dict[str, int]:
    graded = ((name, request.grade(cells)) for name, cells in scenes.items())
    return {name: grade for name, grade in graded if grade}


def _held_out(asked: Sequence[Request], scenes: Sequence[Cells]) -> HeldOut:
    return HeldOut(
        frozenset(pair for request in asked for pair in request.pairs()),
        frozenset((request.name, request.times) for request in asked if isinstance(request, Count)),
        frozenset(tuple(sorted(shown(cells))) for cells in scenes),
    )


def pairs_shown(objects: Iterable[Sequence[str]]) -> set[frozenset[str]]:
    """Return the pairs of names that images show together."""
    return {frozenset(two) for names in objects for two in combinations(set(names), 2)}
