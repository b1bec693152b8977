"""Say how well an image fits a query: against what random queries reach on the indexed images.

A cosine alone says little. On photographs, a model may give 0.6 to a made-up word and 0.5 to a
right answer, because every image scores high for the one and only a few do for the other. So each
query has its own scale: the *lead* of an image is how far its score lies above the median of the
index, in units of how far the lowest twentieth lies below the median. Both are taken from the lower
half of the scores, which images that match do not move. `calibrate` notes the lead that the best
image of random queries reaches; a match is good if hardly any of them gets so far.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cir.app.stores import base
from cir.app.stores.base import Store
from cir.app.stores.records import Calibration, Hit
from cir.app.things import THINGS
from cir.core.errors import UserError
from cir.core.progress import say
from cir.core.records import Edit

if TYPE_CHECKING:
    from cir.app.search_model import SearchModel

# Below the first share of the best leads of random queries, a match is unlikely; from the second
# share on, it is good.
_FAIR, _GOOD = 0.9, 0.99
_LOW = 0.05
_LEAST_SPREAD = 1e-6  # where all images are the same to a query
_LEAST_IMAGES = 20  # of an index; the spread of fewer scores says nothing
_SAMPLE = 1_000  # images
_TEXTS, _IMAGES = 100, 40  # random queries
_MOST_DRIFT = 0.1  # share by which the number of images may change before it is measured again
_EXAMPLES = 12
_RECALLED = 100  # searches that measure the recall
_DRAWN_SIDE = 64  # pixels; models of this size were trained on drawings by this project
DRAWINGS_ONLY = (
    "these are photographs, but the model was trained on drawings alone and finds little in them: "
    "get one for photographs with cir models get photos, and index them with cir index FOLDER "
    "--model photos --store .photos"
)
_PHOTO_SIDE = 160  # pixels; most photographs have more, and no drawn scene has


def calibrate(model: "SearchModel", store: Store) -> None:
    """Measure random queries on the images of a store, and note the levels in its info.

    Nothing is measured if the store has few images, or nearly as many as the last time.
    """
    count = store.count()
    known = store.info.calibration
    drift = abs(count - known.images) if known else count
    if (known and drift <= _MOST_DRIFT * known.images) or count < _LEAST_IMAGES:
        return
    say("calibrating the scores on the indexed images")
    rng = random.Random(0)
    vectors = sample(store)
    texts = [_random_text(rng) for _ in range(_TEXTS)]
    queries = {"image": _encoded_images(model, rng)}
    chosen = rng.choices(vectors, k=_TEXTS)
    edits = [Edit(text, add=(text,)) for text in texts]
    queries["composed"] = model.compose(np.stack(chosen), edits, [1.0] * _TEXTS)
    examples: tuple[str, ...] = ()
    try:
        queries["text"] = model.encode_texts(texts)
    except UserError:  # the model cannot search by words
        levels = _levels(queries, store, vectors)
    else:
        levels = _levels(queries, store, vectors)
        examples = _examples(model, store, vectors, levels["text"][1])
    found = Calibration(count, levels, examples, _photographs(store))
    store.note(replace(store.info, calibration=found))


class Scale:
    """Marks hits by what `calibrate` has noted in a store. One thread may use it at a time."""

    def __init__(self, store: Store):
        self._store = store
        self._sample: np.ndarray | None = None
        self._calibration: Calibration | None = None

    def marked(self, kind: str, query: np.ndarray, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits of a query [D] with their fit, or as they are without a calibration."""
        calibration = self._store.info.calibration
        if calibration is None or kind not in calibration.levels or not hits:
            return list(hits)
        if self._sample is None or self._calibration is not calibration:
            self._sample, self._calibration = sample(self._store), calibration
        fair, good = calibration.levels[kind]
        of_hits = leads([hit.score for hit in hits], self._sample @ query)
        fits = [
            "good" if lead >= good else "fair" if lead >= fair else "unlikely" for lead in of_hits
        ]
        return [replace(hit, fit=fit) for hit, fit in zip(hits, fits, strict=True)]


def knows_drawings_only(model: "SearchModel", store: Store) -> bool:
    """Return whether the index holds photographs, and the model was trained on drawings alone."""
    calibration = store.info.calibration
    if calibration is None:
        return False
    return calibration.photographs and model.least_side <= 2 * _DRAWN_SIDE


