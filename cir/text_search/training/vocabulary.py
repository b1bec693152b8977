"""Define the tokens of a captioner: all of open_clip's byte pairs, or some of them."""

import re
from collections.abc import Iterable, Sequence

import torch
from open_clip.tokenizer import SimpleTokenizer

_CONTEXT = 76  # the length in open_clip's CoCa models, one less than in CLIP
PAD = 0
_UNKNOWN = 1  # in a vocabulary of some tokens


class Vocabulary:
    """Turns texts into token ids and back.

    Args:
        kept: the tokens to keep of the 49,408, in ascending order; None keeps all. In a vocabulary
            of some, id 0 pads, id 1 stands for every other token, and the kept tokens follow.
        context: the most tokens of a text, including the first and the last token.
    """

    def __init__(self, kept: Sequence[int] | None = None, context: int = _CONTEXT):
        self._tokenizer = SimpleTokenizer(context_length=context)
        self.kept, self.context = None if kept is None else tuple(kept), context
        if self.kept is not None:
            self._new = torch.full((self._tokenizer.vocab_size,), _UNKNOWN)
            self._new[list(self.kept)] = torch.arange(2, 2 + len(self.kept))

    @classmethod
    def of(cls, texts: Iterable[str], context: int) -> "Vocabulary":
        """Keep the tokens of the texts, and the tokens that begin and end every text."""
        plain = SimpleTokenizer(context_length=context)
        tokens = {plain.sot_token_id, plain.eot_token_id}
        tokens.update(token for text in texts for token in plain.encode(text))
        return cls(sorted(tokens), context)

    def __len__(self) -> int:
        return self._tokenizer.vocab_size if self.kept is None else 2 + len(self.kept)

    @property
    def first(self) -> int:
        """Return the id that begins every text."""
        return self._id(self._tokenizer.sot_token_id)

    @property
    def last(self) -> int:
        """Return the id that ends every text."""
        return self._id(self._tokenizer.eot_token_id)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode B texts → ids int64 [B, context], padded with PAD; long texts lose their end."""
        tokens = self._tokenizer(list(texts))
        if self.kept is None:
            return tokens
        # The tokenizer pads with 0, which is also a token ("!"), so only the end tells padding.
        ended = (tokens == self._tokenizer.eot_token_id).long().cumsum(dim=1)
        text = (ended == 0) | (tokens == self._tokenizer.eot_token_id)
        return torch.where(text, self._new[tokens], PAD)

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids up to the end of the text, without the ids that begin and pad it."""
        silent = {self.first, PAD} if self.kept is None else {self.first, PAD, _UNKNOWN}
        words = []
        for number in ids:
            if number == self.last:
                break
            if number not in silent:
                words.append(number if self.kept is None else self.kept[number - 2])
        # The tokenizer puts a space before every punctuation mark.
        return re.sub(r" ([,.;:!?])", r"\1", " ".join(self._tokenizer.decode(words).split()))

    def _id(self, token: int) -> int:
        return token if self.kept is None else int(self._new[token])
