"""Read a user's images with captions by people, which serve as queries for their images.

    captions.jsonl     {"image": "a.jpg", "captions": ["...", ...]} a line, or
    captions.csv       image,caption: a row for each caption

The images lie beside the file or in `images/` there. Images without a caption go to training, where
a captioner may describe them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import FileNames
from cir.core.progress import say
from cir.core.tables import printable, read_json_lines, read_table, strings
from cir.images import image_files, walk
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
    described, paths = find(root, params.captions)
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


def find(root: Path, captions: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Return the captions of each captioned image, and the path of every image, by file name.

    Images in inner folders count if they have a caption. What else lies in the folder is counted
    on the screen. Raises UserError for a file or folder that is missing or malformed, and for
    captions of images that do not exist.
    """
    if not root.is_dir() and not root.is_absolute():
        raise UserError(f"{root} is no folder of images{files.looked_in(root)}")
    described = read(root / captions)
    if not root.is_dir():
        raise UserError(f"{root} is no folder of images")
    inner = "images" if (root / "images").is_dir() else ""
    folder = root / inner
    there = walk.walk(folder, known=(str(captions), "images"))
    names = FileNames(there.images, folder=inner)
    absent = [printable(name[:80]) for name in described if len(names.find(name)) != 1]
    if absent:
        raise UserError(
            f"{len(absent)} of {len(described)} captioned images are not in {folder}: "
            + listed(absent)
        )
    by_file: dict[str, list[str]] = {}
    for name, texts in described.items():
        by_file.setdefault(names.find(name)[0], []).extend(texts)
    for name in there.images:
        if "/" in name and name not in by_file:
            there.leave_out("in inner folders without a caption", name)
    if sentence := there.sentence():
        say(f"{folder}: {sentence}")
    kept = sorted(name for name in there.images if "/" not in name or name in by_file)
    return by_file, {name: folder / name for name in kept}


def read(path: Path) -> dict[str, list[str]]:
    """Read the captions of each image.

    Raises UserError for a file that is missing, malformed, or without captions.
    """
    if path.suffix.lower() == ".jsonl":
        lines = read_json_lines(path, _captions, '{"image": name, "captions": [sentence, ...]}')
        pairs = [(image, text) for image, texts in lines for text in texts]
    else:
        rows = read_table(path, ("image", "caption"), strip=False)
        pairs = [(row["image"], row["caption"]) for row in rows]
    told = [(image, " ".join(text.split())) for image, text in pairs]
    captions: dict[str, list[str]] = {}
    for image, text in told:
        if text:
            captions.setdefault(image, []).append(text)
    if not captions:
        raise UserError(f"{path} holds no caption")
    if empty := [printable(image) for image, text in told if not text]:
        say(f"{path}: {len(empty)} of {len(told)} captions are empty and left out: {listed(empty)}")
    if repeated := [printable(image) for (image, _), n in Counter(told).items() if n > 1]:
        say(
            f"{path}: images have the same caption several times, and it counts each time: "
            f"{listed(repeated)}"
        )
    return captions


def _captions(entry: Any) -> tuple[str, tuple[str, ...]]:
    (image,) = strings([entry["image"]])
    return image, strings(entry["captions"])


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
