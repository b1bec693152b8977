"""An LSTM over words, trained from scratch, as in TIRG."""

import string
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from cir.core import files
from cir.core.errors import UserError
from cir.core.weights import contiguous_weights, load_weights, read_weights, weights_digest

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(text: str) -> list[str]:
    """Split a text as the published code does: ASCII only, lower case, no punctuation.

    Other characters are removed. A removed hyphen or apostrophe joins its two neighbours.
    """
    ascii_only = text.encode("ascii", "ignore").decode("ascii")
    return ascii_only.lower().translate(_NO_PUNCTUATION).split()


class WordLSTM(nn.Module):
    """Encodes a text by word embeddings, an LSTM's state after the last word, and a linear layer.

    It follows the code of TIRG (Vo et al., CVPR 2019), where E is 512. An unknown word, or a text
    without words, has number 0.

    Args:
        vocabulary: the known words, each once.
        dim: E, the length of embeddings, state and output.
        dropout: dropout before the linear layer; 0.1 in the published code.
    """

    SETTINGS = "words.json"
    _WEIGHTS = "words.safetensors"

    def __init__(self, vocabulary: Sequence[str], dim: int, dropout: float):
        super().__init__()
        self.vocabulary, self.dim = tuple(vocabulary), dim
        self._number = {word: number for number, word in enumerate(self.vocabulary, 1)}
        assert len(self._number) == len(self.vocabulary), "a word comes twice in the vocabulary"
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dim, dim)

    @classmethod
    def for_texts(cls, texts: Iterable[str], dim: int, dropout: float) -> "WordLSTM":
        """Build an encoder that knows the words of these texts; raises UserError for no words."""
        vocabulary = dict.fromkeys(word for text in texts for word in words_of(text))
        if not vocabulary:
            raise UserError("the training texts contain no word in ASCII letters")
        return cls(tuple(vocabulary), dim, dropout)

    @classmethod
    def load(cls, folder: Path) -> "WordLSTM":
        """Read a folder that `save` wrote; raises UserError if it is incomplete or inconsistent."""
        reader, path = cls(**files.read_json(folder / cls.SETTINGS)), folder / cls._WEIGHTS
        load_weights(reader, read_weights(path), str(path), "text encoder")
        return reader

    def save(self, folder: Path) -> None:
        """Write vocabulary and weights into an existing folder."""
        settings = {"vocabulary": self.vocabulary, "dim": self.dim, "dropout": self.dropout.p}
        files.write_json(folder / self.SETTINGS, settings)
        save_file(contiguous_weights(self), folder / self._WEIGHTS)

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.embedding.weight.device

    def fingerprint(self) -> str:
        """Return a digest of weights and vocabulary: equal only if the vectors are equal."""
        return files.fingerprint(weights_digest(self), list(self.vocabulary))

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts as features [N, E]."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        numbers = [[self._number.get(w, 0) for w in words_of(text)] or [0] for text in texts]
        lengths = torch.tensor([len(one) for one in numbers], device=self.device)
        padded = nn.utils.rnn.pad_sequence([torch.tensor(one) for one in numbers], batch_first=True)
        states, _ = self.lstm(self.embedding(padded.to(self.device)))
        last = states[torch.arange(len(texts), device=self.device), lengths - 1]
        return self.output(self.dropout(last)).float()
