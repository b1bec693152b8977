"""The retriever: tagger, encoder and composer as one thing, for queries and for galleries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cir.composers import EditFeatures
from cir.composers.base import names_in, texts_of
from cir.composers.model import EncodedComposer
from cir.core.records import Edit
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.encoders.texts import encode_each_once


class Retriever:
    """Everything that a query passes through.

    Args:
        model: encoder and composer.
        tagger: reads the sentences.
        batch_size: images encoded at once.
    """

    def __init__(self, model: EncodedComposer, tagger: Tagger, batch_size: int = 128):
        self.model = model.eval()
        self.tagger = tagger
        self.batch_size = batch_size

    @classmethod
    def load(
        cls, encoder_folder: Path | str, tagger_folder: Path | str, batch_size: int = 128
    ) -> "Retriever":
        """Read a trained encoder with its composer, and a trained tagger; on a GPU if there is."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = EncodedComposer.load(encoder_folder).to(device)
        return cls(model, Tagger.load(tagger_folder, device), batch_size)

    @property
    def encoder(self) -> Encoder:
        """The image-text encoder."""
        return self.model.encoder

    def encode_queries(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        """RGB reference images and sentences → float32 [N, D], rows of length 1."""
        return self.encode_edits(images, self.tagger.tag(texts))

    def encode_edits(self, images: Sequence[Image.Image], edits: Sequence[Edit]) -> np.ndarray:
        """As `encode_queries`, with the edits instead of sentences."""
        assert len(images) == len(edits), f"{len(images)} images, {len(edits)} edits"
        names = names_in(edits)
        features, text = self._encode_words(names, edits)
        return self._batched(
            len(images),
            lambda rows: self.model.compose(
                self.encoder.encode_images(self._pixels(images[rows])),
                EditFeatures.gather(
                    edits[rows], names, features, None if text is None else text[rows]
                ),
            ),
        )

    def encode_gallery(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images → float32 [N, D], rows of length 1."""
        return self._batched(
            len(images), lambda rows: self.model.gallery(self._pixels(images[rows]))
        )

    @torch.inference_mode()
    def _encode_words(
        self, names: Sequence[str], edits: Sequence[Edit]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features of the names, and of the edits' texts if the composer reads them."""
        texts, step = texts_of(edits, self.model.composer.text), 2 * self.batch_size
        features = encode_each_once(names, self.encoder.encode_names, step)
        if texts is None:
            return features, None
        return features, encode_each_once(texts, self.encoder.encode_texts, step)

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.encoder.preprocess(image) for image in images]))

    @torch.inference_mode()
    def _batched(self, count: int, encode) -> np.ndarray:
        parts = [np.zeros((0, self.encoder.dim), np.float32)]
        for start in range(0, count, self.batch_size):
            parts.append(encode(slice(start, start + self.batch_size)).float().cpu().numpy())
        return np.concatenate(parts)
