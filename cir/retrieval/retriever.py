"""Encode queries and galleries with a tagger, an encoder and a composer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.records import Edit
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.encoders.texts import encode_each_once
from cir.retrieval.ranking.device_batches import DeviceBatches


class Retriever:
    """Tagger, encoder and composer in one object.

    Args:
        model: encoder and composer.
        tagger: reads the sentences.
        batch_size: images encoded at once.
    """

    def __init__(self, model: EncodedComposer, tagger: Tagger, batch_size: int = 128):
        self.model = model.eval()
        self.tagger = tagger
        self._images = DeviceBatches(model.encoder)
        self.batch_size = batch_size

    @classmethod
    def load(
        cls, encoder_folder: Path | str, tagger_folder: Path | str, batch_size: int = 128
    ) -> "Retriever":
        """Load an encoder with its composer, and a tagger, on a GPU if there is one."""
        model = EncodedComposer.load(encoder_folder).to(DEVICE)
        return cls(model, Tagger.load(tagger_folder, DEVICE), batch_size)

    @property
    def encoder(self) -> Encoder:
        """Return the image-text encoder."""
        return self.model.encoder

    def encode_queries(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        """Encode RGB reference images and their sentences: float32 [N, D], rows of length 1."""
        return self.encode_edits(images, self.tagger.tag(texts))

    @torch.inference_mode()
    def encode_edits(self, images: Sequence[Image.Image], edits: Sequence[Edit]) -> np.ndarray:
        """Encode RGB reference images and their edits, as `encode_queries` does."""
        assert len(images) == len(edits), f"{len(images)} images, {len(edits)} edits"
        encoded = self.model.encode_all_edits(edits, 2 * self.batch_size)
        return self._batched(
            len(images),
            lambda rows: self.model.compose(
                self._images(self._pixels(images[rows])), encoded[rows]
            ),
        )

    def encode_gallery(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Encode RGB images: float32 [N, D], rows of length 1."""
        return self._batched(
            len(images),
            lambda rows: functional.normalize(self._images(self._pixels(images[rows])), dim=1),
        )

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode whole texts as queries for images: float32 [N, D], rows of length 1."""
        vectors = encode_each_once(texts, self.encoder.encode_texts)
        return functional.normalize(vectors, dim=1).float().cpu().numpy()

    def _pixels(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([self.encoder.preprocess(image) for image in images])

    @torch.inference_mode()
    def _batched(self, count: int, encode) -> np.ndarray:
        parts = [np.zeros((0, self.encoder.dim), np.float32)]
        for start in range(0, count, self.batch_size):
            parts.append(encode(slice(start, start + self.batch_size)).float().cpu().numpy())
        return np.concatenate(parts)
