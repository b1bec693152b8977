"""Define the model that the search app needs, and implement it with the trained retriever."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Protocol, Self

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.app import phrasings
from cir.composers import ArithmeticComposer, EditFeatures
from cir.composers.base import EncodedEdits, names_in
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.device import DEVICE, with_precision
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.weights import weights_digest
from cir.edits.reading.readings import Reading
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import split_words, word_spans
from cir.encoders.paired import PairedEncoder
from cir.retrieval.ranking.device_batches import DeviceBatches
from cir.retrieval.ranking.embedding import images_at_once

# An encoder scales the shorter side to a fixed length, so that a line of pixels needs gigabytes.
_LONGEST = 16  # the longer side in units of the shorter one
# Of the 60 phrasings of the tests, at least 54 have to be read right.
_SURE_OF_CLAUSES = 0.9
_NAMES_KEPT = 4096  # features of names: some megabytes
_NO_DIRECTION = 1e-6  # a query below this share of its image's length has no useful direction


@dataclass(frozen=True)
class TaggedText:
    """The edit that the tagger reads in a sentence, or that a person gives as names.

    Attributes:
        edit: the objects to add and to remove.
        words: the words of the sentence with their labels, as cir.edits.reading.word_splitter
            defines them; none for an edit given as names.
        confidence: how probable it is that the whole edit is right, from 0 to 1.
        confidence_by_object: the same for each object of the lists "add" and "remove".
        remarks: what is odd about the edit, in sentences.
    """

    edit: Edit
    words: tuple[tuple[str, str], ...]
    confidence: float
    confidence_by_object: dict[str, list[float]]
    remarks: tuple[str, ...]

    @classmethod
    def read(
        cls, reading: Reading, text: str | None = None, clauses: Sequence[phrasings.Clause] = ()
    ) -> Self:
        """Take what the tagger has read in a sentence.

        Args:
            reading: of the sentence, or of what `cir.app.phrasings` has left of it.
            text: the whole sentence, if clauses were taken out.
            clauses: those that were taken out.
        """
        text = reading.edit.text if text is None else text
        kept = {name.casefold() for clause in clauses for name in clause.keep}
        sure = reading.confidence_by_object()
        names: dict[str, list[str]] = {}
        confidences: dict[str, list[float]] = {}
        for sign in ("add", "remove"):
            of_clauses = [name for clause in clauses for name in getattr(clause, sign)]
            pairs = [(name, _SURE_OF_CLAUSES) for name in of_clauses]
            tagged = zip(getattr(reading.edit, sign), sure[sign], strict=True)
            pairs += [(name, c) for name, c in tagged if name.casefold() not in kept]
            names[sign] = [name for name, _ in pairs]
            confidences[sign] = [confidence for _, confidence in pairs]
        edit = Edit(text, *phrasings.one_resolved(tuple(names["add"]), tuple(names["remove"])))
        confidence = min(reading.confidence, _SURE_OF_CLAUSES) if clauses else reading.confidence
        labels = _labels(reading, text, clauses)
        remarks = phrasings.remarks_of(clauses) + replace(reading, edit=edit).remarks()
        words = tuple(zip(split_words(text), labels, strict=True))
        return cls(edit, words, confidence, confidences, tuple(remarks))

    @classmethod
    def given(cls, edit: Edit) -> Self:
        """Take an edit that a person has given as names: it is what the person wants."""
        sure = {"add": [1.0] * len(edit.add), "remove": [1.0] * len(edit.remove)}
        return cls(edit, (), 1.0, sure, ())


def _labels(reading: Reading, text: str, clauses: Sequence[phrasings.Clause]) -> list[str]:
    """Return the labels of the words of a whole text, from the tagger's and from the clauses."""
    starts = (start for start, _ in word_spans(reading.edit.text))
    tagged = dict(zip(starts, reading.labels, strict=True))
    marks = [mark for clause in clauses for mark in clause.marks]
    labels = []
    for start, end in word_spans(text):
        inside = [label for first, last, label in marks if first <= start and end <= last]
        labels.append(inside[0] if inside else tagged.get(start, "other"))
    return labels


