"""The retriever: tagger, encoder and composer as one thing, for queries and for galleries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from cir import files
from cir.composers import COMPOSERS, Composer, EditFeatures
from cir.composers.base import names_in
from cir.encoders import Encoder
from cir.records import Edit
from cir.tagger import Tagger

_COMPOSER = "composer.json"


class EncodedComposer(nn.Module):
    """Encoder and composer together: all that is trained on triplets, and all that ranks.

    Args:
        encoder: for images and names.
        composer: for an image's features and an edit.
    """

    def __init__(self, encoder: Encoder, composer: Composer):
        super().__init__()
        self.encoder = encoder
        self.composer = composer

    def encode_edits(self, edits: Sequence[Edit]) -> EditFeatures:
        """Encode each name that the edits hold once, all in one text call."""
        names = names_in(edits)
        return EditFeatures.gather(edits, names, self.encoder.encode_names(names))

    def queries(self, pixels: torch.Tensor, edits: Sequence[Edit]) -> torch.Tensor:
        """Reference pixels uint8 [B, 3, H, W] and B edits → query vectors [B, D] of length 1."""
        return self.compose(self.encoder.encode_images(pixels), self.encode_edits(edits))

    def compose(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Features [B, D] of the references and encoded edits → query vectors of length 1."""
        return functional.normalize(self.composer(image, edit), dim=1)

    def gallery(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] → gallery vectors [B, D] of length 1."""
        return functional.normalize(self.encoder.encode_images(pixels), dim=1)

    def save(self, folder: Path) -> None:
        """Write encoder and composer into an existing folder."""
        self.encoder.save(folder)
        files.write_json(folder / _COMPOSER, composer_settings(self.composer))
        assert not list(self.composer.parameters()), "this composer's weights would be lost"

    @classmethod
    def load(cls, folder: Path | str) -> "EncodedComposer":
        """Read what `save` wrote; UserError if the folder is incomplete."""
        settings = dict(files.read_json(Path(folder) / _COMPOSER))
        composer = COMPOSERS[settings.pop("name")](**settings)
        return cls(Encoder.load(folder), composer)


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
        features = self._encode_names(names)
        return self._batched(
            len(images),
            lambda rows: self.model.compose(
                self.encoder.encode_images(self._pixels(images[rows])),
                EditFeatures.gather(edits[rows], names, features),
            ),
        )

    def encode_gallery(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images → float32 [N, D], rows of length 1."""
        return self._batched(
            len(images), lambda rows: self.model.gallery(self._pixels(images[rows]))
        )

    @torch.inference_mode()
    def _encode_names(self, names: Sequence[str]) -> torch.Tensor:
        """Features [N, D] of the names; sorted by length, as a batch is as long as its longest."""
        if not names:
            return self.encoder.encode_names(names)
        order = sorted(range(len(names)), key=lambda row: len(names[row]))
        step = 2 * self.batch_size
        parts = [
            self.encoder.encode_names([names[row] for row in order[start : start + step]])
            for start in range(0, len(order), step)
        ]
        features = torch.cat(parts)
        return features[torch.tensor(order, device=features.device).argsort()]

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.encoder.preprocess(image) for image in images]))

    @torch.inference_mode()
    def _batched(self, count: int, encode) -> np.ndarray:
        parts = [np.zeros((0, self.encoder.dim), np.float32)]
        for start in range(0, count, self.batch_size):
            parts.append(encode(slice(start, start + self.batch_size)).float().cpu().numpy())
        return np.concatenate(parts)


def composer_settings(composer: Composer) -> dict:
    """The composer's name in COMPOSERS and the arguments that build it again."""
    name = next(name for name, kind in COMPOSERS.items() if type(composer) is kind)
    return {"name": name, **composer.settings()}
