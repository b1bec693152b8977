"""Read a user's images with captions by people, which serve as queries for their images.

    captions.jsonl     {"image": "a.jpg", "captions": ["...", ...]} a line, or
    captions.csv       image,caption: a row for each caption

The images lie beside the file or in `images/` there. Images without a caption go to training, where
a captioner may describe them.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cir.core.english import listed
from cir.core.errors import UserError
from cir.images import image_files
from cir.images.splitting import by_share
from cir.text_search.data.params import CaptionedFolder
from cir.text_search.data.queries import TextQuery, TextSplit

KIND, GRADE = "caption", 4  # only an image and its copies answer its caption


def load(params: CaptionedFolder, seed: int) -> dict[str, TextSplit]:
    """Divide the images into train, val and test, each with its captions.

    Raises UserError for missing files, for images that cannot be decoded, and for captions of
    images that do not exist.
    """
    root, shares = params.root, params.shares()
    described = read(root / params.captions)
    if not root.is_dir():
        raise UserError(f"{root} is no folder of images")
    folder = root / "images" if (root / "images").is_dir() else root
    paths = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in image_files.SUFFIXES
    }
    absent = [name for name in described if name not in paths]
    if absent:
        raise UserError(
            f"{len(absent)} of {len(described)} captioned images are not in {folder}: "
            + listed(absent)
        )
    content = image_files.check(paths, params.processes())
    part_of = by_share(sorted({content[name] for name in described}), shares, seed)
    parts: dict[str, list[str]] = {part: [] for part in shares}
    for name in paths:  # copies of an image stay together
        parts[part_of.get(content[name], "train")].append(name)
    return {
        part: _split(
            part, {name: paths[name] for name in names}, described, content, params.max_side
        )
        for part, names in parts.items()
    }


def read(path: Path) -> dict[str, list[str]]:
    """Read the captions of each image.

    Raises UserError for a file that is missing, malformed, or without captions.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not the file that holds the captions of the images")
    if not path.is_file():
        raise UserError(f"{path} does not exist: it should hold the captions of the images")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            pairs = _lines(file, path) if path.suffix.lower() == ".jsonl" else _rows(file, path)
            captions: dict[str, list[str]] = {}
            for image, text in pairs:
                if text.strip():
                    captions.setdefault(image, []).append(" ".join(text.split()))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from None
    if not captions:
        raise UserError(f"{path} holds no caption")
    return captions


def _lines(file, path: Path):
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            image, texts = entry["image"], entry["captions"]
        except (json.JSONDecodeError, KeyError, TypeError):
            image, texts = None, None
        sentences = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        if not isinstance(image, str) or not sentences:
            raise UserError(
                f'{path}, line {number}: expected {{"image": name, "captions": [sentence, ...]}}, '
                f"got {line.strip()[:80]}"
            )
        for text in texts:
            yield image, text


def _rows(file, path: Path):
    rows = csv.DictReader(file)
    try:
        missing = [name for name in ("image", "caption") if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path} has no column {', '.join(missing)}")
        for row in rows:
            if None in row or None in row.values():
                raise UserError(
                    f"{path}, line {rows.line_num}: expected the {len(rows.fieldnames)} values of "
                    f"the header (a text with a comma needs quotes around it)"
                )
            yield row["image"], row["caption"]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file: {error}") from None


def _split(
    part: str,
    paths: Mapping[str, Path],
    described: Mapping[str, Sequence[str]],
    content: Mapping[str, str],
    max_side: int,
) -> TextSplit:
    captions = [(name, text) for name in paths for text in described.get(name, ())]
    if not captions:
        raise UserError(f"{part} has no captioned image: raise its share, or add captions")
    copies: dict[str, list[str]] = {}
    for name in paths:
        copies.setdefault(content[name], []).append(name)
    queries = [
        TextQuery(f"{name}#{number}", text, KIND, dict.fromkeys(copies[content[name]], GRADE))
        for name in paths
        for number, text in enumerate(described.get(name, ()))
    ]
    rows = ((name, image_files.stored(path, name, max_side), ()) for name, path in paths.items())
    return TextSplit(
        len(paths),
        rows,
        captions if part != "test" else [],
        queries if part != "train" else [],
        {"source": "captioned_folder"},
    )