class SearchModel(Protocol):
    """The retriever that the app needs; several threads may call all methods.

    Attributes:
        dim: D, the length of the vectors.
        has_tagger: whether `tag` can read sentences.
        batch_size: the number of images that are encoded at once in the least time per image.
        least_side: the shorter side that `preprocess` needs of a reduced JPEG, in pixels.
    """

    dim: int
    has_tagger: bool
    batch_size: int
    least_side: int

    def fingerprint(self) -> str:
        """Return a digest of encoder and composer: equal digests mean equal vectors.

        It ends in the precision of the vectors unless that is fp32.
        """

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into the encoder's input, uint8 [3, H, W]."""

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Encode pixels uint8 [B, 3, H, W] as gallery vectors float32 [B, D] of length one."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode unchanged texts as query vectors float32 [B, D] of length one.

        Raises UserError if texts and images of the model lie in different spaces.
        """

    def unread(self, text: str) -> str:
        """Return the words at the end of a text for `encode_texts` that the model cuts off."""

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        """Read the edit in each text; this needs a tagger."""

    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        """Compose query vectors float32 [B, D] of length one.

        Args:
            images: pixels uint8 [B, 3, H, W], or image features float32 [B, D], not normalised.
            edits: B edits.
            image_weights: B weights of the images, from 0 to 2; 1 is the model's own answer.

        Raises:
            UserError: a query has no direction: its image counts 0 and its edit is empty.
        """


class RetrieverModel(SearchModel):
    """Implements SearchModel with the project's encoder, composer and tagger.

    A weight s of the image adds (s − 1) times the image to the composer's output before the query
    is normalised. With the arithmetic composer, the query is s·image + Σ added − Σ removed, with
    the composer's weights of the three terms.

    Args:
        model: the encoder and the composer. A search by words alone needs an encoder whose texts
            and images share a space.
        tagger: reads the sentences; without one, changes can be given as names only.
    """

    def __init__(self, model: EncodedComposer, tagger: Tagger | None = None):
        self._model = model.eval()
        self._images = DeviceBatches(model.encoder)
        self._tagger = tagger
        self.has_tagger = tagger is not None
        self._fingerprint: str | None = None
        self._names: dict[str, torch.Tensor] = {}  # features [D], the latest name last
        # The text tower's mask and the tokenizers' settings change during a call.
        self._words = Lock()
        self._sentences = Lock()

    def __reduce__(self) -> tuple:
        """Travel to another process as what the model is made of: locks cannot be pickled."""
        return type(self), (self._model, self._tagger)

    @property
    def dim(self) -> int:
        return self._model.encoder.dim

    @property
    def batch_size(self) -> int:
        encoder = self._model.encoder
        return images_at_once(encoder.image_size, encoder.device)

    @property
    def least_side(self) -> int:
        """Twice the side of the encoder's input: resizing then hides how the JPEG was reduced."""
        return 2 * max(self._model.encoder.image_size)

    def fingerprint(self) -> str:
        if self._fingerprint is None:
            composer = self._model.composer
            digest = files.fingerprint(
                self._model.encoder.fingerprint(),
                composer.settings(),
                weights_digest(composer),
            )
            self._fingerprint = with_precision(digest, self._model.encoder.precision)
        return self._fingerprint

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Turn an RGB image into the encoder's input, uint8 [3, H, W].

        Images longer than _LONGEST lose their ends first: an encoder that crops the centre sees
        the same pixels, and an encoder that squeezes the image into a square loses the ends.
        """
        return self._model.encoder.preprocess(_without_ends(image))

    @torch.inference_mode()
    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        return _array(functional.normalize(self._images(np.ascontiguousarray(pixels)), dim=1))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        encoder = self._model.encoder
        if isinstance(encoder, PairedEncoder):
            raise UserError(
                "this model cannot search by words alone, because its texts and its images lie in "
                "different spaces: add an image, or serve an encoder that was trained on both"
            )
        with self._words:
            return _array(functional.normalize(encoder.encode_texts(texts), dim=1))

    def unread(self, text: str) -> str:
        """Return the words at the end of a text for `encode_texts` that the model cuts off.

        They are those that change no token. A word that is read in part counts as read.
        """
        tokenizer = getattr(self._model.encoder, "tokenizer", None)
        if tokenizer is None:
            return ""
        words = text.split()
        with self._words:
            whole = tokenizer([" ".join(words)])
            if not torch.equal(whole, tokenizer([" ".join([*words, *words])])):
                return ""  # there was room for more

            def is_whole(count: int) -> bool:
                return torch.equal(whole, tokenizer([" ".join(words[:count])]))

            read = bisect_left(range(len(words)), True, key=is_whole)
        return " ".join(words[read:]) if read else ""

    def tag(self, texts: Sequence[str]) -> list[TaggedText]:
        assert self._tagger is not None, "there is no tagger"
        parts = [phrasings.split(text) for text in texts]
        with self._sentences:
            readings = self._tagger.read([rest for _, rest in parts])
        return [
            TaggedText.read(reading, text, clauses)
            for text, (clauses, _), reading in zip(texts, parts, readings, strict=True)
        ]

    @torch.inference_mode()
    def compose(
        self, images: np.ndarray, edits: Sequence[Edit], image_weights: Sequence[float]
    ) -> np.ndarray:
        assert len(images) == len(edits) == len(image_weights), "lengths of the arguments"
        model = self._model
        features = _tensor(images).to(model.encoder.device)
        if images.ndim == 4:
            features = model.encoder.encode_images(features)
        edit = self._encoded(edits)
        query = model.composer(features, edit).float()
        weights = torch.tensor(image_weights, dtype=torch.float32, device=query.device)
        if (weights != 1).any():
            query = query + (weights - 1).unsqueeze(1) * self._alone(features)
        if (query.norm(dim=1) <= _NO_DIRECTION * features.norm(dim=1)).any():
            raise UserError(
                "there is nothing to search by: the image has no weight, and nothing is added or "
                "removed"
            )
        return _array(functional.normalize(query, dim=1))

    def _encoded(self, edits: Sequence[Edit]) -> EditFeatures:
        """Encode edits; of the names, only those that are not among the last `_NAMES_KEPT`."""
        model, names = self._model, names_in(edits)
        with self._words:
            new = [name for name in names if name not in self._names]
            rows = model.encoder.encode_names(new)
            self._names |= {name: row.clone() for name, row in zip(new, rows, strict=True)}
            features = torch.stack([self._names[name] for name in names]) if names else rows
            for name in names:
                self._names[name] = self._names.pop(name)
            while len(self._names) > _NAMES_KEPT:
                del self._names[next(iter(self._names))]
            text = model.encode_texts(edits)
        return EncodedEdits(edits, names, features, text)[:]

    def _alone(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image [B, D] as the composer adds it: its features, scaled or not."""
        composer = self._model.composer
        arithmetic = getattr(composer, "arithmetic", composer)
        if not isinstance(arithmetic, ArithmeticComposer):
            return image
        nothing = EditFeatures.gather([Edit("")] * len(image), [], image[:0])
        return arithmetic(image, nothing).float()


def load(folder: Path | str, tagger: Path | str | None = None) -> RetrieverModel:
    """Load a model, and a tagger if its folder is given, on a GPU if there is one.

    Raises UserError if a folder is missing, incomplete, or contains something else.
    """
    model = EncodedComposer.load(folder).to(DEVICE)
    return RetrieverModel(model, None if tagger is None else Tagger.load(tagger, DEVICE))


def _without_ends(image: Image.Image) -> Image.Image:
    """Cut an image to at most `_LONGEST` times its shorter side, around the centre."""
    width, height = image.size
    most = _LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    # Both ends lose the same number of pixels, so that the centre stays the same.
    across, down = (max(0, side - most) // 2 for side in (width, height))
    return image.crop((across, down, width - across, height - down))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _array(rows: torch.Tensor) -> np.ndarray:
    return rows.float().cpu().numpy()
