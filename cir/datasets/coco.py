"""Compose triplets from a COCO instances JSON and its folder of images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import FileNames, is_file
from cir.core.tables import printable
from cir.datasets.object_sets import compose
from cir.datasets.params import CocoData
from cir.edits.reading.templates import Template
from cir.images import image_files, walk
from cir.images.splitting import Split, by_share

Id = int | float | str
_ONE = {"images": "image", "annotations": "annotation", "categories": "category"}


class _Entry(BaseModel):
    """An entry of a COCO file; other keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class ImageEntry(_Entry):
    """An image; its sides are in pixels."""

    id: Id
    file_name: Annotated[str, Field(min_length=1)]
    width: PositiveFloat
    height: PositiveFloat


class Category(_Entry):
    """A category of objects."""

    id: Id
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Instance(_Entry):
    """An object in an image. Its size comes from its area or, without one, from its box."""

    id: Any = None
    image_id: Id
    category_id: Id
    area: Any = None
    bbox: Any = None

    @model_validator(mode="after")
    def _has_a_size(self) -> "Instance":
        if not _is_size(self.area) and not self._has_box():
            raise ValueError(
                "has no area and no bbox that can be used: expected a number, or four of them"
            )
        return self

    @property
    def size(self) -> float:
        """Return the area in square pixels."""
        return self.area if _is_size(self.area) else self.bbox[2] * self.bbox[3]

    def _has_box(self) -> bool:
        box = self.bbox
        return isinstance(box, list) and len(box) == 4 and all(map(_is_size, box[2:]))


# Integers of JSON have any number of digits; products of smaller ones than this are still floats.
_LARGEST_SIZE = 1e100


def _is_size(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < _LARGEST_SIZE


Entry = TypeVar("Entry", ImageEntry, Instance, Category)


@dataclass(frozen=True)
class ShownObjects:
    """The paths of the images in an instances JSON, and the categories that they show."""

    paths: Mapping[str, Path]
    shown: Mapping[str, frozenset[str]]


def read(annotations: Path, image_folder: Path, min_area: float) -> ShownObjects:
    """Read which categories each image shows; a crowd counts like a single object.

    An image shows a category if the category's instances together fill at least the share
    `min_area` of the image, because nobody asks to remove a speck. The area of an instance is its
    `area` or, without one, that of its box. File names are ids and must be unique.

    Raises UserError for another form of file, for annotations of unknown images or categories, for
    repeated names, and for missing image files.
    """
    content = files.read_json(annotations)
    listed_images = _entries(content, annotations, "images", ImageEntry)
    instances = _entries(content, annotations, "annotations", Instance)
    categories = _entries(content, annotations, "categories", Category)
    names = _by_id(annotations, categories, "categories", "name")
    file_names = _by_id(annotations, listed_images, "images", "file_name")
    _refuse_unknown(annotations, instances, "image_id", file_names, "images")
    _refuse_unknown(annotations, instances, "category_id", names, "categories")
    paths = _paths(annotations, image_folder, list(file_names.values()))
    filled: dict[Id, Counter[str]] = {key: Counter() for key in file_names}
    for instance in instances:
        filled[instance.image_id][names[instance.category_id]] += instance.size
    shown = {}
    for image in listed_images:
        least = min_area * image.width * image.height
        areas = filled[image.id].items()
        shown[image.file_name] = frozenset(name for name, area in areas if area >= least)
    return ShownObjects(paths, shown)


def _entries(content: Any, path: Path, part: str, form: type[Entry]) -> list[Entry]:
    """Return the entries of a part in their form; raise UserError that names those of another."""
    entries = content.get(part) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f'{path} is not a COCO instances file: expected a list under "{part}"')
    try:
        return TypeAdapter(list[form]).validate_python(entries)
    except ValidationError as error:
        problems: dict[int, str] = {}
        for problem in error.errors(include_url=False):
            number = problem["loc"][0]
            problems.setdefault(number, _problem(entries[number], number, problem, part))
    raise UserError(
        f"{path}: {len(problems)} of {len(entries)} {part} cannot be used: "
        + listed(list(problems.values()), "; ")
    )


def _problem(entry: Any, number: int, problem: Mapping[str, Any], part: str) -> str:
    """Say what is wrong with an entry, by its id or, if it has none, by its place."""
    known = isinstance(entry, dict) and entry.get("id") is not None
    name = f"{_ONE[part]} {str(entry['id'])[:40]}" if known else f"{part}[{number}]"
    key = problem["loc"][1] if len(problem["loc"]) > 1 else None
    if problem["type"] == "value_error":
        return f"{name} {problem['ctx']['error']}"
    if key is None or not isinstance(entry, dict):
        return f"{name} is not an object"
    if entry.get(key) is None:
        return f'{name} has no "{key}"'
    expected = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{name} has the {key} {str(entry[key])[:40]!r}: {expected}"


def _by_id(path: Path, entries: Sequence[Any], part: str, label: str) -> dict[Id, str]:
    """Map ids of entries to labels; raises UserError if an id or a label is repeated."""
    for key in ("id", label):
        counts = Counter(getattr(entry, key) for entry in entries)
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise UserError(
                f"{path}: {len(repeated)} values of {key} are repeated in {part}: "
                f"{listed(repeated)}"
            )
    return {entry.id: getattr(entry, label) for entry in entries}


def _refuse_unknown(
    path: Path, instances: Sequence[Instance], key: str, known: Mapping[Id, str], part: str
) -> None:
    unknown = [instance for instance in instances if getattr(instance, key) not in known]
    if unknown:
        which = [
            f"{key} {getattr(instance, key)} of annotation {instance.id}" for instance in unknown
        ]
        raise UserError(
            f"{path}: {len(unknown)} of {len(instances)} annotations refer to none of its {part}: "
            f"{listed(which)}"
        )


def _paths(annotations: Path, folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the file of each name; raise UserError for names without a file."""
    paths = {name: folder / name for name in names if is_file(folder / name)}
    if len(paths) < len(names):
        spelt = FileNames(walk.walk(folder).images if folder.is_dir() else [])
        for name in names:
            alike = spelt.find(name)
            if name not in paths and len(alike) == 1:
                paths[name] = folder / alike[0]
    absent = [printable(name) for name in names if name not in paths]
    if absent:
        raise UserError(
            f"{annotations} lists {len(names)} images, and {len(absent)} of them are not in "
            f"{folder}: {listed(absent)}"
        )
    return {name: paths[name] for name in names}


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
        raise UserError(f"data.root is not a folder: {data.root}{files.looked_in(data.root)}")
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
    annotated: ShownObjects, shown: Mapping[str, frozenset[str]], max_side: int
) -> Iterator[tuple[str, bytes, list[str]]]:
    for name, names in shown.items():
        yield name, image_files.stored(annotated.paths[name], name, max_side), sorted(names)
