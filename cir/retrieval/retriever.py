"""The retriever: tagger, encoder and composer as one thing, for queries and for galleries."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cir import composers
from cir.composers import Composer, EditFeatures
from cir.composers.base import names_in, texts_of
from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.weights import contiguous_weights, load_weights, read_weights
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.encoders.paired import PairedEncoder, load_encoder

_COMPOSER = "composer.json"
_WEIGHTS = "composer.safetensors"


class EncodedComposer(nn.Module):
    """Encoder and composer together: all that is trained on triplets, and all that ranks.

    Args:
        encoder: for images and names.
        composer: for an image's features and an edit.
    """

    def __init__(self, encoder: Encoder | PairedEncoder, composer: Composer):
        super().__init__()
        self.encoder = encoder
        self.composer = composer

    def encode_edits(self, edits: Sequence[Edit]) -> EditFeatures:
        """Encode each name that the edits hold once, all in one text call.

        A second call encodes the edits' texts, for a composer that reads them.
        """
        names = names_in(edits)
        features = self.encoder.encode_names(names)
        return EditFeatures.gather(edits, names, features, self.encode_texts(edits))

    def encode_texts(self, edits: Sequence[Edit]) -> torch.Tensor | None:
        """Features [B, E] of the text that the composer reads of each edit, or None."""
        texts = texts_of(edits, self.composer.text)
        return None if texts is None else self.encoder.encode_texts(texts)

    def queries(self, pixels: torch.Tensor, edits: Sequence[Edit]) -> torch.Tensor:
        """Reference pixels uint8 [B, 3, H, W] and B edits → query vectors [B, D] of length 1."""
        return self.compose(self.encoder.encode_images(pixels), self.encode_edits(edits))

    def compose(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Features [B, D] of the references and encoded edits → query vectors of length 1."""
        return functional.normalize(self.composer(image, edit).float(), dim=1)

    def gallery(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] → gallery vectors [B, D] of length 1."""
        return functional.normalize(self.encoder.encode_images(pixels), dim=1)

    def save(self, folder: Path) -> None:
        """Write encoder and composer into an existing folder."""
        self.encoder.save(folder)
        files.write_json(folder / _COMPOSER, composers.settings_of(self.composer))
        if self.composer.state_dict():
            save_file(contiguous_weights(self.composer), folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path | str) -> "EncodedComposer":
        """Read what `save` wrote.

        Raises:
            UserError: the folder is incomplete, or its parts do not belong together.
        """
        folder = Path(folder)
        encoder = load_encoder(folder)
        composer = composers.rebuild(files.read_json(folder / _COMPOSER))
        if composer.state_dict():
            load_weights(composer, read_weights(folder / _WEIGHTS), str(folder / _WEIGHTS))
        sizes = type(composer).sizes(encoder.dim, encoder.text_dim, composer.text)
        for key, length in sizes.items():
            if composer.settings()[key] != length:
                raise UserError(
                    f"{folder / _COMPOSER} is for features of {key} {composer.settings()[key]}, "
                    f"and the encoder beside it gives {length}"
                )
        return cls(encoder, composer)


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


def encode_each_once(
    texts: Sequence[str], encode: Callable[[Sequence[str]], torch.Tensor], batch_size: int = 256
) -> torch.Tensor:
    """Features [T, D] of T texts, by `encode`, which sees each different text once.

    They go through it sorted by length, as a batch is as long as its longest text.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    starts = range(0, max(len(distinct), 1), batch_size)
    features = torch.cat([encode(distinct[start : start + batch_size]) for start in starts])
    row_of = {text: row for row, text in enumerate(distinct)}
    rows = torch.tensor([row_of[text] for text in texts], dtype=torch.long)
    return features[rows.to(features.device)]
