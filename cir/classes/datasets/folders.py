"""Find the image files of class folders, check all of them, and store them as rows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cir.classes.datasets.base import Findings, Images, LabelledImage, Rows, counted
from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.tables import printable
from cir.images import image_files, walk
from cir.images.shards import Row

_BESIDE = "beside the class folders"


@dataclass(frozen=True)
class ImageFile:
    """An image file and its class."""

    id: str
    label: str
    path: Path


def require_root(root: Path) -> None:
    """Raise UserError unless the root is a folder."""
    if not root.is_dir():
        raise UserError(f"class_data.root is no folder: {root}{files.looked_in(root)}")


def read_classes(folder: Path, prefix: str, findings: Findings) -> list[ImageFile]:
    """Find the images in `folder`/<class>/, at any depth; an id is `prefix` and the path below.

    One note counts by reason what is left out (see cir.images.walk), and another one class folders
    without images if unusable data are left out.

    Raises UserError for a folder that is missing, has no class folders, or has empty ones.
    """
    children = _children(folder)
    classes = [path for path in children if path.is_dir() and not walk.left_out(path.name)]
    if not classes:
        raise UserError(f"{folder} has no folders: expected one for each class, with its images")
    found, empty = [], []
    others: dict[str, list[str]] = {}
    for path in (child for child in children if child not in classes):
        others.setdefault(walk.left_out(path.name) or _BESIDE, []).append(path.name)
    for own in classes:
        inside, rest = find_images(own)
        for reason, paths in rest.items():
            others.setdefault(reason, []).extend(f"{own.name}/{path}" for path in paths)
        for path in inside:
            found.append(ImageFile(f"{prefix}{own.name}/{path}", own.name, own / path))
        if not inside:
            empty.append(printable(own.name))
    if empty:
        folders = counted(len(classes), "class folder", "class folders")
        sentence = f"{len(empty)} of {folders} in {shown(folder)} hold no image: {listed(empty)}"
        if not found:
            raise UserError(sentence)
        findings.permit(sentence)
        findings.notes.append(f"left out: {sentence}")
    _note(others, folder, findings)
    _note_equal_names(folder, found, findings)
    _note_inner_folders(folder, found, findings)
    return found


def read_flat(folder: Path, findings: Findings) -> list[Path]:
    """Find the images in the folder itself; a note counts everything else there.

    Raises UserError for a folder that is missing or has no images.
    """
    inside, others = find_images(folder, deep=False) if folder.is_dir() else ([], {})
    if not inside:
        inner = sum(child.is_dir() for child in _children(folder))
        raise UserError(
            f"{folder} has no images: expected the files there, not in folders of their own "
            f"({counted(inner, 'folder is', 'folders are')} there)"
        )
    _note(others, folder, findings)
    return [folder / name for name in inside]


def find_images(folder: Path, deep: bool = True) -> tuple[list[str], dict[str, list[str]]]:
    """Find the images in a folder, and everything else by reason; see cir.images.walk.

    Links to nothing count as images, so that the check of the images names them.
    """
    found = walk.walk(folder, deep=deep)
    nothing = found.left_out.pop(walk.NOTHING, [])
    return sorted(found.images + nothing), found.left_out


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    return sorted(folder.iterdir())


def require_utf8(names: Collection[str], what: str) -> None:
    """Raise UserError for names that are not in UTF-8; `what` says what they name."""
    strange = [printable(name) for name in names if not _is_utf8(name)]
    if strange:
        raise UserError(
            f"{len(strange)} of {len(names)} {what} are not in UTF-8: {listed(strange)}"
        )


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _note(others: dict[str, list[str]], folder: Path, findings: Findings) -> None:
    """Count by reason what was left out, without the path of the data, as notes are stored."""
    if sentence := walk.told(others):
        findings.notes.append(f"{shown(folder)}: {sentence}")


def _note_equal_names(folder: Path, found: Sequence[ImageFile], findings: Findings) -> None:
    classes: dict[str, dict[str, None]] = {}
    for file in found:
        classes.setdefault(file.path.name, {})[file.label] = None
    equal = {name: own for name, own in classes.items() if len(own) > 1}
    if equal:
        names = listed([f"{name} ({listed(list(own))})" for name, own in equal.items()])
        place, end = shown(folder), "in more than one class and"
        one, many = (
            f"file name in {place} stands {end} is",
            f"file names in {place} stand {end} are",
        )
        findings.notes.append(f"{counted(len(equal), one, many)} kept apart by their ids: {names}")


def _note_inner_folders(folder: Path, found: Sequence[ImageFile], findings: Findings) -> None:
    """Note a tree such as train/<class>/, test/<class>/ whose parts were taken for classes."""
    inner: dict[str, set[str]] = {}
    for file in found:
        below = file.path.relative_to(folder / file.label).parts[:-1]
        inner.setdefault(file.label, set()).add(below[0] if below else "")
    common = set.intersection(*inner.values()) if len(inner) > 1 else set()
    if len(common) > 1 and all("" not in names for names in inner.values()):
        findings.notes.append(
            f"all {len(inner)} classes of {shown(folder)} ({listed(list(inner))}) hold the same "
            f"folders ({listed(sorted(common))}): are those the classes?"
        )


def shown(folder: Path) -> str:
    """Return the folder's name, because notes are stored and must not tell the path of the data."""
    return folder.name or "the root"


def checked(
    pools: Mapping[str, Sequence[ImageFile]], workers: int, findings: Findings
) -> dict[str, Images]:
    """Decode every image once and return the images of each pool with the SHA-256 of their files.

    Raises UserError for names that are not in UTF-8, and for images that cannot be decoded unless
    unusable data are left out.
    """
    paths = {file.id: file.path for own in pools.values() for file in own}
    assert len(paths) == sum(map(len, pools.values())), "ids of files come twice"
    require_utf8(paths, "file names")
    contents = _contents(paths, workers, findings)
    return {
        pool: tuple(
            LabelledImage(file.id, file.label, contents[file.id])
            for file in own
            if file.id in contents
        )
        for pool, own in pools.items()
    }


def _contents(paths: Mapping[str, Path], workers: int, findings: Findings) -> dict[str, str]:
    contents, problems = image_files.read_all(paths, workers)
    if problems:
        findings.permit(image_files.told(problems, len(paths)))
        findings.left_out["unreadable images"] += len(problems)
        # Reasons are left out because they may tell the path of the data.
        findings.notes.append(
            f"left out: {len(problems)} of {counted(len(paths), 'image', 'images')} cannot be "
            f"used: {listed(list(problems))}"
        )
    return contents


def stored(pools: Mapping[str, Sequence[ImageFile]], max_side: int) -> Rows:
    """Return a function that makes rows of files, with larger images shrunk to `max_side`."""
    paths = {file.id: file.path for own in pools.values() for file in own}

    def rows(chosen: Sequence[LabelledImage]) -> Iterator[Row]:
        for image in chosen:
            encoded = image_files.stored(paths[image.id], image.id, max_side)
            yield image.id, encoded, (image.label,)

    return rows
