"""The trained model: an encoder and a composer, saved in one folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cir import composers
from cir.composers.base import Composer, EditFeatures, EncodedEdits, names_in, texts_of
from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.weights import contiguous_weights, load_weights, read_weights
from cir.encoders import Encoder
from cir.encoders.paired import PairedEncoder, load_encoder
from cir.encoders.texts import encode_each_once

_COMPOSER = "composer.json"
_WEIGHTS = "composer.safetensors"


class EncodedComposer(nn.Module):
    """An encoder with a composer: trained on triplets, used for ranking.

    Args:
        encoder: encodes images, names and texts.
        composer: combines an image's features with an edit.
    """

    def __init__(self, encoder: Encoder | PairedEncoder, composer: Composer):
        super().__init__()
        self.encoder = encoder
        self.composer = composer

    def encode_edits(self, edits: Sequence[Edit]) -> EditFeatures:
        """Encode the edits of one batch: all names in one call, all texts in another.

        Gradients reach the text encoder. Texts are encoded only for a composer that reads them.
        """
        names = names_in(edits)
        features = self.encoder.encode_names(names)
        return EncodedEdits(edits, names, features, self.encode_texts(edits))[:]

    def encode_texts(self, edits: Sequence[Edit]) -> torch.Tensor | None:
        """Return features [B, E] of the texts that the composer reads, or None."""
        texts = texts_of(edits, self.composer.text)
        return None if texts is None else self.encoder.encode_texts(texts)

    def encode_all_edits(self, edits: Sequence[Edit], batch_size: int = 256) -> EncodedEdits:
        """Encode any number of edits: each different name and text once, in batches."""
        names = names_in(edits)
        features = encode_each_once(names, self.encoder.encode_names, batch_size)
        text = encode_texts_once(self.encoder, edits, self.composer.text, batch_size)
        return EncodedEdits(edits, names, features, text)

    def queries(self, pixels: torch.Tensor, edits: Sequence[Edit]) -> torch.Tensor:
        """Map reference pixels uint8 [B, 3, H, W] and B edits to query vectors [B, D], length 1."""
        return self.compose(self.encoder.encode_images(pixels), self.encode_edits(edits))

    def compose(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map features [B, D] of references and encoded edits to query vectors of length 1."""
        return functional.normalize(self.composer(image, edit).float(), dim=1)

    def gallery(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels uint8 [B, 3, H, W] to gallery vectors [B, D] of length 1."""
        return functional.normalize(self.encoder.encode_images(pixels), dim=1)

    def save(self, folder: Path) -> None:
        """Write encoder and composer into an existing folder."""
        self.encoder.save(folder)
        files.write_json(folder / _COMPOSER, self.composer.settings())
        if self.composer.state_dict():
            save_file(contiguous_weights(self.composer), folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path | str) -> "EncodedComposer":
        """Read a saved model.

        Raises:
            UserError: the folder is incomplete, or its parts do not belong together.
        """
        folder = Path(folder)
        encoder = load_encoder(folder)
        composer = composers.rebuild(files.read_json(folder / _COMPOSER))
        if composer.state_dict():
            load_weights(composer, read_weights(folder / _WEIGHTS), str(folder / _WEIGHTS))
        settings = composer.settings()
        lengths = composer.lengths(encoder.dim, encoder.text_dim, composer.text)
        for key, length in lengths.items():
            if settings[key] != length:
                raise UserError(
                    f"{folder / _COMPOSER} expects features with {key} {settings[key]}, "
                    f"but the encoder beside it gives {length}"
                )
        return cls(encoder, composer)


def encode_texts_once(
    encoder: Encoder | PairedEncoder, edits: Sequence[Edit], which: str, batch_size: int = 256
) -> torch.Tensor | None:
    """Return features [Q, E] of the edits' texts, each different text encoded once.

    `which` is a key of cir.composers.base.TEXTS; the result is None if that text is not encoded.
    """
    texts = texts_of(edits, which)
    return None if texts is None else encode_each_once(texts, encoder.encode_texts, batch_size)
