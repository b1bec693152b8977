"""Compose triplets from a COCO instances JSON and its folder of images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.datasets.object_sets import compose
from cir.datasets.params import CocoData
from cir.edits.reading.templates import Template
from cir.images import image_files
from cir.images.splitting import Split, by_share


@dataclass(frozen=True)
class Annotated:
    """The paths of the images in an instances JSON, and the categories that they show."""

    paths: Mapping[str, Path]
    shown: Mapping[str, frozenset[str]]


def read(annotations: Path, image_folder: Path, min_area: float) -> Annotated:
    """Read which categories each image shows; a crowd counts like a single object.

    An image shows a category if the category's instances together fill at least the share
    `min_area` of the image, because nobody asks to remove a speck. The area of an instance is its
    `area`, or that of its box. File names are ids and must be unique.

    Raises UserError for another form of file, for annotations of unknown images or categories, for
    repeated names, and for missing image files.
    """
    content = files.read_json(annotations)
    listed_images, instances, categories = _parts(content, annotations)
    names = _by_id(annotations, categories, "categories", "name")
    file_names = _by_id(annotations, listed_images, "images", "file_name")
    _refuse_unknown(annotations, instances, "image_id", file_names, "images")
    _refuse_unknown(annotations, instances, "category_id", names, "categories")
    paths = {name: image_folder / name for name in file_names.values()}
    absent = [name for name, path in paths.items() if not path.is_file()]
    if absent:
        raise UserError(
            f"{annotations} lists {len(paths)} images, and {len(absent)} of them are not in "
            f"{image_folder}: {listed(absent)}"
        )
    filled: dict[Any, Counter[str]] = {key: Counter() for key in file_names}
    for instance in instances:
        filled[instance["image_id"]][names[instance["category_id"]]] += _area(instance, annotations)
    shown = {}
    for image in listed_images:
        least = min_area * _side(image, "width", annotations) * _side(image, "height", annotations)
        areas = filled[image["id"]].items()
        shown[image["file_name"]] = frozenset(name for name, area in areas if area >= least)
    return Annotated(paths, shown)


def _parts(content: Any, path: Path) -> tuple[list[dict], list[dict], list[dict]]:
    keys = {
        "images": ("id", "file_name"),
        "annotations": ("image_id", "category_id"),
        "categories": ("id", "name"),
    }
    for part, needed in keys.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries:
            raise UserError(f'{path} is not a COCO instances file: expected a list under "{part}"')
        for number, entry in enumerate(entries):
            missing = [key for key in needed if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise UserError(f'{path}: {part}[{number}] has no "{missing[0]}"')
    return content["images"], content["annotations"], content["categories"]


def _by_id(path: Path, entries: Sequence[dict], part: str, label: str) -> dict[Any, str]:
    """Map ids of entries to labels; raises UserError if an id or a label is repeated."""
    for key in ("id", label):
        counts = Counter(entry[key] for entry in entries)
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise UserError(
                f"{path}: {len(repeated)} values of {key} are repeated in {part}: "
                f"{listed(repeated)}"
            )
    return {entry["id"]: entry[label] for entry in entries}


def _refuse_unknown(
    path: Path, instances: Sequence[dict], key: str, known: Mapping[Any, str], part: str
) -> None:
    unknown = [instance for instance in instances if instance[key] not in known]
    if unknown:
        which = [
            f"{key} {instance[key]} of annotation {instance.get('id')}" for instance in unknown
        ]
        raise UserError(
            f"{path}: {len(unknown)} of {len(instances)} annotations refer to none of its {part}: "
            f"{listed(which)}"
        )


def _area(instance: dict, path: Path) -> float:
    box = instance.get("bbox", ())
    area = instance.get("area", box[2] * box[3] if len(box) == 4 else None)
    if not isinstance(area, int | float) or area < 0:
        raise UserError(f"{path}: annotation {instance.get('id')} has neither area nor bbox")
    return area


def _side(image: dict, key: str, path: Path) -> float:
    side = image.get(key)
    if not isinstance(side, int | float) or side <= 0:
        raise UserError(f"{path}: image {image['file_name']} has no {key}")
    return side


def load(
    data: CocoData, sentences: Mapping[str, Sequence[Template]], seed: int
) -> dict[str, Split]:
    """Divide the images by `data.split` and compose the triplets of each split from its images.

    Images that show no category or more than `data.max_objects` are left out; `info` counts them.
    All other images are decoded once. Images of equal content go to the same split. `sentences`
    gives the templates of each split. A test triplet is `novel` if its edit names a category that
    no training image shows.

    Raises UserError for images that cannot be decoded, and for a split without a triplet.
    """
    if not data.root.is_dir():
        raise UserError(f"data.root is not a folder: {data.root}")
    annotated = read(data.root / data.annotations, data.root / data.images, data.min_area)
    shares = data.split.shares()
    most = data.max_objects
    usable = {n: shown for n, shown in annotated.shown.items() if 1 <= len(shown) <= most}
    digests = image_files.check({name: annotated.paths[name] for name in usable}, data.processes())
    part_of = by_share(sorted(set(digests.values())), shares, seed)
    members = {
        part: {name: shown for name, shown in usable.items() if part_of[digests[name]] == part}
        for part in shares
    }
    trained = frozenset().union(*members["train"].values())
    info = {
        "source": "coco",
        "names": sorted(trained),
        "images_listed": len(annotated.shown),
        "images_showing_nothing": sum(not shown for shown in annotated.shown.values()),
        "images_with_too_many_objects": sum(
            len(shown) > most for shown in annotated.shown.values()
        ),
    }
    splits = {}
    for number, (part, shown) in enumerate(members.items()):
        known = trained if part != "train" else None
        triplets = compose(shown, sentences[part], data, known, seed + number)
        if not triplets:
            raise UserError(
                f"{len(annotated.shown)} images, {len(shown)} of them for {part}, give no triplet "
                f"there: no two have sets of objects that share {data.min_shared} and differ by "
                f"1 to {data.max_edit}, one of them shown by no other image"
            )
        splits[part] = Split(len(shown), _rows(annotated, shown, data.max_side), triplets, info)
    return splits


def _rows(
    annotated: Annotated, shown: Mapping[str, frozenset[str]], max_side: int
) -> Iterator[tuple[str, bytes, list[str]]]:
    for name, names in shown.items():
        yield name, image_files.stored(annotated.paths[name], name, max_side), sorted(names)