def examples_of(store: Store, tags: Sequence[tuple[str, int]]) -> list[str]:
    """Return searches by words that find something: the tags, or else what was found there."""
    calibration = store.info.calibration
    return [tag for tag, _ in tags] or list(calibration.examples if calibration else ())


def leads(scores: Sequence[float], all_scores: np.ndarray) -> np.ndarray:
    """Return the lead of each score of a query, whose scores on the sample are `all_scores` [N]."""
    low, middle = np.quantile(all_scores, (_LOW, 0.5))
    return (np.asarray(scores) - middle) / max(float(middle - low), _LEAST_SPREAD)


def _levels(
    queries: dict[str, np.ndarray], store: Store, some: np.ndarray
) -> dict[str, tuple[float, float]]:
    levels = {}
    for kind, vectors in queries.items():
        # The image of a composed query is in the index, and is its best match or not far from it.
        best = _best_leads(vectors, store, some, rank=2 if kind == "composed" else 1)
        fair, good = np.quantile(best, (_FAIR, _GOOD))
        levels[kind] = (round(float(fair), 3), round(float(good), 3))
    return levels


def _best_leads(queries: np.ndarray, store: Store, some: np.ndarray, rank: int = 1) -> list[float]:
    """Return the lead of the image at a rank, for each query [Q, D]."""
    found = store.search(queries, rank)
    return [
        float(leads([hits[-1].score], some @ query)[0])
        for hits, query in zip(found, queries, strict=True)
    ]


def _examples(model: "SearchModel", store: Store, some: np.ndarray, good: float) -> tuple[str, ...]:
    """Return common things of which the index has a good match, the best ones first."""
    best = _best_leads(model.encode_texts(THINGS), store, some)
    ranked = sorted(zip(best, THINGS, strict=True), reverse=True)
    return tuple(thing for lead, thing in ranked[:_EXAMPLES] if lead >= good)


def sample(store: Store) -> np.ndarray:
    """Return vectors [N, D] of the first ids; they are a random choice, as ids are digests."""
    found = store.vectors([image.id for image in islice(store.images(), _SAMPLE)])
    return np.stack(list(found.values()))


def measured_recall(store: Store) -> str:
    """Say how much of the exact answer searches by the graph find; "" where there is no graph.

    Each query is the sum of two random images of the store, so that no image is its own answer.
    """
    if store.count() < base.GRAPH_FROM:
        return ""
    some = sample(store)[: 2 * _RECALLED]
    queries = some[: len(some) // 2] + some[len(some) // 2 : len(some) // 2 * 2]
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    queries = (queries / np.maximum(lengths, 1e-6))[lengths[:, 0] > 1e-3]
    recall = store.recall(queries)
    return f"recall@10 of searches against exact ones {recall:.1%} ({len(queries)} queries)"


def _photographs(store: Store) -> bool:
    """Return whether most images are larger than a drawn scene."""
    sides = [min(image.width, image.height) for image in islice(store.images(), _SAMPLE)]
    return sum(side >= _PHOTO_SIDE for side in sides) > len(sides) / 2


def _random_text(rng: random.Random) -> str:
    """Return up to four words, half of which can be pronounced."""
    return " ".join(rng.choice((_letters, _syllables))(rng) for _ in range(rng.randint(1, 4)))


def _letters(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 8)))


def _syllables(rng: random.Random) -> str:
    parts = (rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(4))
    return "".join(islice(parts, rng.randint(2, 4)))


def _encoded_images(model: "SearchModel", rng: random.Random) -> np.ndarray:
    """Encode random images, from one colour to noise, as vectors [_IMAGES, D]."""
    pixels = [model.preprocess(_random_image(rng)) for _ in range(_IMAGES)]
    size = max(1, model.batch_size)
    batches = (np.stack(pixels[start : start + size]) for start in range(0, _IMAGES, size))
    return np.concatenate([model.encode_pixels(batch) for batch in batches])


def _random_image(rng: random.Random) -> Image.Image:
    side = rng.choice((1, 2, 3, 4, 8, 16, 64))
    small = Image.frombytes("RGB", (side, side), rng.randbytes(3 * side * side))
    return small.resize((256, 256), Image.Resampling.BICUBIC)
