"""A store brought up to date with the images of a source, as cheaply as their content allows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from cir.app.stores import IndexedImage, Store, StoreInfo, content_id, open_store
from cir.app.stores.base import GRAPH_FROM
from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.core.tables import printable
from cir.datasets.exif_dates import taken
from cir.datasets.sources import ImageSource, Listed, Problem
from cir.images import decoding as images
from cir.retrieval.ranking.embedding import in_threads

if TYPE_CHECKING:
    from cir.app.search_model import SearchModel

_BATCH_BYTES = 64 << 20  # large photographs come in smaller batches: a few wait in memory
_FILES_PER_STEP = 1_000  # of the progress line, where nothing is new
_WRITTEN_AT_ONCE = 1_000


@dataclass(frozen=True)
class IndexReport:
    """What was done, in images: equal files are one.

    Attributes:
        indexed: were embedded.
        unchanged: were there, at the same places (their tags may have changed).
        moved: were there, and have other places now; not embedded again.
        removed: are gone from the source.
        unreadable: a sentence for each file or folder that could not be read.
    """

    indexed: int
    unchanged: int
    moved: int
    removed: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class _New:
    """A file whose content the store does not have."""

    id: str
    listed: Listed
    data: bytes


@dataclass(frozen=True)
class _Batch:
    """New files to embed, and how many files were looked at to find them."""

    looked_at: int
    new: tuple[_New, ...] = ()


@dataclass(frozen=True)
class _Embedded:
    """What came of a batch; `failed` has a sentence by the id of the content."""

    looked_at: int
    images: tuple[IndexedImage, ...]
    vectors: np.ndarray
    failed: Mapping[str, str]


@dataclass
class _Found:
    """What is known of the source so far; ids stand for contents."""

    places: dict[str, list[Listed]] = field(default_factory=dict)
    taken: dict[str, float | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def index(
    source: ImageSource,
    model: "SearchModel",
    store: Store,
    batch_size: int = 64,
    workers: int = 0,
    allow_empty: bool = False,
) -> IndexReport:
    """Make the store hold exactly the images of the source.

    Every file is read and told by its content: what the store has is not embedded again, wherever
    it lies now; what is new is embedded and written batch by batch, so that a run that is killed
    loses a few batches at most and the next one goes on; what is gone is removed at the end. What
    could not be read this time, though it is there, stays in the store.

    Args:
        source: where the images are.
        model: makes their vectors; the store must have been opened for it.
        store: brought up to date.
        batch_size: images encoded at once.
        workers: threads with a batch each; 0 for as many as torch computes with.
        allow_empty: empty the store if the source is empty.

    Raises:
        UserError: the source is empty, which may well be a disk that is not mounted; or it cannot
            be read at all, or the store fails.
    """
    assert batch_size > 0
    known = {image.id: image for image in store.images()}
    listed = list(source.listed())
    if not listed and not allow_empty:
        raise _empty(source, len(known))
    found = _Found(problems=list(source.problems))
    batches = _batches(source, listed, known, found, batch_size)
    done = in_threads(lambda batch: _embed(model, batch), batches, workers)
    written: dict[str, IndexedImage] = {}
    steps = progress(done, len(listed), "indexing", "images", units_in=lambda step: step.looked_at)
    for step in steps:
        store.upsert(step.images, step.vectors)
        written |= {image.id: image for image in step.images}
        found.failed |= step.failed
    report = _settle(store, known, written, found)
    if len(known) + len(written) - report.removed >= GRAPH_FROM:
        say("optimising the store, which may take minutes and cannot be interrupted")
    store.optimise()
    return report


@contextmanager
def indexed_store(
    place: str,
    source: ImageSource,
    model: "SearchModel",
    batch_size: int = 64,
    allow_empty: bool = False,
) -> Iterator[tuple[Store, IndexReport]]:
    """Open the store at `place`, index the source into it, and name the files that failed.

    Raises UserError as `open_store` and `index` do.
    """
    with open_store(place, StoreInfo(model.fingerprint(), model.dim, source.name)) as store:
        report = index(source, model, store, batch_size, allow_empty=allow_empty)
        for sentence in report.unreadable:
            say(f"not indexed: {sentence}")
        yield store, report


def _empty(source: ImageSource, known: int) -> UserError:
    problems = "".join(f"; {problem.sentence}" for problem in source.problems[:3])
    if not known:
        return UserError(f"there are no images in {printable(source.name)}{problems}")
    return UserError(
        f"there are no images in {printable(source.name)}, and the store has {known:,} of there: "
        "if a disk is missing, mount it and run again; if they are to be removed from the store, "
        f"say so with --allow-empty{problems}"
    )


def _batches(
    source: ImageSource,
    listed: Iterable[Listed],
    known: Mapping[str, IndexedImage],
    found: _Found,
    batch_size: int,
) -> Iterator[_Batch]:
    """Read all files, note what they are in `found`, and hand out those that are new."""
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
            yield _Batch(looked_at, tuple(new))
            looked_at, new, size = 0, [], 0
    yield _Batch(looked_at, tuple(new))


def _embed(model: "SearchModel", batch: _Batch) -> _Embedded:
    """Decode and encode the new files of a batch."""
    found, pixels, failed = [], [], {}
    for new in batch.new:
        try:
            picture = images.decode(new.data, printable(new.listed.path))
            seen = model.preprocess(picture)
        except UserError as error:
            failed[new.id] = str(error)
            continue
        except MemoryError:
            name = printable(new.listed.path)
            failed[new.id] = f"image {name} takes more memory to decode than there is"
            continue
        pixels.append(seen)
        found.append(_image(new, picture.size))
    if not found:
        return _Embedded(batch.looked_at, (), np.zeros((0, model.dim), np.float32), failed)
    vectors = model.encode_pixels(np.stack(pixels))
    fine = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3  # so that NaN is not
    for image in (image for image, good in zip(found, fine, strict=True) if not good):
        name = printable(image.paths[0])
        failed[image.id] = f"image {name} gets a vector without a direction from the encoder"
    good = tuple(image for image in found if image.id not in failed)
    return _Embedded(batch.looked_at, good, vectors[fine], failed)


def _image(new: _New, size: tuple[int, int]) -> IndexedImage:
    date = taken(new.data)
    return IndexedImage(
        new.id,
        (new.listed.path,),
        len(new.data),
        new.listed.date if date is None else date,
        *size,
        new.listed.tags or (),
    )


def _settle(
    store: Store,
    known: Mapping[str, IndexedImage],
    written: Mapping[str, IndexedImage],
    found: _Found,
) -> IndexReport:
    """Write what is otherwise by now, remove what is gone, and report."""
    away = {problem.path for problem in found.problems if problem.may_return}
    kept = {}  # paths of known images that could not be looked at
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
    """What an image should be by what was found; None if it was not found at all."""
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
    """A sentence for each place, in the order of the places."""
    sentences = [(problem.path, problem.sentence) for problem in found.problems]
    for id, sentence in found.failed.items():
        first, *others = found.places[id]
        sentences.append((first.path, sentence))
        name = printable(first.path)
        for other in others:
            same = f"image {printable(other.path)} is the same file as {name}, which is no use"
            sentences.append((other.path, same))
    return tuple(sentence for _, sentence in sorted(sentences))
