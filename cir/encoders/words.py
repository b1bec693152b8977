"""An LSTM over words, learned from nothing: how TIRG reads texts."""

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
    """A text's words as the published code splits it: ASCII letters, lower case, no punctuation.

    What is not ASCII vanishes; a hyphen or apostrophe vanishes and joins what it stood between.
    """
    ascii_only = text.encode("ascii", "ignore").decode("ascii")
    return ascii_only.lower().translate(_NO_PUNCTUATION).split()


class WordLSTM(nn.Module):
    """Word embeddings, one layer of LSTM, its state after the last word, dropout, a linear layer.

    As in the code of TIRG (Vo et al., CVPR 2019), whose E is 512. A word that is not in the
    vocabulary, and a text without words, is the unknown word, number 0.

    Args:
        vocabulary: the known words, each once.
        dim: E, the length of embeddings, state and output.
        dropout: in front of the last layer; 0.1 in the published code.
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
        """One that knows the words of these texts; UserError where there are none."""
        vocabulary = dict.fromkeys(word for text in texts for word in words_of(text))
        if not vocabulary:
            raise UserError("the training texts hold no word in ASCII letters to learn from")
        return cls(tuple(vocabulary), dim, dropout)

    @classmethod
    def load(cls, folder: Path) -> "WordLSTM":
        """Read what `save` wrote; UserError where it is incomplete or does not fit together."""
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
        """Where the weights are."""
        return self.embedding.weight.device

    def fingerprint(self) -> str:
        """A short digest of weights and vocabulary: equal iff the vectors would be."""
        return files.fingerprint(weights_digest(self), list(self.vocabulary))

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → features [N, E]; [0, E] for no texts."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        numbers = [[self._number.get(w, 0) for w in words_of(text)] or [0] for text in texts]
        lengths = torch.tensor([len(one) for one in numbers], device=self.device)
        padded = nn.utils.rnn.pad_sequence([torch.tensor(one) for one in numbers], batch_first=True)
        states, _ = self.lstm(self.embedding(padded.to(self.device)))
        last = states[torch.arange(len(texts), device=self.device), lengths - 1]
        return self.output(self.dropout(last)).float()
