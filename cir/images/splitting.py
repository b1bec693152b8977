"""Divide a source into train, val and test, without an image in two parts."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeVar

import numpy as np

from cir.core.records import Triplet

SPLITS = ("train", "val", "test")
_SWEEPS = 50
_NEAR = 0.02  # of all links: a share may be missed by so many, so that no link is lost

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
    may be in both. The groups of images that hang together by links are dealt out, the largest
    first, each to the part that lacks most of its share. If this misses the shares, groups have to
    be cut. Random parts lose many links of densely linked images (nearly half, with shares of 0.7,
    0.1 and 0.2). So this function starts from random parts and moves one image after another to
    the part that maximises sum(share * log(1 + links kept in the part)), until no image moves. If
    no link is lost, that sum is largest when the kept links are divided by the shares. Then it
    deals out the groups that hang together by kept links. Every part gets a link if that is
    possible at all: if there are as many links without a common image as parts.
    """
    part = dict.fromkeys((image for link in links for image in link), 0)
    groups = _groups(links, part)
    counts = _deal_out(groups, part, shares, np.random.default_rng(seed))
    names = list(shares)
    if all(counts) and met(counts, list(shares.values()), _NEAR):
        return {image: names[number] for image, number in part.items()}
    rng = np.random.default_rng(seed)
    part = _searched(links, shares, rng, {})
    groups = _groups(links, part)
    if len(groups) < len(shares) and (apart := links_apart(links, len(shares))):
        pinned = {image: number for number, link in enumerate(apart) for image in link}
        part = _searched(links, shares, rng, pinned)
        groups = _groups(links, part)
    _deal_out(groups, part, shares, rng)
    return {image: names[number] for image, number in part.items()}


def met(counts: Sequence[int], shares: Sequence[float], near: float) -> bool:
    """Tell whether counts are divided by the shares, give or take one or the part `near` of all."""
    tolerance = max(1, near * sum(counts))
    pairs = zip(counts, shares, strict=True)
    return all(abs(own - share * sum(counts)) <= tolerance for own, share in pairs)


def _searched(
    links: Sequence[tuple[Image, Image]],
    shares: Mapping[str, float],
    rng: np.random.Generator,
    pinned: Mapping[Image, int],
) -> dict[Image, int]:
    """Return the number of each image's part after the moves; `pinned` images do not move."""
    weights = list(shares.values())
    near: dict[Image, list[Image]] = {}
    for one, other in links:
        for image, neighbour in ((one, other), (other, one)):
            near.setdefault(image, [])
            if one != other:  # a link of an image to itself cannot be lost
                near[image].append(neighbour)
    images = list(near)
    drawn = rng.choice(len(weights), len(images), p=weights).tolist()
    part = {**dict(zip(images, drawn, strict=True)), **pinned}
    kept = [0] * len(weights)
    for one, other in links:
        kept[part[one]] += one != other and part[one] == part[other]
    for _ in range(_SWEEPS):
        order = (images[i] for i in rng.permutation(len(images)))
        moves = [_move(image, near, part, kept, weights) for image in order if image not in pinned]
        if not any(moves):
            break
    return part


def _groups(
    links: Sequence[tuple[Image, Image]], part: Mapping[Image, int]
) -> list[list[tuple[Image, Image]]]:
    """Return the kept links, those that hang together by common images in one list."""
    above: dict[Image, Image] = {}

    def top(image: Image) -> Image:
        while (higher := above.setdefault(image, image)) != image:
            above[image] = above[higher]
            image = higher
        return image

    kept = [(one, other) for one, other in links if part[one] == part[other]]
    for one, other in kept:
        above[top(one)] = top(other)
    groups: dict[Image, list[tuple[Image, Image]]] = {}
    for link in kept:
        groups.setdefault(top(link[0]), []).append(link)
    return list(groups.values())


def _deal_out(
    groups: Sequence[Sequence[tuple[Image, Image]]],
    part: dict[Image, int],
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> list[int]:
    """Move the images of each group to one part; return the number of links in each part."""
    counts = [0] * len(shares)
    dealt = _dealt([len(group) for group in groups], list(shares.values()), rng)
    for group, number in zip(groups, dealt, strict=True):
        part.update((image, number) for link in group for image in link)
        counts[number] += len(group)
    return counts


def _dealt(sizes: Sequence[int], shares: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Return the part of each group: the largest first, to the part that lacks most links.

    A part without a group gets the smallest group of a part that has several.
    """
    lacks = np.array(shares) * sum(sizes)
    order = sorted(rng.permutation(len(sizes)).tolist(), key=lambda group: -sizes[group])
    parts = [0] * len(sizes)
    for group in order:
        parts[group] = int(np.argmax(lacks))
        lacks[parts[group]] -= sizes[group]
    for part in range(len(shares)):
        spare = [group for group in order if parts.count(parts[group]) > 1]
        if part not in parts and spare:
            parts[min(spare, key=lambda group: (sizes[group], lacks[parts[group]]))] = part
    return parts


def links_apart(links: Sequence[tuple[Image, Image]], count: int) -> list[tuple[Image, Image]]:
    """Return `count` links of which no two have an image in common, or [] if there are fewer.

    Some largest set of such links has a link at one of the first link's two images. Of an image's
    neighbours, 2 * count + 1 suffice: the other links cannot use all of them.
    """
    if count == 0 or not links:
        return []
    for image in dict.fromkeys(links[0]):
        ends = {
            other if one == image else one: (one, other)
            for one, other in links
            if image in (one, other)
        }
        for link in list(ends.values())[: 2 * count + 1]:
            rest = [other for other in links if not set(other) & set(link)]
            found = links_apart(rest, count - 1)
            if len(found) == count - 1:
                return [link, *found]
    return []


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
