"""Answer searches; each step of the model and of the store is batched over clients."""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image

from cir.app.arranging import listed, rearranged
from cir.app.batching import Batcher, Worker
from cir.app.calibration import Scale, sample
from cir.app.feedback import mean_direction, rocchio
from cir.app.originals import Originals
from cir.app.reindexing import Reindexing
from cir.app.requests import MAX_REARRANGED, Answer, Box, Search, check, check_text
from cir.app.search_model import SearchModel, TaggedText
from cir.app.settings import Settings
from cir.app.stores.base import Store
from cir.app.stores.records import Filter, Hit
from cir.app.web import uploads
from cir.app.web.faults import BadRequest, Overloaded, Unavailable, of_the_store
from cir.app.web.telemetry import Telemetry
from cir.composers.base import edit_in_words
from cir.core.records import Edit
from cir.datasets.sources import ImageSource

__all__ = ["NO_TAGGER", "Answer", "Search", "SearchService"]

NO_TAGGER = (
    "a change in a sentence needs the tagger, which is missing: train it with dvc repro "
    "train_tagger (about 10 minutes), then start the service again; names to add and to remove "
    "need no tagger"
)

T = TypeVar("T")


# The kind of search, and the arguments of Store.search beside the queries: limit, offset, where and
# least_score.
_Plan = tuple[str, int, int, Filter, float | None]


