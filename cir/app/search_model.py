"""What the search app asks of the models, and the trained retriever as the one that answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.composers import ArithmeticComposer, EditFeatures
from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.weights import weights_digest
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import split_words
from cir.encoders.paired import PairedEncoder
from cir.retrieval.retriever import Retriever

# An encoder scales the shorter side to what it sees, and so a line of pixels to gigabytes.
_LONGEST = 16  # times the shorter side
_NO_DIRECTION = 1e-6  # a query shorter than this share of its image has cancelled out


@dataclass(frozen=True)
class TaggedText:
    """A sentence as the tagger reads it: its edit, and each of its words with its label.

    The words are those of `cir.edits.reading.word_splitter.split_words`, the labels those of its
    LABELS.
    """

    edit: Edit
    words: tuple[tuple[str, str], ...]


class SearchModel(Protocol):
    """A retriever as the app sees it; all methods may be called from several threads.

    Attributes:
        dim: D, the length of its vectors.
    """

    dim: int

    def fingerprint(self) -> str:
        """A digest of encoder and composer: equal iff their vectors would be."""

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """An RGB image as the encoder wants to see it, uint8 [3, H, W]."""

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [B, 3, H, W] → gallery vectors float32 [B, D] of length 1."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts as they are written → query vectors float32 [B, D] of length 1."""

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """What each text asks to add and to remove."""

    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        """Reference images, their edits and how much each image counts → query vectors [B, D].

        Args:
            images: pixels uint8 [B, 3, H, W], or image features float32 [B, D], not normalised.
            edits: B edits.
            image_weights: B numbers from 0 to 2; 1 is the model's own answer.

        Raises:
            UserError: a query has no direction: its image counts 0 and it names nothing.
        """


class RetrieverModel:
    """The project's retriever behind the interface of a SearchModel.

    A weight s of the image other than 1 adds (s − 1) times the image to what the composer makes
    of image and edit, before the query is brought to length 1. The arithmetic composer's query is
    then s·image + Σ added − Σ removed, with its own weights of the three.

    Args:
        retriever: tagger, encoder and composer; searching by words alone needs an encoder whose
            texts and images share a space, and a composer answers as it was trained.
    """

    def __init__(self, retriever: Retriever):
        self._retriever = retriever
        self._fingerprint: str | None = None
        # The text tower's mask and the tokenizers' settings change while they work.
        self._words = Lock()
        self._sentences = Lock()

    @property
    def dim(self) -> int:
        """D, the length of the vectors."""
        return self._retriever.encoder.dim

    def fingerprint(self) -> str:
        """A digest of encoder and composer, of the weights in memory."""
        if self._fingerprint is None:
            composer = self._retriever.model.composer
            self._fingerprint = files.fingerprint(
                self._retriever.encoder.fingerprint(),
                composer.settings(),
                weights_digest(composer),
            )
        return self._fingerprint

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """An RGB image as the encoder wants to see it, uint8 [3, H, W].

        Of one that is very long, the ends are left out before: an encoder that looks at the
        middle sees the same, and one that squeezes all of it into a square loses them.
        """
        return self._retriever.encoder.preprocess(_without_ends(image))

    @torch.inference_mode()
    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [B, 3, H, W] → gallery vectors float32 [B, D] of length 1."""
        return _array(self._retriever.model.gallery(_tensor(pixels)))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts as they are written → query vectors float32 [B, D] of length 1.

        Raises UserError for a model whose texts and images lie in spaces of their own.
        """
        encoder = self._retriever.encoder
        if isinstance(encoder, PairedEncoder):
            raise UserError(
                "this model cannot search by words alone: its texts and its images lie in spaces "
                "of their own; add an image, or serve an encoder that was trained on both"
            )
        with self._words:
            return _array(functional.normalize(encoder.encode_texts(texts), dim=1))

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """What each text asks to add and to remove; the words are read once."""
        with self._sentences:
            labels = self._retriever.tagger.word_labels(texts)
        edits = _LabelsAtHand(labels).tag(texts)
        return [
            TaggedText(edit, tuple(zip(split_words(text), found, strict=True)))
            for text, edit, found in zip(texts, edits, labels, strict=True)
        ]

    @torch.inference_mode()
    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        """Pixels or features, edits and weights → query vectors [B, D]; see SearchModel."""
        assert len(images) == len(edits) == len(image_weights), "as many images, edits and weights"
        model = self._retriever.model
        features = _tensor(images).to(model.encoder.device)
        if images.ndim == 4:
            features = model.encoder.encode_images(features)
        with self._words:
            edit = model.encode_edits(edits)
        query = model.composer(features, edit).float()
        weights = torch.tensor(image_weights, dtype=torch.float32, device=query.device)
        if (weights != 1).any():
            query = query + (weights - 1).unsqueeze(1) * self._alone(features)
        if (query.norm(dim=1) <= _NO_DIRECTION * features.norm(dim=1)).any():
            raise UserError(
                "there is nothing to search by: the image counts nothing, and nothing is added "
                "or removed"
            )
        return _array(functional.normalize(query, dim=1))

    def _alone(self, image: torch.Tensor) -> torch.Tensor:
        """What the composer itself counts as the image [B, D]: its feature, scaled or not."""
        composer = self._retriever.model.composer
        arithmetic = getattr(composer, "arithmetic", composer)
        if not isinstance(arithmetic, ArithmeticComposer):
            return image
        nothing = EditFeatures.gather([Edit("")] * len(image), [], image[:0])
        return arithmetic(image, nothing).float()


class _LabelsAtHand(Tagger):
    """The tagger's rule from labels to edits, for labels that it has given already."""

    def __init__(self, labels: list[list[str]]):
        self._found = labels

    def word_labels(self, texts: Sequence[str], batch_size: int = 64) -> list[list[str]]:
        return self._found


def load(encoder_folder: Path | str, tagger_folder: Path | str) -> RetrieverModel:
    """The trained retriever in these folders, on a GPU if there is one.

    Raises UserError where a folder is missing, incomplete, or holds something else.
    """
    return RetrieverModel(Retriever.load(encoder_folder, tagger_folder))


def _without_ends(image: Image.Image) -> Image.Image:
    """The middle of an image that is longer than `_LONGEST` times its shorter side."""
    width, height = image.size
    most = _LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    # Both ends lose the same number of pixels, so that the middle stays where it is.
    across, down = (max(0, side - most) // 2 for side in (width, height))
    return image.crop((across, down, width - across, height - down))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _array(rows: torch.Tensor) -> np.ndarray:
    return rows.float().cpu().numpy()
