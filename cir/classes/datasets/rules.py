"""Check images with classes before training and scoring.

Two images of equal content are copies, whatever their names are.
"""

from collections.abc import Iterable, Mapping

from cir.classes.datasets.base import PARTS, ClassParts, Findings, Images, counted
from cir.core.english import listed
from cir.core.errors import UserError

FEWEST_CLASSES = 2

# Why a class needs several images.
PAIRS = "training needs pairs"
EACH_BY_OTHERS = "validation looks for each among the others"
BOTH = "one cannot be query and gallery"


def labels_of(images: Images) -> set[str]:
    """Return the classes of the images."""
    return {image.label for image in images}


def classes_told(number: int) -> str:
    """Write a number of classes, such as "1 class" or "2 classes"."""
    return counted(number, "class", "classes")


def _queries_told(images: Images) -> str:
    return counted(len(images), "query", "queries")


def of_one_class_each(pools: Mapping[str, Images], findings: Findings) -> dict[str, Images]:
    """Return the pools without images that have a copy under another class in any pool."""
    everything = [image for images in pools.values() for image in images]
    by_content: dict[str, dict[str, str]] = {}
    for image in everything:
        by_content.setdefault(image.content, {}).setdefault(image.label, image.id)
    torn = {content: ids for content, ids in by_content.items() if len(ids) > 1}
    unusable = {image.id for image in everything if image.content in torn}
    first = listed([" and ".join(ids.values()) for ids in torn.values()])
    sentence = (
        f"{len(unusable)} of {counted(len(everything), 'image', 'images')} have copies under "
        f"another class: {first}"
    )
    kept = {
        image.id
        for image in findings.without(
            tuple(everything), unusable, "copies under several classes", sentence
        )
    }
    return {
        name: tuple(image for image in images if image.id in kept) for name, images in pools.items()
    }


def of_several_images(images: Images, where: str, why: str, findings: Findings) -> Images:
    """Return the images without the classes whose images are all copies of one."""
    contents: dict[str, set[str]] = {}
    for image in images:
        contents.setdefault(image.label, set()).add(image.content)
    single = [label for label, own in contents.items() if len(own) == 1]
    return findings.without(
        images,
        {image.id for image in images if image.label in single},
        "classes of one image",
        f"{len(single)} of {classes_told(len(contents))} {where} have one image only (copies "
        f"aside), and {why}: {listed(sorted(single))}",
    )


def settled(
    source: str, parts: Mapping[str, Images], findings: Findings, gallery_is_training: bool
) -> ClassParts:
    """Return the parts without queries that have a copy elsewhere or no answer in the gallery.

    Raises UserError for a part with fewer than two classes, and if no query is left.
    """
    query = _uncopied(parts, findings)
    query = _answered(query, parts["gallery"], findings)
    images = {part: query if part == "query" else parts[part] for part in PARTS}
    for part in PARTS:
        labels = labels_of(images[part])
        fewest = 1 if part == "query" else FEWEST_CLASSES
        if len(labels) < fewest:
            raise UserError(
                f"{part} has {counted(len(images[part]), 'image', 'images')} of "
                f"{classes_told(len(labels))}: expected at least {classes_told(fewest)}"
                + findings.aside()
            )
        assert len({image.id for image in images[part]}) == len(images[part]), f"ids of {part}"
    findings.notes += _copies(images, gallery_is_training)
    return ClassParts(source, images, gallery_is_training, findings.left_out, findings.notes)


def _uncopied(parts: Mapping[str, Images], findings: Findings) -> Images:
    """Return the queries without a copy in another part."""
    known = _ids_by_content(parts[part] for part in PARTS if part != "query")
    copies = {image.id: known[image.content] for image in parts["query"] if image.content in known}
    return findings.without(
        parts["query"],
        set(copies),
        "queries with copies elsewhere",
        f"{len(copies)} of {_queries_told(parts['query'])} are copies of images in training, "
        "validation or the gallery: "
        + listed([f"{query} of {other}" for query, other in copies.items()]),
    )


def _answered(query: Images, gallery: Images, findings: Findings) -> Images:
    """Return the queries with a class of the gallery."""
    known = labels_of(gallery)
    unanswered = [image for image in query if image.label not in known]
    absent = sorted({image.label for image in unanswered})
    return findings.without(
        query,
        {image.id for image in unanswered},
        "queries without their class in the gallery",
        f"{len(unanswered)} of {_queries_told(query)} are of {classes_told(len(absent))} that the "
        f"gallery lacks: {listed(absent)}",
    )


def _copies(images: Mapping[str, Images], gallery_is_training: bool) -> list[str]:
    """Return notes on copies between and within parts: they are allowed, but raise the figures."""
    pairs = [("val", "train"), ("gallery", "train"), ("gallery", "val")]
    notes = []
    for part, other in pairs[: 1 if gallery_is_training else 3]:
        known = _ids_by_content([images[other]])
        found = [i for i in images[part] if i.content in known]
        if found:
            names = listed([f"{image.id} of {known[image.content]}" for image in found])
            copies = counted(
                len(found), f"image of {part} is a copy", f"images of {part} are copies"
            )
            notes.append(f"{copies} of images in {other}: {names}")
    for part in PARTS:
        known = _ids_by_content([images[part]])
        more = [image.id for image in images[part] if known[image.content] != image.id]
        if more:
            copies = counted(
                len(more), f"image of {part} is a copy", f"images of {part} are copies"
            )
            notes.append(f"{copies} of others there: {listed(more)}")
    return notes


def _ids_by_content(parts: Iterable[Images]) -> dict[str, str]:
    known: dict[str, str] = {}
    for images in parts:
        for image in images:
            known.setdefault(image.content, image.id)
    return known