class SearchService:
    """Answers searches with a model, a store and a source of images.

    Args:
        model, store, source: used for the answers; the caller closes the store.
        settings: the limits and the size of a batch.
        telemetry: is told about every step.
    """

    def __init__(
        self,
        model: SearchModel,
        store: Store,
        source: ImageSource,
        settings: Settings | None = None,
        telemetry: Telemetry | None = None,
    ):
        self.model = model
        self.store = store
        self.settings = settings or Settings()
        self.telemetry = telemetry or Telemetry()
        self.telemetry.watch_index(store.count)
        self.originals = Originals(store, source)
        self.reindexing = Reindexing(model, store, self.originals, self._reindexed)
        self._under_way = 0  # searches
        self._scale = Scale(store)
        self._center: np.ndarray | None = None  # of the vectors of the store
        self._pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "decode")
        self._state = ThreadPoolExecutor(2, "state")
        thinking, looking = Worker("model"), Worker("store")
        self._workers = thinking, looking
        self._tag = self._batcher("tag", model.tag, thinking)
        self._texts = self._batcher("encode_text", model.encode_texts, thinking)
        self._pixels = self._batcher("encode_image", self._encoded, thinking)
        self._compose = self._batcher("compose", self._composed, thinking)
        self._search = self._batcher("search", self._searched, looking)

    def _batcher(self, name: str, step: Callable[[list], Sequence], worker: Worker) -> Batcher:
        return Batcher(step, worker, self.settings.batch_size, partial(self.telemetry.batch, name))

    def close(self) -> None:
        """Finish the requests that have begun, and end the threads."""
        self.reindexing.close()
        for worker in self._workers:
            worker.close()
        for pool in (self._pool, self._state):
            pool.shutdown(cancel_futures=True)

    @property
    def source(self) -> ImageSource:
        """Return the source of the images, as it was when they were indexed last."""
        return self.originals.source

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run slow work that needs no model in a thread; the number of threads is bounded."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(work, *arguments))

    async def of_state(self, look: Callable[..., T], *arguments: object) -> T:
        """Read the state of the service or its store in a thread that decodes no images."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._state, partial(look, *arguments))

    async def tag(self, text: str) -> TaggedText:
        """Return what the tagger reads in a sentence."""
        check_text(text)
        if not text.strip():
            raise BadRequest("there is no text to tag")
        self._require_tagger()
        return await self._timed("tag", self._tag.ask(text), {})

    def require_room(self) -> None:
        """Raise Overloaded while as many searches are under way as are answered at once."""
        if self._under_way >= self.settings.most_searches:
            raise Overloaded(
                f"the service is busy with {self._under_way} searches: try again in a second"
            )

    async def search(self, search: Search) -> Answer:
        """Answer a search, or refuse it at once if too many are under way.

        Raises:
            UserError: the search cannot be answered; errors of `cir.app.web.faults` have an HTTP
                status.
        """
        check(search)
        self.require_room()
        self._under_way += 1
        try:
            return await self._answer(search)
        finally:
            self._under_way -= 1

    async def _answer(self, search: Search) -> Answer:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        tagged, unread, vector = None, "", None
        if search.kind == "composed":
            vector, tagged = await self._composed_query(search, seconds)
        elif search.kind == "image":
            vector = await self._image_query(search, seconds)
        elif search.kind == "text":
            vector = await self._timed("encode", self._texts.ask(search.text), seconds)
            unread = await self.in_thread(self.model.unread, search.text)
        if search.like or search.unlike:
            vector = await self.in_thread(self._fed_back, vector, search)
        hits, hidden = await self._timed("search", self._found(vector, search), seconds)
        seconds["total"] = time.perf_counter() - started
        self.telemetry.step("total", seconds["total"])
        return Answer(
            kind=search.kind,
            hits=tuple(hits[: search.limit]),
            more=len(hits) > search.limit,
            tagged=tagged,
            seconds=seconds,
            unread=unread,
            fits=_fits(hits) if search.offset == 0 and search.sort == "score" else None,
            hidden=hidden,
        )

    async def _found(self, vector: np.ndarray | None, search: Search) -> tuple[Sequence[Hit], int]:
        """Return one hit more than asked for, if there is one, and how many were left out."""
        page = slice(search.offset, search.offset + search.limit + 1)
        if vector is not None and search.sort == "score" and search.duplicates is None:
            return await self._hits(vector, search), 0
        if vector is None:
            hits = await self._of_store(listed, self.store, search)
            if search.duplicates is None:
                return hits[page], 0
        else:
            best = replace(search, offset=0, limit=MAX_REARRANGED, sort="score")
            hits = await self._hits(vector, best)
        hits, hidden = await self._of_store(rearranged, self.store, hits, search)
        return hits[page], hidden

    async def _of_store(self, look: Callable[..., T], *arguments: object) -> T:
        with of_the_store():
            return await self.in_thread(look, *arguments)

    async def _image_query(self, search: Search, seconds: dict[str, float]) -> np.ndarray:
        """Return the mean vector [D] of the images."""
        asked = [
            self._image_vector(search, number, seconds) for number in range(len(search.images))
        ]
        return mean_direction(await asyncio.gather(*asked))

    async def _image_vector(
        self, search: Search, number: int, seconds: dict[str, float]
    ) -> np.ndarray:
        image = search.images[number]
        if isinstance(image, str) and (number or search.box is None):
            return await self._timed(
                "encode", self.in_thread(self.originals.vector, image), seconds
            )
        pixels = await self._timed("decode", self.in_thread(self._read, search, number), seconds)
        return await self._timed("encode", self._pixels.ask(pixels), seconds)

    async def _composed_query(
        self, search: Search, seconds: dict[str, float]
    ) -> tuple[np.ndarray, TaggedText]:
        """Return the vector [D] of the query, and the tagged sentence."""
        given = search.add is not None or search.remove is not None
        if not given:
            self._require_tagger()
        reads = [
            self._timed("decode", self.in_thread(self._read, search, number), seconds)
            for number in range(len(search.images))
        ]
        if given:
            tagged, pixels = TaggedText.given(_given_edit(search)), await asyncio.gather(*reads)
        else:
            tagging = self._timed("tag", self._tag.ask(search.text), seconds)
            tagged, *pixels = await asyncio.gather(tagging, *reads)
        edit = tagged.edit
        if not edit.add and not edit.remove:
            tagged = replace(tagged, words=())
            if search.image_weight == 0:
                raise BadRequest(
                    "there is nothing to search by: the image has weight 0, and nothing is added "
                    "or removed"
                )
        asked = [self._compose.ask((one, edit, search.image_weight)) for one in pixels]
        vectors = await self._timed("encode", asyncio.gather(*asked), seconds)
        return mean_direction(vectors), tagged

    def _fed_back(self, vector: np.ndarray, search: Search) -> np.ndarray:
        """Move a query [D] to the wanted images and away from the unwanted ones."""
        wanted, unwanted = (
            [self.originals.vector(id) for id in ids] for ids in (search.like, search.unlike)
        )
        if self._center is None:
            with of_the_store():
                self._center = sample(self.store).mean(axis=0)
        weights = self.settings.wanted_weight, self.settings.unwanted_weight
        return mean_direction([rocchio(vector, wanted, unwanted, self._center, *weights)])

    def _reindexed(self) -> None:
        self._center = None

    def _require_tagger(self) -> None:
        if not self.model.has_tagger:
            raise Unavailable(NO_TAGGER)

    async def _hits(self, vector: np.ndarray, search: Search) -> Sequence[Hit]:
        """Return one hit more than asked for, if there is one.

        An image that is left out may have any rank, so that the page begins at a known rank only
        if all hits before the page are asked for.
        """
        left_out = search.left_out
        extra = search.offset + len(left_out) + 1 if left_out else 1
        offset = 0 if left_out else search.offset
        plan = (search.kind, search.limit + extra, offset, search.where, search.least_score)
        hits = await self._search.ask((vector, plan))
        if not left_out:
            return hits
        return [hit for hit in hits if hit.image.id not in left_out][search.offset :]

    def _read(self, search: Search, number: int) -> np.ndarray:
        """Return the preprocessed pixels of an image of a search; of the first one, its region."""
        encoded, name = search.images[number], uploads.UPLOAD
        if isinstance(encoded, str):
            found, encoded = self.originals.read(encoded)
            name = found.paths[0]
        most, box = self.settings.max_pixels, None if number else search.box
        if box is None:
            picture = uploads.decode(encoded, most, name, self.model.least_side)
        else:
            picture = _region(uploads.decode(encoded, most, name), box)
        return self.model.preprocess(picture)

    def _encoded(self, pixels: list[np.ndarray]) -> np.ndarray:
        return self.model.encode_pixels(np.stack(pixels))

    def _composed(self, asked: list[tuple[np.ndarray, Edit, float]]) -> np.ndarray:
        pixels, edits, weights = zip(*asked, strict=True)
        return self.model.compose(np.stack(pixels), edits, weights)

    def _searched(self, asked: list[tuple[np.ndarray, _Plan]]) -> list[list[Hit]]:
        places: dict[_Plan, list[int]] = {}
        for place, (_, plan) in enumerate(asked):
            places.setdefault(plan, []).append(place)
        results: list[list[Hit]] = [[] for _ in asked]
        for plan, mine in places.items():
            vectors = np.stack([asked[place][0] for place in mine])
            kind, *how = plan
            with of_the_store():
                found = self.store.search(vectors, *how)
                for place, vector, hits in zip(mine, vectors, found, strict=True):
                    results[place] = self._scale.marked(kind, vector, hits)
        return results

    async def _timed(self, step: str, work: Awaitable[T], seconds: dict[str, float]) -> T:
        started = time.perf_counter()
        result = await work
        seconds[step] = time.perf_counter() - started
        self.telemetry.step(step, seconds[step])
        return result


def _region(picture: Image.Image, box: Box) -> Image.Image:
    """Cut the region of a box out of an image, at least one pixel of it."""
    width, height = picture.size
    left, top = math.floor(box[0] * width), math.floor(box[1] * height)
    right, bottom = math.ceil(box[2] * width), math.ceil(box[3] * height)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _fits(hits: Sequence[Hit]) -> bool | None:
    return hits[0].fit != "unlikely" if hits and hits[0].fit else None


def _given_edit(search: Search) -> Edit:
    """Build the edit of names that a person has given; its text names them too."""
    edit = Edit("", search.add or (), search.remove or ())
    return Edit(edit_in_words(edit), edit.add, edit.remove)
