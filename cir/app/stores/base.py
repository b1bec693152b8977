"""Define the interface of a store, and rank, page and break ties of its hits."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from cir.app.stores.records import (
    ANY,
    Filter,
    Hit,
    IndexedImage,
    StoreInfo,
    from_payload,
    is_id,
    original_text,
)
from cir.core.errors import UserError

# Stores with this many images build a graph (HNSW); smaller ones compare the query with all images.
GRAPH_FROM = 20_000
# Edges of a node, and candidates while the graph is built and searched; speed/vector_stores.py
# measures the effect.
GRAPH_EDGES, GRAPH_CANDIDATES = 16, 100

# A search asks for at least _WINDOW neighbours, so that several pages use one ranking. The graph
# gives up to _LARGEST_WINDOW neighbours; pages further down come from an exact ranking.
_WINDOW, _LARGEST_WINDOW = 128, 1024
_DECIMALS = 6  # of a score; equal vectors may differ in the next decimals of a float32
_SAME = 1e-5  # a difference of scores that is rounding
_PAGE = 1_000  # points that `images` reads at once
_VALUES = 10_000  # values of a field that are read at once

Nearest = list[tuple[str, float]]  # ids with their scores


class Store(ABC):
    """Keeps records of images with their vectors by id, and searches the vectors by cosine.

    Vectors have length one. Several threads may call all methods. Each write is on disk when its
    method returns, so that it survives a killed process. Methods raise UserError if the store
    fails or was closed.
    """

    info: StoreInfo

    @abstractmethod
    def upsert(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> None:
        """Write images with their vectors float32 [N, D]; replace images that have the same ids."""

    @abstractmethod
    def update(self, images: Sequence[IndexedImage]) -> None:
        """Replace the records of images; skip ids that are not in the store."""

    @abstractmethod
    def delete(self, ids: Collection[str]) -> None:
        """Remove images; skip ids that are not in the store."""

    @abstractmethod
    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors float32 [D] of the ids that are in the store."""

    @abstractmethod
    def count(self, where: Filter = ANY) -> int:
        """Count the images that meet the conditions."""

    @abstractmethod
    def note(self, info: StoreInfo) -> None:
        """Replace the info that is saved in the store."""

    @abstractmethod
    def optimise(self) -> None:
        """Build the graph if there are at least GRAPH_FROM images; this may take minutes."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; a second call does nothing."""

    @abstractmethod
    def _payloads(self, ids: Sequence[str]) -> dict[str, dict]:
        """Return the payloads of the ids that are in the store."""

    @abstractmethod
    def _page(
        self, start: str | None, size: int, where: Filter
    ) -> tuple[list[tuple[str, dict]], str | None]:
        """Return ids with payloads in the order of ids, from `start` on, and the next start."""

    @abstractmethod
    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        """Return the values of a field with their numbers of points, the most frequent first."""

    @abstractmethod
    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        """Return `most` neighbours of each query [Q, D]; ties have any order."""

    def get(self, ids: Sequence[str]) -> dict[str, IndexedImage]:
        """Return the images of the ids that are in the store."""
        known = [id for id in dict.fromkeys(ids) if is_id(id)]
        found = self._payloads(known) if known else {}
        return {id: from_payload(id, found[id]) for id in known if id in found}

    def images(self, where: Filter = ANY) -> Iterator[IndexedImage]:
        """Yield the images that meet the conditions, in the order of their ids."""
        start = None
        while True:
            page, start = self._page(start, _PAGE, where)
            for id, payload in page:
                yield from_payload(id, payload)
            if start is None:
                return

    def tags(self, limit: int) -> list[tuple[str, int]]:
        """Return tags with their numbers of images, the most frequent first, then by name."""
        return self._facets("tags", limit)

    def folders(self, limit: int) -> list[tuple[str, int]]:
        """Return folders with their numbers of images at any depth, the fullest first."""
        return self._facets("folders", limit)

    def search(
        self,
        queries: np.ndarray,
        limit: int,
        offset: int = 0,
        where: Filter = ANY,
        least_score: float | None = None,
    ) -> list[list[Hit]]:
        """Find the images nearest to each query, best first; equal scores are ordered by id.

        Below GRAPH_FROM images the answer is exact: consecutive pages repeat no image and miss
        none. With more images the graph finds nearly all of the nearest ones, and pages are
        consistent within the first 128 hits, the first 256, and so on.

        Args:
            queries: vectors [Q, D].
            limit, offset: the number of hits to return, and of better hits to skip.
            where: conditions that the images have to meet.
            least_score: leave out images with a lower cosine. Scores have six decimals.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        assert queries.ndim == 2, queries.shape
        assert queries.shape[1] == self.info.dim, (queries.shape, self.info.dim)
        assert limit >= 0, limit
        assert offset >= 0, offset
        if limit == 0 or len(queries) == 0:
            return [[] for _ in queries]
        least = -np.inf if least_score is None else least_score
        pages = [
            [(id, score) for id, score in ranked[offset : offset + limit] if score >= least]
            for ranked in self._ranked(queries, offset + limit, where)
        ]
        images = self.get([id for page in pages for id, _ in page])
        # Another thread may remove an image between the two requests.
        return [[Hit(images[id], score) for id, score in page if id in images] for page in pages]

    def recall(self, queries: np.ndarray, k: int = 10) -> float:
        """Return the share of the `k` nearest images of queries [Q, D] that the graph finds.

        An image that scores as high as the last of the exact answer counts as found.
        """
        found = self._nearest(queries, k, ANY, exact=False)
        right = total = 0
        for near, true in zip(found, self._nearest(queries, k, ANY, exact=True), strict=True):
            least = min((score for _, score in true), default=0) - _SAME
            right += sum(score >= least for _, score in near)
            total += len(true)
        return right / total if total else 1.0

    def _ranked(self, queries: np.ndarray, needed: int, where: Filter) -> list[Nearest]:
        """Rank at least `needed` neighbours, if there are so many, without cutting a tie in two."""
        window = _WINDOW
        while window <= needed:
            window *= 2
        ranked: list[Nearest] = [[] for _ in queries]
        todo = list(range(len(queries)))
        while todo:
            found = self._nearest(queries[todo], window, where, window > _LARGEST_WINDOW)
            for row, nearest in zip(todo, found, strict=True):
                rounded = [(id, round(score, _DECIMALS)) for id, score in nearest]
                ranked[row] = sorted(rounded, key=lambda pair: (-pair[1], pair[0]))
            todo = [row for row in todo if _cut_in_a_tie(ranked[row], needed, window)]
            window *= 2
        return ranked

    def _facets(self, key: str, limit: int) -> list[tuple[str, int]]:
        found = [(original_text(v), n) for v, n in self._facet(key, max(limit, _VALUES)) if n]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def _check(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> np.ndarray:
        """Return the vectors as float32 [N, D]; raise UserError unless their lengths are one."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        assert vectors.shape == (len(images), self.info.dim), (vectors.shape, self.info.dim)
        lengths = np.linalg.norm(vectors, axis=1)
        if len(lengths) and not np.all(np.abs(lengths - 1) < 1e-3):  # true for NaN too
            raise UserError("the vectors for a store must be finite and of length one")
        return vectors

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def agreed(place: str, found: StoreInfo, asked: StoreInfo, moved: bool) -> StoreInfo:
    """Return the purpose that an existing store is to note from now on.

    Args:
        place: the store's name in error messages.
        found: the purpose that the store notes.
        asked: the purpose for which it is opened; its model's folder may be a new one.
        moved: whether the images may lie in a new folder.

    Raises:
        UserError: the store has vectors of another model, or images of another source.
    """
    instead = "index into another store (--store), or remove this one first"
    if (found.fingerprint, found.dim) != (asked.fingerprint, asked.dim):
        raise UserError(
            f"the store {place} holds vectors of the model {found.fingerprint} (length "
            f"{found.dim}), but the model in use is {asked.fingerprint} (length {asked.dim}): "
            f"{instead}"
        )
    if place_of(found.source) != place_of(asked.source) and not moved:
        raise UserError(
            f"the store {place} holds the images of {found.source}, not those of "
            f"{asked.source}: {instead}; if it is the same folder in a new place, give --moved"
        )
    return replace(asked, model=asked.model or found.model, calibration=found.calibration)


def place_of(source: str) -> str:
    """Return the name of a source without whether links are followed in the folder."""
    return f"folder:{source.removeprefix('links:')}" if source.startswith("links:") else source


def missing(place: str) -> UserError:
    """Return the error for a store that does not exist."""
    return UserError(
        f"there is no store at {place}: create it with python -m cir index FOLDER --store {place}"
    )


def _cut_in_a_tie(ranked: Nearest, needed: int, window: int) -> bool:
    """Return whether the window may have cut off images that tie with the last one needed."""
    return len(ranked) >= max(window, needed) and ranked[needed - 1][1] == ranked[-1][1]
