"""The trained model: an encoder and a composer, saved in one folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cir import composers
from cir.composers.base import Composer, EditFeatures, names_in, texts_of
from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.weights import contiguous_weights, load_weights, read_weights
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
