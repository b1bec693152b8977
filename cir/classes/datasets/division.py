"""Divide images with classes into parts, by the images of every class or by whole classes.

Copies (images of equal content) stay together. The division of a class depends only on the seed,
the name of the class and its images, so one more class moves no image of another class.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cir.classes.datasets import rules
from cir.classes.datasets.base import ClassParts, Findings, Images, counted
from cir.classes.datasets.params import CIFAR100, Divide, DividedFolders, Food101
from cir.classes.datasets.rules import FEWEST_CLASSES, classes_told, labels_of
from cir.core.english import listed
from cir.core.errors import UserError

FEWEST_IMAGES = 2  # of a class in a part: a pair to train on, or a query and its answer

Parts = dict[str, Images]


def by_images(images: Images, shares: Mapping[str, float], seed: int) -> Parts:
    """Give each part of `shares` its share of every class's images, and "train" the others.

    A class has either no image or at least two in a part, because a single image has no other to
    pair with or to find. So a share that rounds to one image becomes two, and if "train" would
    keep fewer than two, the later parts of `shares` get none.
    """
    part_of: dict[tuple[str, str], str] = {}
    for label, contents in _contents(images).items():
        order = iter(_shuffled(contents, seed, "images", label))
        for part, count in _counts(len(contents), shares).items():
            part_of.update(((label, next(order)), part) for _ in range(count))
    return _collected(images, ["train", *shares], lambda i: part_of[i.label, i.content])


def by_classes(images: Images, shares: Mapping[str, float], seed: int) -> Parts:
    """Give each part of `shares` its share of the classes, at least two, and "train" the others.

    Raises UserError for too few classes.
    """
    labels = sorted(labels_of(images))
    counts = {
        part: max(FEWEST_CLASSES, _rounded(share * len(labels))) for part, share in shares.items()
    }
    left = len(labels) - sum(counts.values())
    if left < FEWEST_CLASSES:
        wanted = " and ".join(f"{count} for {part}" for part, count in counts.items())
        raise UserError(
            f"{counted(len(labels), 'class is', 'classes are')} too few for this division: "
            f"{wanted} leave {max(left, 0)} for train, and every part needs {FEWEST_CLASSES}"
        )
    order = iter(_shuffled(labels, seed, "classes"))
    part_of = {next(order): part for part, count in counts.items() for _ in range(count)}
    return _collected(images, ["train", *shares], lambda i: part_of.get(i.label, "train"))


def divide(
    by: Divide, images: Images, shares: Mapping[str, float], findings: Findings, seed: int
) -> Parts:
    """Divide the images by images or by classes, and note the classes that are not in every part.

    Raises UserError for a part with fewer than two classes.
    """
    if by == "classes":
        return by_classes(images, shares, seed)
    parts = by_images(images, shares, seed)
    _note_absences(parts, shares, findings)
    return parts


def of_given_parts(
    params: CIFAR100 | DividedFolders | Food101,
    val_share: float,
    pools: Mapping[str, Images],
    findings: Findings,
    seed: int,
) -> ClassParts:
    """Make the four parts of a dataset with the pools "train", "test" and perhaps "val".

    Without the pool "val", the share `val_share` of each class's training images validates. With
    gallery "train", all training images are the gallery, also those set apart for validation;
    `gallery_is_training` is then true, although those were not trained on.
    """
    pools = rules.of_one_class_each(pools, findings)
    train = rules.of_several_images(pools["train"], "in train", rules.PAIRS, findings)
    if "val" in pools:
        val = rules.of_several_images(pools["val"], "in val", rules.EACH_BY_OTHERS, findings)
        parts = {"train": train, "val": val}
    else:
        parts = divide("images", train, {"val": val_share}, findings, seed)
    if params.gallery == "train":
        parts |= {"query": pools["test"], "gallery": pools["train"]}
    else:
        test = rules.of_several_images(pools["test"], "in test", rules.BOTH, findings)
        parts |= queries_and_gallery(test, params.query_share, seed)
    return rules.settled(params.source, parts, findings, params.gallery == "train")


def queries_and_gallery(images: Images, query_share: float, seed: int) -> Parts:
    """Divide the images of every class into "query" and "gallery", with at least one in each."""
    queries = set()
    for label, contents in _contents(images).items():
        assert len(contents) > 1, f"class {label} has one image for two parts"
        count = min(max(_rounded(query_share * len(contents)), 1), len(contents) - 1)
        chosen = _shuffled(contents, seed, "queries", label)[:count]
        queries.update((label, content) for content in chosen)
    return _collected(
        images,
        ["query", "gallery"],
        lambda i: "query" if (i.label, i.content) in queries else "gallery",
    )


def _note_absences(parts: Parts, shares: Mapping[str, float], findings: Findings) -> None:
    everything = set().union(*(labels_of(images) for images in parts.values()))
    for part, images in parts.items():
        if len(labels_of(images)) < FEWEST_CLASSES:
            raise UserError(_too_small(part, parts, shares) + findings.aside())
        absent = sorted(everything - labels_of(images))
        if absent:
            findings.notes.append(
                f"{len(absent)} of {classes_told(len(everything))} have too few images to be in "
                f"{part}: {listed(absent)}"
            )


def fewest_images(shares: Mapping[str, float]) -> int:
    """Return how many different images a class needs to be in every part of `by_images`."""
    # The search may bisect: a class in every part stays there with more images.
    return bisect_left(range(2**40), True, key=lambda n: all(_counts(n, shares).values()))


def _too_small(part: str, parts: Parts, shares: Mapping[str, float]) -> str:
    own, needed = parts[part], fewest_images(shares)
    contents = _contents(tuple(image for images in parts.values() for image in images))
    few = sum(len(different) < needed for different in contents.values())
    names = [name for name in ("train", "val", "test") if name in parts]
    return (
        f"{part} has {counted(len(own), 'image', 'images')} of {classes_told(len(labels_of(own)))}:"
        f" expected at least {classes_told(FEWEST_CLASSES)}; with these shares a class needs "
        f"{needed:,} images, copies aside, to be in {', '.join(names[:-1])} and {names[-1]}, and "
        f"{few:,} of {classes_told(len(contents))} have fewer"
    )


def _contents(images: Images) -> dict[str, list[str]]:
    """Return the different contents of each class, in an order independent of the files."""
    contents: dict[str, set[str]] = {}
    for image in images:
        contents.setdefault(image.label, set()).add(image.content)
    return {label: sorted(own) for label, own in contents.items()}


def _counts(images: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many images of a class each part gets, "train" last."""
    counts, left = {}, images
    for part, share in shares.items():
        count = _rounded(share * images)
        count = min(max(count, FEWEST_IMAGES), left - FEWEST_IMAGES) if count else 0
        counts[part] = count if count >= FEWEST_IMAGES else 0
        left -= counts[part]
    return {**counts, "train": left}


def _rounded(number: float) -> int:
    return int(number + 0.5)  # round() would round halves to the even neighbour


def _shuffled(items: Sequence[str], seed: int, *purpose: str) -> list[str]:
    own = hashlib.blake2b("/".join(purpose).encode(), digest_size=8).digest()
    order = np.random.default_rng([seed, int.from_bytes(own, "little")]).permutation(len(items))
    return [items[place] for place in order]


def _collected(images: Images, parts: Iterable[str], part_of: Callable) -> Parts:
    collected: dict[str, list] = {part: [] for part in parts}
    for image in images:
        collected[part_of(image)].append(image)
    return {part: tuple(own) for part, own in collected.items()}
