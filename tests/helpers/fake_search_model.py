"""A search model without weights: colours are all that it sees, reads and composes.

An image is the mean colour of its four quarters, a text the colours that it names, and a query
image + added colours − removed colours. Everything is numpy, exact and the same on every machine.
"""

import time
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.reading.readings import Reading
from cir.edits.reading.word_splitter import split_words

DIM = 12
SIDE = 16
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "orange": (255, 128, 0),
    "grey": (128, 128, 128),
}
_GREY = 0.437  # no grey level of 8 bits, so that every plain image has a direction
_STARTS = {"add": "pos", "with": "pos", "remove": "neg", "without": "neg"}
_BETWEEN = {"a", "an", "the", "and", "perhaps"}
_SURE, _UNSURE = 0.9, 0.4


class FakeSearchModel:
    """What `cir.app.search_model.SearchModel` asks for, by colours.

    Args:
        name: part of the fingerprint; another name is another model.
        seconds: how long every call of a model step takes, beside its work.
        has_tagger: whether it may be asked to tag.
    """

    dim = DIM
    batch_size = 64
    least_side = 2 * SIDE

    def __init__(self, name: str = "colours", seconds: float = 0.0, has_tagger: bool = True):
        self.name = name
        self.has_tagger = has_tagger
        self.seconds = seconds
        self.encoded_images = 0
        self.batches: list[int] = []

    def fingerprint(self) -> str:
        return f"fake-{self.name}"

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Any image → uint8 [3, 16, 16]."""
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(small).transpose(2, 0, 1).copy()

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, 3, H, W] → float32 [B, 12], rows of length one."""
        assert pixels.dtype == np.uint8, pixels.dtype
        time.sleep(self.seconds)
        self.encoded_images += len(pixels)
        self.batches.append(len(pixels))
        return unit(image_features(pixels))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → float32 [N, 12]: the sum of the colours named, one of its own for others."""
        time.sleep(self.seconds)
        return unit(np.stack([text_features(text) for text in texts]))

    def unread(self, text: str) -> str:
        """All after 24 words, which `encode_texts` reads all the same."""
        return " ".join(text.split()[24:])

    def tag(self, texts: Sequence[str]) -> list:
        """Words after "add" or "with" are added, after "remove" or "without" removed.

        The confidence is 0.4 beside the word "perhaps" and 0.9 elsewhere.
        """
        from cir.app.search_model import TaggedText

        assert self.has_tagger
        time.sleep(self.seconds)
        found = []
        for text in texts:
            words = split_words(text)
            labels = word_labels(words)
            sureness = [_UNSURE if word == "perhaps" else _SURE for word in words]
            found.append(TaggedText.read(Reading.of_labels(text, labels, sureness)))
        return found

    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        """Features [B, 12] or pixels uint8 [B, 3, H, W], B edits and weights → unit rows."""
        assert len(images) == len(edits) == len(image_weights)
        time.sleep(self.seconds)
        features = unit(image_features(images)) if images.ndim == 4 else images
        queries = []
        for image, edit, weight in zip(features, edits, image_weights, strict=True):
            query = weight * image
            for sign, names in ((1, edit.add), (-1, edit.remove)):
                for name in names:
                    query = query + sign * unit(text_features(name)[None])[0]
            if not query.any():
                raise UserError("the query is empty: it adds nothing, and its image has weight 0")
            queries.append(query)
        return unit(np.stack(queries))


def image_features(pixels: np.ndarray) -> np.ndarray:
    """uint8 [B, 3, H, W] → float32 [B, 12]: red, green and blue of each quarter."""
    B, _, H, W = pixels.shape
    halves = pixels.reshape(B, 3, 2, H // 2, 2, W // 2).astype(np.float64) / 255
    means = halves.mean(axis=(3, 5)) - _GREY
    return means.transpose(0, 2, 3, 1).reshape(B, DIM).astype(np.float32)


def text_features(text: str) -> np.ndarray:
    """float32 [12]: what an image of the named colours mixed in light would be."""
    named = [COLOURS[word] for word in split_words(text.lower()) if word in COLOURS]
    if not named:
        seed = zlib.crc32(text.encode("utf-8", "surrogateescape"))
        return np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    colours = np.array(named, np.float64) / 255 - _GREY
    return np.tile(colours.sum(axis=0), 4).astype(np.float32)


def word_labels(words: Sequence[str]) -> list[str]:
    """ "other", "pos" or "neg" for each word, by the last verb before it."""
    labels, now = [], "other"
    for word in words:
        if word.lower() in _STARTS:
            now = _STARTS[word.lower()]
            labels.append("other")
        elif word.lower() in _BETWEEN or not word[0].isalnum():
            now = "other" if word in (".", ";") else now
            labels.append("other")
        else:
            labels.append(now)
    return labels


def unit(rows: np.ndarray) -> np.ndarray:
    """float32 rows [N, D] at length one."""
    rows = rows.astype(np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain(colour: str | tuple[int, int, int], size: tuple[int, int] = (24, 24)) -> Image.Image:
    """An RGB image of one colour, by name or by value."""
    return Image.new("RGB", size, COLOURS[colour] if isinstance(colour, str) else colour)
