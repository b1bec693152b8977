"""List images by conditions alone, sort answers by date or name, and leave out near duplicates."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cir.app.requests import MAX_REARRANGED, Search
from cir.app.stores.base import Store
from cir.app.stores.records import Hit


def listed(store: Store, search: Search) -> list[Hit]:
    """Return all images that meet the conditions of a search without a query, without scores."""
    by_date = replace(search, sort="date") if search.sort == "score" else search
    return in_order([Hit(image, None) for image in store.images(search.where)], by_date)


def in_order(hits: Sequence[Hit], search: Search) -> list[Hit]:
    """Sort hits, best first, as a search asks for it; what is equal keeps its order."""
    if search.sort == "date":
        return sorted(hits, key=lambda hit: -hit.image.date)
    if search.sort == "name":
        return sorted(hits, key=lambda hit: hit.image.paths[0])
    return list(hits)


def rearranged(store: Store, hits: Sequence[Hit], search: Search) -> tuple[list[Hit], int]:
    """Leave out near duplicates of the first MAX_REARRANGED hits, and sort the rest.

    Returns the hits, and how many were left out.
    """
    hits = list(hits[:MAX_REARRANGED])
    kept = hits
    if search.duplicates is not None:
        vectors = store.vectors([hit.image.id for hit in hits])
        hits = [hit for hit in hits if hit.image.id in vectors]
        found = [vectors[hit.image.id] for hit in hits]
        kept = [hits[row] for row in distinct(np.stack(found), search.duplicates)] if hits else []
    return in_order(kept, search), len(hits) - len(kept)


def distinct(vectors: np.ndarray, cosine: float) -> list[int]:
    """Return the rows [N, D] that no earlier of these rows is as near to as the cosine."""
    near = vectors @ vectors.T >= cosine
    kept: list[int] = []
    for row in range(len(vectors)):
        if not near[row, kept].any():
            kept.append(row)
    return kept
