"""Reorder the first images that the cosine finds, by a model that reads text and image together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from cir.images.shards import ImageShards


class Matcher(Protocol):
    """A model that reads a text together with an image."""

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into uint8 [3, H, W]."""

    def image_states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → states for `match`, [B, ...]."""

    def match(self, states: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Score how well each of B texts fits its image: [B], higher is better."""


@torch.inference_mode()
def rerank(
    model: Matcher,
    images: ImageShards,
    texts: Sequence[str],
    first: np.ndarray,
    cosines: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """Return scores float64 [Q, N] that put the images `first` [Q, k] first, ordered by `match`.

    The other images keep their `cosines` [Q, N]. Each image is encoded once. The model takes
    `batch_size` images, then as many pairs, at a time.
    """
    assert len(texts) == len(first) == len(cosines), "a row for each text"
    fits = _matches(model, images, texts, first, batch_size)
    fits -= fits.min(axis=1, keepdims=True)
    scores = cosines.astype(np.float64)
    np.put_along_axis(scores, first, fits + scores.max(axis=1, keepdims=True) + 1, axis=1)
    return scores


def _matches(
    model: Matcher, images: ImageShards, texts: Sequence[str], first: np.ndarray, batch_size: int
) -> np.ndarray:
    """Score how well the images `first` [Q, k] fit their texts: float64 [Q, k]."""
    fits = np.empty(first.shape)
    wanted = np.unique(first)
    for start in range(0, len(wanted), batch_size):
        chosen = wanted[start : start + batch_size]
        pixels = [model.preprocess(images.image(images.ids[place])) for place in chosen]
        states = model.image_states(torch.from_numpy(np.stack(pixels)))
        rows, columns = np.nonzero(np.isin(first, chosen))
        beside = np.searchsorted(chosen, first[rows, columns])
        for begin in range(0, len(rows), batch_size):
            part = slice(begin, begin + batch_size)
            found = model.match(states[beside[part]], [texts[row] for row in rows[part]])
            fits[rows[part], columns[part]] = found.cpu().numpy()
    assert np.isfinite(fits).all(), "a match is not finite"
    return fits
