"""Index the images of a source into a store, and encode only the images that are new."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import torch

from cir.app.calibration import calibrate
from cir.app.stores import IndexedImage, Store, StoreInfo, content_id, open_store
from cir.app.stores.base import GRAPH_FROM
from cir.core.device import DEVICE, in_threads
from cir.core.english import listed as first_few
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.core.tables import printable
from cir.datasets.exif_dates import taken
from cir.datasets.sources import ImageSource, Listed, Problem
from cir.images import decoding as images
from cir.retrieval.ranking import over_ray

if TYPE_CHECKING:
    from cir.app.search_model import SearchModel

Watch = Callable[[int, int], None]  # gets how many files were looked at, and how many there are

_BATCH_BYTES = 64 << 20  # of files in a batch, since several batches wait in memory
_FILES_PER_STEP = 1_000  # after which progress is shown if nothing is new
_WRITTEN_AT_ONCE = 1_000
_LOOK_SECONDS = 2.0  # between two looks at a folder that is watched
_LOOK_SHARE = 10  # a look at a large folder takes at most this part of the time


@dataclass(frozen=True)
class IndexReport:
    """The result of indexing, in images; equal files are one image.

    Attributes:
        indexed: images that were encoded.
        unchanged: images that the store has with the same paths; their tags may have changed.
        moved: images that the store has with other paths; they were not encoded again.
        removed: images that the source does not have any more.
        unreadable: a sentence for each file or folder that could not be read.
    """

    indexed: int
    unchanged: int
    moved: int
    removed: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class _New:
    """A file with content that is not in the store."""

    id: str
    listed: Listed
    data: bytes


@dataclass(frozen=True)
class _Embedded:
    """An encoded batch; `looked_at` counts the files that were read to find its images.

    `failed` maps ids of images that failed to sentences.
    """

    looked_at: int
    images: tuple[IndexedImage, ...]
    vectors: np.ndarray
    failed: Mapping[str, str]


@dataclass
class _Found:
    """What was found in the source so far; the keys are ids of images."""

    places: dict[str, list[Listed]] = field(default_factory=dict)
    taken: dict[str, float | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def index(
    source: ImageSource,
    model: "SearchModel",
    store: Store,
    batch_size: int | None = None,
    workers: int = 0,
    allow_empty: bool = False,
    watch: Watch = lambda looked_at, total: None,
    optimise: bool = True,
) -> IndexReport:
    """Make the store contain exactly the images of the source.

    Every file is read and identified by its content. The store keeps images that it has, with
    their new paths; new images are encoded and written batch by batch, so that a killed run loses
    only a few batches; images that are gone are removed at the end. Images that exist but cannot
    be read now stay in the store.

    Args:
        source: gives the images.
        model: encodes the images; the store must have been opened for this model.
        store: the store to update.
        batch_size: the number of images that are encoded at once; None takes the model's own.
        workers: the number of threads, each with one batch; 0 stands for torch's number.
        allow_empty: empty the store if the source is empty.
        watch: gets the number of files that were looked at, and of all files, again and again.
            An error that it raises ends the run; what was written stays.
        optimise: build the graph of a large store at the end, which stops all other threads.

    Raises:
        UserError: the source is empty, as it is when a disk is not mounted; the source cannot be
            read; or the store fails.
    """
    batch_size = model.batch_size if batch_size is None else batch_size
    assert batch_size > 0
    known = {image.id: image for image in store.images()}
    listed = list(source.listed())
    if not listed and not allow_empty:
        raise _empty(source, len(known))
    found = _Found(problems=list(source.problems))
    batches = _batches(source, listed, known, found, batch_size)
    done = (
        _embedded_on_ray(model, batches, workers, lambda text: steps.note(text))
        if over_ray.asked()
        else in_threads(lambda batch: _embed(model, *batch), batches, workers)
    )
    written: dict[str, IndexedImage] = {}
    looked_at = 0
    steps = progress(done, len(listed), "indexing", "images", units_in=lambda step: step.looked_at)
    for step in steps:
        store.upsert(step.images, step.vectors)
        written |= {image.id: image for image in step.images}
        found.failed |= step.failed
        looked_at += step.looked_at
        watch(looked_at, len(listed))
    report = _settle(store, known, written, found)
    if optimise:
        if len(known) + len(written) - report.removed >= GRAPH_FROM:
            say("optimising the store, which may take minutes and cannot be interrupted")
        store.optimise()
    return report


def changes(
    source: Callable[[], ImageSource], stopping: Event, seconds: float = _LOOK_SECONDS
) -> Iterator[None]:
    """Yield at once, and then whenever files have come, gone or changed, until `stopping` is set.

    Files that are being copied are waited for: two looks in a row have to find the same. A folder
    that is away, as on a disk that is not mounted, has not changed.
    """
    indexed = before = _look(source)
    yield
    while True:
        started = time.monotonic()
        now = _look(source)
        if now is not None and now != indexed and now == before:
            yield
            indexed = now
        before = now
        took = time.monotonic() - started
        if stopping.wait(max(seconds, _LOOK_SHARE * took)):
            return


def _look(source: Callable[[], ImageSource]) -> frozenset[tuple[str, int, float]] | None:
    """Return the files of a source with their sizes and dates, or None if it is away."""
    try:
        return frozenset((one.path, one.bytes, one.date) for one in source().listed())
    except UserError:
        return None


@contextmanager
def indexed_store(
    place: str,
    source: ImageSource,
    model: "SearchModel",
    batch_size: int | None = None,
    allow_empty: bool = False,
    folder: Path | None = None,
    moved: bool = False,
    watch: Watch = lambda looked_at, total: None,
) -> Iterator[tuple[Store, IndexReport]]:
    """Open the store at `place`, index the source into it, and report files that failed.

    The store notes `folder`, in which the model lies, so that it can be served without naming it.
    With `moved`, the source may be another one than before: images that the store has from there
    are not encoded again. What was left out is counted by reason. The scores are calibrated on what
    the store then holds. Raises UserError as `open_store` and `index` do.
    """
    made_with = "" if folder is None else str(folder.absolute())
    info = StoreInfo(model.fingerprint(), model.dim, source.name, made_with)
    with open_store(place, info, moved) as store:
        report = index(source, model, store, batch_size, allow_empty=allow_empty, watch=watch)
        calibrate(model, store)
        for sentence in report.unreadable:
            say(f"not indexed: {sentence}")
        if source.left_out:
            say(source.left_out)
        yield store, report


def _empty(source: ImageSource, known: int) -> UserError:
    reasons = [*(problem.sentence for problem in source.problems[:3]), source.left_out]
    problems = "".join(f"; {reason}" for reason in reasons if reason)
    if not known:
        return UserError(f"there are no images in {printable(source.name)}{problems}")
    return UserError(
        f"there are no images in {printable(source.name)}, but the store has {known:,} from there: "
        "if a disk is missing, mount it and run again; to remove the images from the store, give "
        f"--allow-empty{problems}"
    )


def _batches(
    source: ImageSource,
    listed: Iterable[Listed],
    known: Mapping[str, IndexedImage],
    found: _Found,
    batch_size: int,
) -> Iterator[tuple[int, list[_New]]]:
    """Read all files, note them in `found`, and yield batches of new ones with the number read."""
    looked_at, new, size = 0, [], 0
    for image in listed:
        looked_at += 1
        try:
            data = source.read(image.path)
        except UserError as error:
            found.problems.append(Problem(image.path, str(error), may_return=True))
            continue
        id = content_id(data)
        places = found.places.setdefault(id, [])
        places.append(image)
        if len(places) == 1 and id not in known:
            new.append(_New(id, image, data))
            size += len(data)
        elif len(places) == 1 and known[id].date != image.date:
            found.taken[id] = taken(data)
        if len(new) == batch_size or size >= _BATCH_BYTES or looked_at >= _FILES_PER_STEP:
            yield looked_at, new
            looked_at, new, size = 0, [], 0
    yield looked_at, new


def _embed(model: "SearchModel", looked_at: int, batch: list[_New]) -> _Embedded:
    """Decode and encode the new files of a batch."""
    found, pixels, failed = [], [], {}
    for new in batch:
        name = printable(new.listed.path)
        try:
            picture = images.decode(new.data, name, least_side=model.least_side)
            pixels.append(model.preprocess(picture))
            size = images.upright_size(new.data, name)
        except UserError as error:
            failed[new.id] = str(error)
        except MemoryError:
            failed[new.id] = f"image {name} needs more memory to decode than there is"
        else:
            found.append(_image(new, size))
    if not found:
        return _Embedded(looked_at, (), np.zeros((0, model.dim), np.float32), failed)
    vectors = model.encode_pixels(np.stack(pixels))
    fine = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3  # false for NaN too
    for image, good in zip(found, fine, strict=True):
        if not good:
            name = printable(image.paths[0])
            failed[image.id] = f"image {name} is encoded as a vector without a direction"
    good = tuple(image for image in found if image.id not in failed)
    return _Embedded(looked_at, good, vectors[fine], failed)


def _embedded_on_ray(
    model: "SearchModel",
    batches: Iterable[tuple[int, list[_New]]],
    workers: int,
    note: Callable[[str], None],
) -> Iterator[_Embedded]:
    """Send the batches to the nodes of a Ray cluster, and yield their images in order.

    The nodes need not see the folder. An actor computes as one thread of this process would.
    """
    threads = torch.get_num_threads()
    work = over_ray.Work(
        _embed_batch,
        lambda batch: f"the images {first_few([printable(new.listed.path) for new in batch[1]])}",
        model,
        on_gpu=DEVICE == "cuda",
        threads=max(1, threads // (workers or threads)),
    )
    waiting: dict[int, _Embedded] = {}
    following = 0
    for number, embedded in over_ray.results(work, batches, note):
        if isinstance(embedded, UserError):
            raise embedded
        waiting[number] = embedded
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _embed_batch(model: "SearchModel", batch: tuple[int, list[_New]]) -> _Embedded:
    return _embed(model, *batch)


def _image(new: _New, size: tuple[int, int]) -> IndexedImage:
    listed, date = new.listed, taken(new.data)
    date = listed.date if date is None else date
    return IndexedImage(new.id, (listed.path,), len(new.data), date, *size, listed.tags or ())


def _settle(
    store: Store,
    known: Mapping[str, IndexedImage],
    written: Mapping[str, IndexedImage],
    found: _Found,
) -> IndexReport:
    """Write changed records, remove images that are gone, and report."""
    away = {problem.path for problem in found.problems if problem.may_return}
    kept = {}  # paths of known images that could not be read this time
    for image in known.values() if away else ():
        paths = [path for path in image.paths if _below_any(path, away)]
        if paths:
            kept[image.id] = paths
    updated, moved = [], 0
    for image in chain(known.values(), written.values()):
        now = _as_found(image, found, kept.get(image.id, ()))
        if now is not None and now != image:
            updated.append(now)
            moved += image.id in known and now.paths != image.paths
    gone = [id for id in known if id not in found.places and id not in kept]
    for start in range(0, len(updated), _WRITTEN_AT_ONCE):
        store.update(updated[start : start + _WRITTEN_AT_ONCE])
    for start in range(0, len(gone), _WRITTEN_AT_ONCE):
        store.delete(gone[start : start + _WRITTEN_AT_ONCE])
    return IndexReport(
        indexed=len(written),
        unchanged=len(known) - moved - len(gone),
        moved=moved,
        removed=len(gone),
        unreadable=_unreadable(found),
    )


def _as_found(image: IndexedImage, found: _Found, kept: Sequence[str]) -> IndexedImage | None:
    """Return the record of an image after what was found; None if it was not found."""
    places = found.places.get(image.id, [])
    paths = tuple(sorted({*kept, *(place.path for place in places)}))
    if not places:
        return replace(image, paths=paths) if paths else None
    date = image.date
    if image.id in found.taken:
        date = places[0].date if found.taken[image.id] is None else found.taken[image.id]
    known = [place.tags for place in places if place.tags is not None]
    tags = tuple(sorted({tag for given in known for tag in given})) if known else image.tags
    return replace(image, paths=paths, date=date, tags=tags)


def _below_any(path: str, folders: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:end]) in folders for end in range(1, len(parts) + 1))


def _unreadable(found: _Found) -> tuple[str, ...]:
    """Return a sentence for each file that failed, in the order of the paths."""
    sentences = [(problem.path, problem.sentence) for problem in found.problems]
    for id, sentence in found.failed.items():
        first, *others = found.places[id]
        sentences.append((first.path, sentence))
        name = printable(first.path)
        for other in others:
            same = f"image {printable(other.path)} has the content of {name}, which failed"
            sentences.append((other.path, same))
    return tuple(sentence for _, sentence in sorted(sentences))
