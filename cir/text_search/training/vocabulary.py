"""The tokens that a captioner reads and writes: all of open_clip's byte pairs, or some of them."""

import re
from collections.abc import Iterable, Sequence

import torch
from open_clip.tokenizer import SimpleTokenizer

_CONTEXT = 76  # of open_clip's CoCa models, one less than CLIP's
PAD = 0
_UNKNOWN = 1  # of a vocabulary of some


class Vocabulary:
    """Texts to token ids and back.

    Args:
        kept: which of the 49,408 tokens there are, ascending; None: all of them. Of some, id 0
            pads, id 1 stands for every token that is not kept, and the kept ones follow.
        context: the most tokens of a text, its first and last included.
    """

    def __init__(self, kept: Sequence[int] | None = None, context: int = _CONTEXT):
        self._tokenizer = SimpleTokenizer(context_length=context)
        self.kept, self.context = None if kept is None else tuple(kept), context
        if self.kept is not None:
            self._new = torch.full((self._tokenizer.vocab_size,), _UNKNOWN)
            self._new[list(self.kept)] = torch.arange(2, 2 + len(self.kept))

    @classmethod
    def of(cls, texts: Iterable[str], context: int) -> "Vocabulary":
        """The tokens that these texts hold, and those that begin and end every text."""
        plain = SimpleTokenizer(context_length=context)
        tokens = {plain.sot_token_id, plain.eot_token_id}
        tokens.update(token for text in texts for token in plain.encode(text))
        return cls(sorted(tokens), context)

    def __len__(self) -> int:
        return self._tokenizer.vocab_size if self.kept is None else 2 + len(self.kept)

    @property
    def first(self) -> int:
        """The id that begins every text."""
        return self._id(self._tokenizer.sot_token_id)

    @property
    def last(self) -> int:
        """The id that ends every text."""
        return self._id(self._tokenizer.eot_token_id)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Ids int64 [B, context], padded with PAD; a text that is too long loses its end."""
        tokens = self._tokenizer(list(texts))
        if self.kept is None:
            return tokens
        # The tokenizer pads with 0, which is a token as well ("!"): what follows the end is none.
        ended = (tokens == self._tokenizer.eot_token_id).long().cumsum(dim=1)
        text = (ended == 0) | (tokens == self._tokenizer.eot_token_id)
        return torch.where(text, self._new[tokens], PAD)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, up to the first that ends it; what begins or pads it is left out."""
        silent = {self.first, PAD} if self.kept is None else {self.first, PAD, _UNKNOWN}
        words = []
        for number in ids:
            if number == self.last:
                break
            if number not in silent:
                words.append(number if self.kept is None else self.kept[number - 2])
        # The tokenizer sets every mark apart from the word before it.
        return re.sub(r" ([,.;:!?])", r"\1", " ".join(self._tokenizer.decode(words).split()))

    def _id(self, token: int) -> int:
        return token if self.kept is None else int(self._new[token])
