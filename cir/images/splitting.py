"""Divide a source into train, val and test, without an image in two parts."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeVar

import numpy as np

from cir.core.records import Triplet

SPLITS = ("train", "val", "test")
_SWEEPS = 50

Image = TypeVar("Image", bound=Hashable)


@dataclass(frozen=True)
class Split:
    """One part of a source, ready for `shards.write`.

    Args:
        images: the number of images.
        rows: (id, encoded image, names of the objects shown) of every image; can be read once.
        triplets: the part's triplets.
        info: content of info.json.
    """

    images: int
    rows: Iterable[tuple[str, bytes, Sequence[str]]]
    triplets: Sequence[Triplet]
    info: dict


def by_share(images: Sequence[Image], shares: Mapping[str, float], seed: int) -> dict[Image, str]:
    """Assign distinct images to parts at random; each part gets its share, rounded.

    Args:
        images: distinct images.
        shares: positive numbers that add up to 1, by the parts' names.
        seed: seed of the random order.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    bounds = np.round(np.cumsum(list(shares.values())) * len(images)).astype(int)
    parts = np.searchsorted(bounds, np.arange(len(images)), side="right")
    names = list(shares)
    return {images[place]: names[part] for place, part in zip(order, parts, strict=True)}


def by_links(
    links: Sequence[tuple[Image, Image]], shares: Mapping[str, float], seed: int
) -> dict[Image, str]:
    """Assign linked images to parts so that few links are lost and the kept links meet the shares.

    A query links its reference to its target. A link between two parts is lost, because no image
    may be in both. Random parts lose many links of densely linked images (nearly half, with shares
    of 0.7, 0.1 and 0.2). This function starts from random parts and moves one image after another
    to the part that maximises sum(share * log(1 + links kept in the part)), until no image moves.
    If no link is lost, that sum is largest when the kept links are divided by the shares.
    """
    names, weights = list(shares), list(shares.values())
    near: dict[Image, list[Image]] = {}
    for one, other in links:
        for image, neighbour in ((one, other), (other, one)):
            near.setdefault(image, [])
            if one != other:  # a link of an image to itself cannot be lost
                near[image].append(neighbour)
    images = list(near)
    rng = np.random.default_rng(seed)
    part = dict(zip(images, rng.choice(len(names), len(images), p=weights).tolist(), strict=True))
    kept = [0] * len(names)
    for one, other in links:
        kept[part[one]] += one != other and part[one] == part[other]
    for _ in range(_SWEEPS):
        moves = [_move(images[i], near, part, kept, weights) for i in rng.permutation(len(images))]
        if not any(moves):
            break
    return {image: names[part[image]] for image in images}


def _move(
    image: Image,
    near: Mapping[Image, Sequence[Image]],
    part: dict[Image, int],
    kept: list[int],
    weights: Sequence[float],
) -> bool:
    """Move the image to its best part; return whether the part changed."""
    own = part[image]
    gained = [0] * len(kept)
    for other in near[image]:
        gained[part[other]] += 1
    kept[own] -= gained[own]
    worth = [
        weight * (log(1 + have + more) - log(1 + have))
        for weight, have, more in zip(weights, kept, gained, strict=True)
    ]
    best = int(np.argmax(worth))
    if worth[best] <= worth[own] + 1e-12:
        best = own
    kept[best] += gained[best]
    part[image] = best
    return best != own
