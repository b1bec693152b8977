"""Write the images of a folder, of tar files or of a list as shards, in parallel and resumable.

WebDataset keeps the files of a sample beside each other in a tar file: 000001.jpg, 000001.txt.
img2dataset writes such tar files, or folders 00000, 00001 and so on with files of these names. Of
both, the images are taken; their captions and JSON files are left out.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path

from cir.core import files
from cir.core.errors import UserError, reason_of
from cir.core.progress import progress
from cir.core.tables import printable
from cir.datasets.folder import LARGEST
from cir.images import decoding, shards, walk

IMAGES_PER_SHARD = 5_000
BYTES_PER_SHARD = 256 << 20
_TAR, _INFO = ".tar", "info.json"


@dataclass(frozen=True)
class Member:
    """An image that has been found and not read.

    Attributes:
        name: its id in the shards.
        file: the path of its file, or of the tar file that holds it.
        bytes: its size.
        changed: when the file was changed, in seconds since 1970.
        start: where it begins in the tar file; None for a file of its own.
    """

    name: str
    file: str
    bytes: int
    changed: float
    start: int | None = None


@dataclass
class Found:
    """What a source holds: `members`, why others are `bad`, and what else was `left_out`."""

    members: list[Member] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    left_out: str | None = None


@dataclass(frozen=True)
class Report:
    """The result: the numbers of images and of files, and a sentence for each bad image."""

    images: int
    files: int
    bad: tuple[str, ...]
    left_out: str | None


def write_shards(
    source: Path,
    out: Path,
    images_per_shard: int = IMAGES_PER_SHARD,
    bytes_per_shard: int = BYTES_PER_SHARD,
    workers: int = 0,
) -> Report:
    """Write the images of a source as shards to `out`, which appears whole at the end.

    Every image is decoded once; the bad ones are named and left out. Finished shards wait in a
    hidden folder beside `out`, under the fingerprint of the list of images, so that a stopped run
    goes on there.

    Args:
        source: a folder of images or of tar files, a tar file, or a text file with the path of an
            image or a tar file on each line, from its own folder.
        out: the folder for the shards; shards that are there are replaced. Its info.json has the
            counts and the bad images.
        images_per_shard, bytes_per_shard: the most that a shard holds; one image may be larger.
        workers: the number of processes; 0 starts one per core.

    Raises:
        UserError: the source is missing or holds no good image, or `out` holds anything but shards.
    """
    _require_own(out)
    found = find(source)
    plan = _divided(found.members, images_per_shard, bytes_per_shard)
    same = [images_per_shard, bytes_per_shard, *map(asdict, found.members)]
    work = out.parent / f".{out.name}.{files.fingerprint(same)}.shards"
    with files.exclusive(out, work):
        work.mkdir(exist_ok=True)
        bad = _write_missing(plan, work, workers)
        total = len(found.members) - len(bad)
        if not total:
            shutil.rmtree(work)
            raise UserError(_nothing(source, [*found.bad, *bad], found.left_out))
        for note in work.glob("*.json"):
            note.unlink()
        bad = [*found.bad, *bad]
        info = {"source": printable(os.fspath(source)), "images": total, "bad": bad}
        files.write_json(work / _INFO, info)
        with files.whole_folder(out) as unfinished:
            unfinished.rmdir()
            work.rename(unfinished)
    return Report(total, len(list(out.glob("images-*"))), tuple(bad), found.left_out)


def find(source: Path) -> Found:
    """List the images of a source, in order, without reading them."""
    if source.is_dir():
        return _in_folder(source)
    if not source.is_file():
        raise UserError(f"{printable(os.fspath(source))} is neither a folder nor a file")
    if source.suffix == _TAR:
        found = Found()
        _add_tar(source.parent, source.name, found)
        return found
    return _in_list(source)


def _require_own(out: Path) -> None:
    """Raise UserError if the folder holds files that are no shards, which would be lost."""
    if not out.is_dir():
        return
    others = [p.name for p in out.iterdir() if p.name != _INFO and not p.match("images-*.parquet")]
    if others:
        raise UserError(
            f"{out} holds other files than shards, such as {printable(min(others))}: name another "
            "folder with --out"
        )


def _in_folder(folder: Path) -> Found:
    paths = (path.relative_to(folder) for path in folder.rglob(f"*{_TAR}") if path.is_file())
    tars = sorted(p.as_posix() for p in paths if not any(map(walk.left_out, p.parts)))
    walked = walk.walk(folder, "none", known=tars)
    found = Found(left_out=walked.sentence())
    for name in walked.images:
        _add_file(folder, name, found)
    for name in tars:
        _add_tar(folder, name, found)
    return found


def _in_list(path: Path) -> Found:
    found = Found()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a list of files, one path on each line: {reason_of(error)}"
        ) from None
    for name in dict.fromkeys(line.strip() for line in lines if line.strip()):
        (_add_tar if name.endswith(_TAR) else _add_file)(path.parent, name, found)
    return found


def _add_file(folder: Path, name: str, found: Found) -> None:
    try:
        status = (folder / name).stat()
    except OSError as error:
        found.bad.append(f"{printable(name)} cannot be read: {error.strerror}")
    else:
        place = os.fspath(folder / name), status.st_size, status.st_mtime
        found.members.append(Member(name, *place))


def _add_tar(folder: Path, name: str, found: Found) -> None:
    """Add the images of a tar file; those before a damaged place count."""
    path, seen = folder / name, set()
    try:
        changed = path.stat().st_mtime
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                inside = member.name.removeprefix("./")
                hidden = any(map(walk.left_out, inside.split("/")))
                if not member.isreg() or hidden or not walk.is_image_name(inside):
                    continue
                if inside in seen:
                    found.bad.append(f"{printable(name)} holds {printable(inside)} twice")
                    continue
                seen.add(inside)
                place = os.fspath(path), member.size, changed, member.offset_data
                found.members.append(Member(f"{name}/{inside}", *place))
    except (tarfile.TarError, OSError) as error:
        found.bad.append(f"{printable(name)} is not a whole tar file: {reason_of(error)}")


def _divided(members: Sequence[Member], most: int, most_bytes: int) -> list[list[Member]]:
    """Divide the images, in order, into shards of at most so many images and bytes."""
    plan: list[list[Member]] = []
    size = 0
    for member in members:
        if not plan or len(plan[-1]) == most or size + member.bytes > most_bytes:
            plan.append([])
            size = 0
        plan[-1].append(member)
        size += member.bytes
    return plan


def _write_missing(plan: Sequence[Sequence[Member]], work: Path, workers: int) -> list[str]:
    """Write the shards that are not there yet, and return a sentence for every bad image."""
    notes = [work / f"{shards.file_name(number)}.json" for number in range(len(plan))]
    todo = [number for number, note in enumerate(notes) if not note.is_file()]
    if todo:
        with ProcessPoolExecutor(workers or os.cpu_count(), get_context("spawn")) as pool:
            started = [pool.submit(_write_shard, plan[n], work, n, notes[n]) for n in todo]
            try:
                images = sum(len(plan[number]) for number in todo)
                done = (future.result() for future in as_completed(started))
                for _ in progress(done, images, "writing shards", "images", units_in=int):
                    pass
            except BrokenProcessPool:
                raise UserError(
                    "a process that wrote shards was killed, as a system does that runs out of "
                    "memory; run again with fewer --workers, and finished shards are kept"
                ) from None
            finally:
                for future in started:
                    future.cancel()
    return [sentence for note in notes for sentence in files.read_json(note)]


def _write_shard(members: Sequence[Member], work: Path, number: int, note: Path) -> int:
    """Write a shard, then its bad images, whose file marks it as finished."""
    bad: list[str] = []
    rows = _good(members, bad)
    first = list(islice(rows, 1))
    if first:
        shards.write_file(work / shards.file_name(number), chain(first, rows))
    files.write_json(note, bad)
    return len(members)


def _good(members: Sequence[Member], bad: list[str]) -> Iterator[shards.Row]:
    """Yield the rows of the images that can be decoded, and note the others."""
    for member in members:
        name = printable(member.name)
        try:
            member.name.encode()
            data = _read(member)
            decoding.decode(data, name, least_side=1)  # a JPEG at an eighth, which is enough to try
        except UserError as error:
            bad.append(str(error))
        except UnicodeEncodeError:
            bad.append(f"{name} has a name that is not UTF-8")
        except OSError as error:
            bad.append(f"{name} cannot be read: {error.strerror}")
        else:
            yield member.name, data, ()


def _read(member: Member) -> bytes:
    if member.bytes > LARGEST:
        raise UserError(f"{member.name} is larger than {LARGEST >> 20} MiB")
    with Path(member.file).open("rb") as file:
        file.seek(member.start or 0)
        data = file.read(member.bytes)
    if len(data) < member.bytes:
        raise UserError(f"{member.name} ends after {len(data):,} of {member.bytes:,} bytes")
    return data


def _nothing(source: Path, bad: Sequence[str], left_out: str | None) -> str:
    reasons = [*bad[:3], *([left_out] if left_out else [])]
    return f"there is no good image in {printable(os.fspath(source))}" + "".join(
        f"; {reason}" for reason in reasons
    )
