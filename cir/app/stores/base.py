"""What every store does, and what they share: how hits are ranked, paged and told apart."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType

import numpy as np

from cir.app.stores.payload import from_payload
from cir.app.stores.records import ANY, Filter, Hit, IndexedImage, StoreInfo, is_id, original_text
from cir.core.errors import UserError

# From so many images on, a graph (HNSW) is built; below, all are compared with the query.
GRAPH_FROM = 20_000
# Edges of a node, and candidates while it is built and searched: see speed/vector_stores.py.
GRAPH_EDGES, GRAPH_CANDIDATES = 16, 100

_WINDOW = 128  # so many of the nearest are asked for at least, so that pages share a ranking
_LARGEST_WINDOW = 1024  # of the graph; who leafs further is given the exact ranking
_DECIMALS = 6  # of scores; equal vectors may differ in what float32 has beyond
_PAGE = 1_000  # points at once when all are read
_VALUES = 10_000  # facets at once

Nearest = list[tuple[str, float]]  # ids with their scores


class Store(ABC):
    """Images by id: what is known of them, and their vectors, searched by cosine.

    Vectors are rows of length one. All methods may be called from several threads. A write is on
    the disk of its machine when the method returns, so that it outlives the process however that
    ends. UserError for a store that fails or was closed.
    """

    info: StoreInfo

    @abstractmethod
    def upsert(self, images: Sequence[IndexedImage], vectors: np.ndarray) -> None:
        """Write images with their vectors float32 [N, D], in place of those of the same ids."""

    @abstractmethod
    def update(self, images: Sequence[IndexedImage]) -> None:
        """Write what is known of images anew; those whose ids are not there are left out."""

    @abstractmethod
    def delete(self, ids: Collection[str]) -> None:
        """Remove images; ids that are not there do not matter."""

    @abstractmethod
    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors float32 [D] of the ids that are there."""

    @abstractmethod
    def count(self, where: Filter = ANY) -> int:
        """How many images there are of this kind."""

    @abstractmethod
    def optimise(self) -> None:
        """Build the graph if the number of images asks for it; it may take minutes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; a second time does nothing."""

    @abstractmethod
    def _payloads(self, ids: Sequence[str]) -> dict[str, dict]:
        """The payloads of the ids that are there."""

    @abstractmethod
    def _page(self, start: str | None, size: int) -> tuple[list[tuple[str, dict]], str | None]:
        """Ids with payloads from an id on, in the order of ids; and where the next page starts."""

    @abstractmethod
    def _facet(self, key: str, most: int) -> list[tuple[str, int]]:
        """The values of a field with how many points have them, the most frequent first."""

    @abstractmethod
    def _nearest(self, queries: np.ndarray, most: int, where: Filter, exact: bool) -> list[Nearest]:
        """For each query [Q, D] the ids of the nearest; ties in any order, cut off anywhere."""

    def get(self, ids: Sequence[str]) -> dict[str, IndexedImage]:
        """The images of the ids that are there."""
        known = [id for id in dict.fromkeys(ids) if is_id(id)]
        found = self._payloads(known) if known else {}
        return {id: from_payload(id, found[id]) for id in known if id in found}

    def images(self) -> Iterator[IndexedImage]:
        """All images, in the order of their ids."""
        start = None
        while True:
            page, start = self._page(start, _PAGE)
            for id, payload in page:
                yield from_payload(id, payload)
            if start is None:
                return

    def tags(self, limit: int) -> list[tuple[str, int]]:
        """Tags with how many images have them, the most frequent first, then by name."""
        return self._facets("tags", limit)

    def folders(self, limit: int) -> list[tuple[str, int]]:
        """Folders with how many images are in them or below, the fullest first, then by name."""
        return self._facets("folders", limit)

    def search(
        self,
        queries: np.ndarray,
        limit: int,
        offset: int = 0,
        where: Filter = ANY,
        least_score: float | None = None,
    ) -> list[list[Hit]]:
        """The images nearest to each of the queries [Q, D], best first, equal ones by id.

        Scores have six decimals, which is what the float32 of a cosine is good for. `offset` of
        them are left out, `limit` follow; `least_score` leaves out those that are farther. Below
        GRAPH_FROM images the answer is exact, and so are pages that join: none of them repeats an
        image or leaves one out. Above, the graph finds nearly all of the nearest, and pages join
        within the first 128, the first 256 and so on.
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
        # An image may be removed by another thread between the two questions.
        return [[Hit(images[id], score) for id, score in page if id in images] for page in pages]

    def _ranked(self, queries: np.ndarray, needed: int, where: Filter) -> list[Nearest]:
        """At least `needed` of the nearest, where there are as many, with no tie cut in two."""
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
        """The vectors as float32 [N, D], ready to be written; UserError for what has no place."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        assert vectors.shape == (len(images), self.info.dim), (vectors.shape, self.info.dim)
        lengths = np.linalg.norm(vectors, axis=1)
        if len(lengths) and not np.all(np.abs(lengths - 1) < 1e-3):  # so that NaN counts
            raise UserError("vectors for the store must be finite and of length one")
        return vectors

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def require(place: str, found: StoreInfo, asked: StoreInfo) -> None:
    """Raise UserError unless a store that is there is what was asked for."""
    instead = "index into another store (--store), or remove this one first"
    if (found.fingerprint, found.dim) != (asked.fingerprint, asked.dim):
        raise UserError(
            f"the store {place} holds vectors of the model {found.fingerprint} (length "
            f"{found.dim}), and the model in use is {asked.fingerprint} (length {asked.dim}): "
            f"{instead}"
        )
    if found.source != asked.source:
        raise UserError(
            f"the store {place} holds the images of {found.source}, not those of "
            f"{asked.source}: {instead}"
        )


def missing(place: str) -> UserError:
    """What to say where a store was to be opened and there is none."""
    return UserError(
        f"there is no store at {place}: make it with python -m cir index FOLDER --store {place}"
    )


def _cut_in_a_tie(ranked: Nearest, needed: int, window: int) -> bool:
    """Whether images that are as near as the last one needed may have been left out."""
    return len(ranked) >= max(window, needed) and ranked[needed - 1][1] == ranked[-1][1]
