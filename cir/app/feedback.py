"""Put the vectors of several images into one query, and learn from images that are (un)wanted."""

from collections.abc import Sequence

import numpy as np

from cir.app.web.faults import BadRequest

_NO_LENGTH = 1e-6  # of a mean of vectors of length one


def mean_direction(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of vectors [D] as float32 [D] of length one.

    Raises BadRequest if they cancel out.
    """
    mean = np.mean(vectors, axis=0)
    length = np.linalg.norm(mean)
    if not length > _NO_LENGTH:
        raise BadRequest("there is nothing to search by: the images of the search cancel out")
    return (mean / length).astype(np.float32)


def rocchio(
    query: np.ndarray,
    wanted: Sequence[np.ndarray],
    unwanted: Sequence[np.ndarray],
    center: np.ndarray,
    wanted_weight: float,
    unwanted_weight: float,
) -> np.ndarray:
    """Move a query [D] towards wanted images and away from unwanted ones, each [D].

    This is the relevance feedback of Rocchio ("Relevance feedback in information retrieval", 1971):
    query + weight * mean of the wanted - weight * mean of the unwanted. The means are taken from
    the mean of the gallery, `center` [D]: what all images share would pull a query by words away
    from its words. The result has any length.
    """
    moved = query.astype(np.float64)
    if len(wanted):
        moved = moved + wanted_weight * (np.mean(wanted, axis=0) - center)
    if len(unwanted):
        moved = moved - unwanted_weight * (np.mean(unwanted, axis=0) - center)
    return moved
