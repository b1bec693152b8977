"""Check the layout of a dataset's folder, and read its JSON annotations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError

# By title: patterns of files in a root of that layout; one match tells it from other layouts.
SIGNS = {
    "MIT-States": ("images/* *",),
    "Fashion200k": ("labels/*train*.txt", "labels/*test*.txt", "test_queries.txt"),
    "FashionIQ": tuple(f"captions/cap.{name}.*.json" for name in ("dress", "shirt", "toptee")),
    "CIRR": ("cirr/captions/cap.rc2.*.json", "cirr/image_splits/split.rc2.*.json"),
    "CIRCO": ("annotations/val.json", "annotations/test.json", "COCO2017_unlabeled"),
}


class MissingError(UserError):
    """Files that a part of a dataset needs do not exist; the others may be in order."""


def require_layout(root: Path, title: str) -> None:
    """Raise UserError unless `root` has the layout of `title`; it names the layout it resembles."""
    if not root.is_dir():
        hint = files.looked_in(root)
        raise UserError(f"{root} is not a folder: expected the root of {title}{hint}")
    if _has_layout(root, title):
        return
    near = [*(child for child in sorted(root.iterdir()) if child.is_dir()), root.absolute().parent]
    better = next((place for place in near if _has_layout(place, title)), None)
    others = [other for other in SIGNS if other != title and _has_layout(root, other)]
    hint = f"; it looks like {others[0]}" if others else ""
    hint = f"; {better} has them: pass this folder" if better else hint
    signs = SIGNS[title]
    wanted = f"any of {', '.join(signs)}" if len(signs) > 1 else signs[0]
    raise UserError(f"{root} does not have the layout of {title}: expected {wanted} there{hint}")


def _has_layout(root: Path, title: str) -> bool:
    return any(next(root.glob(sign), None) is not None for sign in SIGNS[title])


def read_json(path: Path) -> Any:
    """Read JSON. Raises MissingError if there is no such file, and UserError if it is not JSON.

    The error gives the file's size, as a download may have been cut off.
    """
    try:
        return files.read_json(path)
    except UserError as error:
        if not path.exists():
            raise MissingError(str(error)) from None
        if not path.is_file():
            raise
        raise UserError(f"{error}; it has {path.stat().st_size:,} bytes: is it whole?") from None


def read_entries(path: Path, keys: Mapping[str, Callable[[Any], bool]]) -> list[dict]:
    """Read a JSON list of objects, each with all `keys`, whose values pass the key's test.

    Raises UserError with the number of entries that fail, and the first of them.
    """
    content = read_json(path)
    if not isinstance(content, list) or not content:
        got = "an empty list" if content == [] else f"a JSON {type(content).__name__}"
        raise UserError(f"{path}: expected a list of entries, got {got}")
    lacks = {number: _first_wrong(entry, keys) for number, entry in enumerate(content)}
    which = [f"entry {number} ({key})" for number, key in lacks.items() if key]
    if which:
        raise UserError(
            f"{path}: {len(which)} of {len(content)} entries lack a value or have one of another "
            f"form: {listed(which)}"
        )
    return content


def _first_wrong(entry: Any, keys: Mapping[str, Callable[[Any], bool]]) -> str | None:
    if not isinstance(entry, dict):
        return "no object"
    return next((key for key, fine in keys.items() if not fine(entry.get(key))), None)


def is_text(value: Any) -> bool:
    """Tell whether the value is a string."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """Tell whether the value is a string that is not empty."""
    return isinstance(value, str) and bool(value)


def is_whole(value: Any) -> bool:
    """Tell whether the value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def list_of(test: Callable[[Any], bool], count: int | None = None) -> Callable[[Any], bool]:
    """Return a test for lists whose items pass `test`: `count` items, or at least one."""

    def passes(value: Any) -> bool:
        right = isinstance(value, list) and (len(value) == count if count else bool(value))
        return right and all(test(item) for item in value)

    return passes
