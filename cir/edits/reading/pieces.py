"""Turn words into the pieces of a tokenizer, for training and for reading alike.

A pretrained tokenizer has pieces for every word. The vocabulary of a tagger that starts from
scratch (`cir.edits.models.context_tokenizer`) has only the words around the objects. It reads any
other word by its beginning and its ending. So it tells "eliminating" from "elimination", but no
noun from another.

With both, a word that is in no dictionary is read as the known word that it differs from in one
letter: "remvoe" as "remove".
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cir.edits.reading.spelling import Spelling

BEGINNINGS = ("de", "dis", "out", "over", "re", "un")
ENDINGS = tuple(
    """
    able age al an ance ant ar ary ate ation ed ee en ence ent er ers ery es est ette ful ible ic
    ies ify ing ings ion ise ish ism ist ity ive ize le less let ly ment ness on or ors ory ous s
    ship th tion ty ure ware y
    """.split()
)
_LEAST_STEM = 3
_MOST_KEPT = 100_000
_LAST_SHAPE = f"[*{ENDINGS[-1]}]"


def shape_pieces() -> list[str]:
    """Return the pieces by which a vocabulary of context words reads all other words."""
    return [*(f"[{part}*]" for part in BEGINNINGS), *(f"[*{part}]" for part in ENDINGS)]


class Pieces:
    """Maps words to the numbers of their pieces, and keeps those of the words met so far.

    Args:
        tokenizer: a fast tokenizer, with the pieces of `shape_pieces` or without. Raises ValueError
            if it has no padding token.
        words: the words for which one with a typing error may stand, see `Spelling`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, words: Iterable[str] = ()):
        self._tokenizer = tokenizer
        self._meant = Spelling(words)
        self._unknown = tokenizer.unk_token_id
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token")
        self._padding = tokenizer.pad_token_id
        vocabulary = tokenizer.get_vocab()
        self._shapes = _Shapes(vocabulary, self._unknown) if _LAST_SHAPE in vocabulary else None
        (bare,), (whole,) = (
            tokenizer([["a"]], is_split_into_words=True, add_special_tokens=special)["input_ids"]
            for special in (False, True)
        )
        before = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
        self._start, self._end = whole[:before], whole[before + len(bare) :]
        self._kept: dict[str, tuple[int, ...]] = {}

    def __call__(self, sentences: Iterable[Sequence[str]]) -> list[list[tuple[int, ...]]]:
        """Return the pieces of each word of each sentence; every word has at least one."""
        sentences = list(sentences)
        if len(self._kept) > _MOST_KEPT:
            self._kept.clear()
        new = list({word for words in sentences for word in words if word not in self._kept})
        if new:
            for word, pieces in zip(new, self._encode(new), strict=True):
                self._kept[word] = self._look(word, pieces)
        return [[self._kept[word] for word in words] for words in sentences]

    def count(self, words: Sequence[str]) -> int:
        """Return the number of pieces of a sentence."""
        return sum(map(len, self([words])[0]))

    @property
    def special(self) -> int:
        """The number of pieces around a sentence."""
        return len(self._start) + len(self._end)

    def known(self, pieces: Sequence[int]) -> bool:
        """Return whether these are the pieces of a word itself, and not of its look."""
        looks = {self._unknown} if self._shapes is None else self._shapes.numbers
        return looks.isdisjoint(pieces)

    def batch(
        self, sentences: Sequence[Sequence[tuple[int, ...]]], room: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
        """Pad sentences to one length.

        Args:
            sentences: the pieces of the words of each.
            room: how many of them the model takes beside the special ones; the rest is cut off.

        Returns the numbers of the pieces and the attention mask, int64 [B, L], and for each
        sentence the places of the first pieces of its words.
        """
        rows = [
            [*self._start, *[piece for word in words for piece in word][:room], *self._end]
            for words in sentences
        ]
        ids = np.full((len(rows), max(map(len, rows))), self._padding)
        attention = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            attention[number, : len(row)] = 1
        firsts = []
        for words in sentences:
            places = np.cumsum([0, *map(len, words)])[:-1]
            firsts.append(places[places < room] + len(self._start))
        return torch.from_numpy(ids), torch.from_numpy(attention), firsts

    def _encode(self, words: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(
            [[word] for word in words],
            is_split_into_words=True,
            add_special_tokens=False,
            verbose=False,
        )["input_ids"]

    def _look(self, word: str, pieces: Sequence[int]) -> tuple[int, ...]:
        whole = len(pieces) == 1 and pieces[0] != self._unknown
        if not whole and (meant := self._meant(word)) is not None:
            (pieces,) = self._encode([meant])
        elif self._shapes is not None and not whole:
            return self._shapes(word.lower())
        return tuple(pieces) or (self._unknown,)


class _Shapes:
    """Reads unknown words by their look."""

    def __init__(self, vocabulary: dict[str, int], unknown: int):
        self._unknown = unknown
        self._beginnings = {part: vocabulary[f"[{part}*]"] for part in BEGINNINGS}
        longest_first = sorted(ENDINGS, key=len, reverse=True)
        self._endings = {part: vocabulary[f"[*{part}]"] for part in longest_first}
        self.numbers = {unknown, *self._beginnings.values(), *self._endings.values()}

    def __call__(self, word: str) -> tuple[int, ...]:
        beginnings = [part for part in self._beginnings if _begins(word, part)]
        ending = next((part for part in self._endings if _ends(word, part)), None)
        last = self._unknown if ending is None else self._endings[ending]
        return (*(self._beginnings[part] for part in beginnings[:1]), last)


def _begins(word: str, part: str) -> bool:
    return word.startswith(part) and len(word) >= len(part) + _LEAST_STEM


def _ends(word: str, part: str) -> bool:
    return word.endswith(part) and len(word) >= len(part) + _LEAST_STEM
