"""Read a folder in the contest's format: data.csv (query_image, query_text, target_image), images.

    root/data.csv                            one folder, divided by shares, or
    root/train/data.csv, root/test/data.csv  (root/val/data.csv if there is one)

The images are beside data.csv, or in `images/` beside it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cir.core import files
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.file_names import FileNames, is_file
from cir.core.records import Triplet
from cir.core.tables import Row, leads_out, printable, read_table
from cir.datasets.params import ContestData
from cir.edits.reading.templates import Template
from cir.images import image_files, walk
from cir.images import splitting as split
from cir.images.splitting import Split

COLUMNS = ("query_image", "query_text", "target_image")
_NEAR = 0.05  # a share that is missed by more is told


@dataclass(frozen=True)
class Queries:
    """The queries of one data.csv, and the paths of their images.

    Attributes:
        triplets: the queries; an image file has one name, the first that data.csv gives it.
        paths: the image files by these names.
        unnamed: number of images in the folder that no query uses.
        left_out: number of other entries of the folder, by reason; see cir.images.walk.
    """

    triplets: tuple[Triplet, ...]
    paths: Mapping[str, Path]
    unnamed: int
    left_out: Counter[str]

    def rows(self, max_side: int) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
        """Yield rows for `shards.write`; images with a side above `max_side` pixels are reduced."""
        for name, path in self.paths.items():
            yield name, image_files.stored(path, name, max_side), ()


def read(folder: Path, blank_sentences: bool = False) -> Queries:
    """Read data.csv and check that each image in it exists; no image is decoded.

    What a table may look like, see cir.core.tables. Blank sentences are allowed if
    `blank_sentences` says so. Raises one UserError with all errors of the file. Rows are counted as
    in a spreadsheet: the header is row 1.
    """
    path = folder / "data.csv"
    rows = read_table(path, COLUMNS)
    if not rows:
        raise UserError(f"{path} has a header but no rows")
    inner = "images" if (folder / "images").is_dir() else ""
    image_folder = folder / inner
    optional = ("query_text",) if blank_sentences else ()
    problems = _blank_values(rows, [column for column in COLUMNS if column not in optional])
    there = walk.walk(image_folder, known=("data.csv", "images"))
    names = FileNames(there.images, folder=inner)
    paths: dict[str, Path] = {}
    absent: dict[str, int] = {}
    for row in rows:
        for name in filter(None, (row["query_image"], row["target_image"])):
            found = _find(image_folder, names, name)
            if found is None:
                absent.setdefault(name, row.number)
            else:
                paths[name] = found
    if absent:
        problems += _told_absent(absent, len(paths), rows, image_folder, names)
    if problems:
        raise UserError(f"{path}: " + "; ".join(problems))
    first: dict[Path, str] = {}
    for name, found in paths.items():
        first.setdefault(found, name)
    triplets = tuple(
        Triplet(
            f"row-{row.number:05d}",
            first[paths[row["query_image"]]],
            row["query_text"],
            first[paths[row["target_image"]]],
        )
        for row in rows
    )
    used = set(first)
    unnamed = sum(image_folder / name not in used for name in there.images)
    left_out = Counter(
        reason
        for reason, own in there.left_out.items()
        for name in own
        if image_folder / name not in used
    )
    return Queries(triplets, {name: found for found, name in first.items()}, unnamed, left_out)


def _told_absent(
    absent: Mapping[str, int],
    found: int,
    rows: Sequence[Row],
    folder: Path,
    names: FileNames,
) -> list[str]:
    """Say which images are not there, and whether another column holds the names of images."""
    where = listed([f"{printable(name[:80])} of row {n}" for name, n in absent.items()])
    said = [f"{len(absent)} of {len(absent) + found} images are not in {folder}: {where}"]
    named = sum(_find(folder, names, row["query_text"]) is not None for row in rows)
    if named > len(rows) / 2:
        said.append(
            f"query_text names images in {named} of {len(rows)} rows: are the columns exchanged?"
        )
    return said


def _blank_values(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    problems = []
    for column in columns:
        blank = [row.number for row in rows if not row[column]]
        if blank:
            problems.append(
                f"{column} is empty in {len(blank)} of {len(rows)} rows: {listed(blank)}"
            )
    return problems


def _find(folder: Path, names: FileNames, name: str) -> Path | None:
    """Return the file that a table calls `name`; names that lead out of the folder have none."""
    if not name or leads_out(name):
        return None
    if is_file(folder / name):
        return folder / name
    alike = names.find(name)
    return folder / alike[0] if len(alike) == 1 else None


def load(
    data: ContestData, sentences: Mapping[str, Sequence[Template]], seed: int
) -> dict[str, Split]:
    """Read the splits train, val and test from a folder, and decode every image once.

    One folder is divided by the shares in `data.split` so that no image is in two splits. Queries
    whose images are in two splits are lost; `info` counts them. With train/ and test/ but no val/,
    val is divided from train in the same way. Two images with equal content count as one image.
    The queries have texts of their own, so `sentences` is not used.

    Raises UserError for what `read` refuses, for images that cannot be decoded, and where a part
    is left without a query.
    """
    given = {name: read(folder) for name, folder in _folders(data.root).items()}
    workers = data.processes()
    digests = {name: image_files.check(part.paths, workers) for name, part in given.items()}
    info: dict = {
        "source": "contest",
        "given": list(given),
        "images_without_query": sum(part.unnamed for part in given.values()),
        "left_out": dict(sum((part.left_out for part in given.values()), Counter())),
    }
    if "test" in given:
        training = set(digests["train"].values()) | set(digests.get("val", {}).values())
        info["test_images_also_in_training"] = len(training & set(digests["test"].values()))
    if "val" not in given:
        parted = {
            name: share
            for name, share in data.split.shares().items()
            if name not in given or name == "train"
        }
        whole = given["train"]
        parts = _divide(whole, digests["train"], parted, seed)
        given = {**given, **parts}
        kept = sum(len(part.triplets) for part in parts.values())
        info["queries"] = len(whole.triplets)
        info["asked_and_kept"] = {
            name: (round(share / sum(parted.values()), 3), len(parts[name].triplets))
            for name, share in parted.items()
        }
        info["queries_lost_between_parts"] = len(whole.triplets) - kept
    info["repeated_queries"] = sum(map(_repeated, given.values()))
    info["targets_with_copies"] = {
        name: with_copies(given[name].triplets, given[name].paths) for name in split.SPLITS
    }
    return {
        name: Split(len(part.paths), part.rows(data.max_side), part.triplets, info)
        for name, part in ((name, given[name]) for name in split.SPLITS)
    }


def _repeated(part: Queries) -> int:
    """Count the queries that say the same as an earlier one, image for image and word for word."""
    return len(part.triplets) - len({(t.reference, t.text, t.target) for t in part.triplets})


def with_copies(triplets: Sequence[Triplet], gallery: Mapping[str, Path]) -> int:
    """Count the queries whose target lies in the gallery under a second name too."""
    sizes = {name: path.stat().st_size for name, path in gallery.items()}
    several = {size for size, count in Counter(sizes.values()).items() if count > 1}
    contents = {
        name: files.file_digest(path) for name, path in gallery.items() if sizes[name] in several
    }
    copies = Counter(contents.values())
    return sum(copies[contents.get(t.target)] > 1 for t in triplets)


def copies_told(count: int, gallery: str) -> str:
    """Say that targets have copies, and what this does to the score."""
    return (
        f"the target of {count:,} queries of {gallery} lies there under a second name too: as ties "
        "count against a query, these cannot be right at first place"
    )


def _folders(root: Path) -> dict[str, Path]:
    """Find the folders with a data.csv, by split; a single folder becomes "train"."""
    if not root.is_dir():
        raise UserError(f"data.root is not a folder: {root}{files.looked_in(root)}")
    if (root / "data.csv").is_file():
        return {"train": root}
    found = {name: root / name for name in split.SPLITS if (root / name / "data.csv").is_file()}
    if not {"train", "test"} <= set(found):
        raise UserError(
            f"{root} has no queries: expected data.csv there, or train/data.csv and test/data.csv"
        )
    return found


def _divide(
    whole: Queries, digests: Mapping[str, str], shares: Mapping[str, float], seed: int
) -> dict[str, Queries]:
    links = [(digests[t.reference], digests[t.target]) for t in whole.triplets]
    total = sum(shares.values())
    part_of = split.by_links(links, {name: share / total for name, share in shares.items()}, seed)
    parts = {}
    for part in shares:
        paths = {n: path for n, path in whole.paths.items() if part_of[digests[n]] == part}
        kept = tuple(t for t in whole.triplets if t.reference in paths and t.target in paths)
        if not kept:
            apart = max(n for n in range(len(shares)) if len(split.links_apart(links, n)) == n)
            raise UserError(
                f"{len(whole.triplets)} queries with {len(whole.paths)} images leave none for "
                f"{part}: no image may be in two parts, and at most {apart} of these queries have "
                f"no image in common, fewer than the {len(shares)} parts {', '.join(shares)}: give "
                "train/ and test/ folders instead"
            )
        parts[part] = replace(whole, triplets=kept, paths=paths)
    return parts


def remarks(info: Mapping) -> list[str]:
    """Write sentences about queries and images that were lost or are in several splits."""
    said = []
    if lost := info.get("queries_lost_between_parts"):
        said.append(
            f"{lost:,} of {info['queries']:,} queries are left out: their two images are in "
            "different parts, and no image may be in two"
        )
    parts = info.get("asked_and_kept", {})
    shares, counts = [share for share, _ in parts.values()], [own for _, own in parts.values()]
    kept = sum(counts)
    if not split.met(counts, shares, _NEAR):
        given = ", ".join(f"{name} {own / kept:.0%}" for name, (_, own) in parts.items())
        asked = ", ".join(f"{name} {share:.0%}" for name, (share, _) in parts.items())
        said.append(
            f"the queries are divided as {given}, not as {asked}: many of them hang together by "
            "common images, and no image may be in two parts"
        )
    if shared := info.get("test_images_also_in_training"):
        said.append(
            f"{shared:,} images of test/ are also in train/ or val/: the scores will be too high"
        )
    if repeated := info.get("repeated_queries"):
        said.append(f"{repeated:,} queries repeat an earlier one, and count each time")
    for part, count in info.get("targets_with_copies", {}).items():
        if count:
            said.append(copies_told(count, part))
    if unnamed := info["images_without_query"]:
        said.append(f"{unnamed:,} images are left out: no query uses them")
    if left_out := info.get("left_out"):
        counts = [f"{count:,} {reason}" for reason, count in sorted(left_out.items())]
        said.append(f"left out: {'; '.join(counts)}")
    return said
