"""Read the edit that a sentence asks for, with a token classifier over its words."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from cir.core.device import in_threads
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.reading.pieces import Pieces
from cir.edits.reading.readings import Calibration, Reading
from cir.edits.reading.viterbi import INSIDE, max_marginals
from cir.edits.reading.word_splitter import LABELS, split_words

_SAYS_NOTHING = set(".,;:!?()\"'")  # but "-" and "+" have a meaning: "- hat + scarf"
_OVERLAP = 4  # a quarter of a window is context for each of its neighbours


@dataclass(frozen=True)
class _Window:
    """Words `first` to `last` of a text, read together; the words in `kept` get labels from it."""

    text: int
    first: int
    last: int
    kept: range


class Tagger:
    """Finds the objects to add and to remove in sentences.

    Args:
        model: a token classifier with the labels of `cir.edits.reading.word_splitter.LABELS`, in
            any order.
        tokenizer: its tokenizer, a fast one.

    Raises:
        ValueError: the tokenizer cannot pad, or the model has no positions of its own.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self._model = model.eval()
        self._pieces = Pieces(tokenizer, getattr(model.config, "context_words", ()))
        self._labels = [model.config.id2label[index] for index in range(len(LABELS))]
        self._calibration = Calibration.of(model.config)
        limit = getattr(model.config, "max_position_embeddings", 512)
        self._room = min(limit, tokenizer.model_max_length) - self._pieces.special - _offset(model)
        if self._room < 1:
            raise ValueError(f"the model has {limit} positions")

    @classmethod
    def load(cls, folder: Path | str, device: str | torch.device = "cpu") -> "Tagger":
        """Load the folder of a trained tagger; raises UserError for any other folder."""
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise UserError(
                f"{folder} contains no tagger (config.json is missing); "
                "train one first with: dvc repro train_tagger"
            )
        logging.disable_progress_bar()  # the bar for 54 small tensors would break up a log
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{folder} cannot be loaded as a tagger: {reason}") from None
        found = set(model.config.id2label.values())
        if found != set(LABELS):
            raise UserError(
                f"{folder} contains no tagger of edits: expected the labels {', '.join(LABELS)}, "
                f"got {', '.join(sorted(map(str, found)))}."
            )
        return cls(model.to(device), tokenizer)

    def tag(self, texts: Sequence[str], batch_size: int = 64) -> list[Edit]:
        """Return the edit of each text, with its objects in the order of the text.

        The objects are written as in the text, but in plain characters (see
        `cir.edits.reading.word_splitter.plain`). A text without objects gives an empty edit. A
        text that is longer than the model's limit is read in overlapping windows.
        """
        return [reading.edit for reading in self.read(texts, batch_size)]

    def word_labels(self, texts: Sequence[str], batch_size: int = 64) -> list[list[str]]:
        """Return the labels of the words of `split_words(text)`, for each text."""
        found = self._labels_and_margins(list(map(split_words, texts)), batch_size)
        return [labels for labels, _ in found]

    def read(self, texts: Sequence[str], batch_size: int = 64) -> list[Reading]:
        """Return the edit of each text as `tag` does, and how sure it is."""
        words = list(map(split_words, texts))
        found = self._labels_and_margins(words, batch_size)
        sure = iter(self._calibration([margin for _, margins in found for margin in margins]))
        return [
            Reading.of_labels(text, labels, list(islice(sure, len(labels))), some)
            for text, some, (labels, _) in zip(texts, words, found, strict=True)
        ]

    def margins(self, texts: Sequence[str], batch_size: int = 64) -> list[float]:
        """Return the margin of the least sure word of each text, for `Calibration.fit`."""
        found = self._labels_and_margins(list(map(split_words, texts)), batch_size)
        return [min(margins, default=math.inf) for _, margins in found]

    def _labels_and_margins(
        self, words: Sequence[list[str]], batch_size: int
    ) -> list[tuple[list[str], list[float]]]:
        pieces = self._pieces(words)
        found = [(["other"] * len(some), [math.inf] * len(some)) for some in words]
        windows = [w for index in range(len(words)) for w in self._cut(index, words, pieces)]
        windows.sort(key=lambda window: window.last - window.first)  # to need less padding
        for batch, scores in self._scored(windows, batch_size, pieces):
            read = self._read(scores(), [words[w.text][w.first : w.last] for w in batch])
            for window, (best, margin) in zip(batch, read, strict=True):
                labels, margins = found[window.text]
                for word in window.kept:
                    place = word - window.first
                    if place < len(best):  # a single word may be longer than the model's limit
                        labels[word], margins[word] = self._labels[best[place]], margin[place]
        return found

    def _scored(
        self,
        windows: Sequence[_Window],
        batch_size: int,
        pieces: Sequence[Sequence[tuple[int, ...]]],
    ) -> Iterator[tuple[Sequence[_Window], Callable[[], list[np.ndarray]]]]:
        """Yield batches of windows with a function that waits for the scores of their words.

        A GPU computes the next batch while the scores of the one before are read. On a processor,
        two threads have a batch each: they do not wait for each other, as torch's threads do.
        """
        starts = range(0, len(windows), batch_size)
        batches = [windows[start : start + batch_size] for start in starts]
        asked = ([pieces[w.text][w.first : w.last] for w in batch] for batch in batches)
        if len(batches) > 1 and self._model.device.type == "cpu":
            yield from zip(batches, in_threads(self._score, asked, 2), strict=True)
            return
        ahead: deque = deque()
        for batch, sentences in zip(batches, asked, strict=True):
            ahead.append((batch, self._score(sentences)))
            if len(ahead) > 1:
                yield ahead.popleft()
        yield from ahead

    @torch.inference_mode()
    def _score(
        self, sentences: Sequence[Sequence[tuple[int, ...]]]
    ) -> Callable[[], list[np.ndarray]]:
        """Start the model on a batch; return a function that waits for each sentence's scores.

        The scores are float32 [words, labels]; a word's first piece decides its label.
        """
        ids, attention, firsts = self._pieces.batch(sentences, self._room)
        device = self._model.device
        logits = self._model(input_ids=ids.to(device), attention_mask=attention.to(device)).logits
        on_gpu = device.type == "cuda"
        copied = logits.float().to("cpu", non_blocking=on_gpu)
        done = torch.cuda.Event() if on_gpu else None
        if done is not None:
            done.record(torch.cuda.current_stream(device))

        def scores() -> list[np.ndarray]:
            if done is not None:
                done.synchronize()
            return [row[places] for row, places in zip(copied.numpy(), firsts, strict=True)]

        return scores

    def _read(
        self, of_words: Sequence[np.ndarray], words: Sequence[Sequence[str]]
    ) -> Iterator[tuple[list[int], list[float]]]:
        """Yield the labels and margins of each sentence, from the scores of its words."""
        lengths = np.array([len(some) for some in of_words])
        scores = np.zeros((len(of_words), lengths.max(initial=0), len(LABELS)))
        inside = np.zeros(scores.shape[:2], dtype=bool)
        for row, (own, some) in enumerate(zip(of_words, words, strict=True)):
            scores[row, : len(own)] = own
            inside[row, : len(own)] = [word.lower() in INSIDE for word in some[: len(own)]]
        best = max_marginals(scores, lengths, self._labels, inside)
        labels = best.argmax(axis=2)
        ordered = np.sort(best, axis=2)
        margins = ordered[..., -1] - ordered[..., -2]
        for row, count in enumerate(lengths):
            yield labels[row, :count].tolist(), margins[row, :count].tolist()

    def _cut(
        self,
        index: int,
        words: Sequence[list[str]],
        pieces: Sequence[Sequence[tuple[int, ...]]],
    ) -> Iterator[_Window]:
        """Cut a text into windows that fit the model; most texts fit into one.

        A text without a known word, for example in another script, gives no window, because the
        model could only guess.
        """
        sizes = [len(some) for some in pieces[index]]
        said = [
            some
            for word, some in zip(words[index], pieces[index], strict=True)
            if word not in _SAYS_NOTHING
        ]
        if not any(map(self._pieces.known, said)):
            return
        first = kept = 0
        while True:
            last, used = first, 0
            while last < len(sizes) and (last == first or used + sizes[last] <= self._room):
                used += sizes[last]
                last += 1
            if last == len(sizes):
                yield _Window(index, first, last, range(kept, last))
                return
            context = (last - first) // _OVERLAP
            until = max(last - context, kept + 1)
            yield _Window(index, first, last, range(kept, until))
            first = until - context if until < last else until
            kept = until


def _offset(model: PreTrainedModel) -> int:
    """Count the positions that a RoBERTa model leaves unused: it counts from its padding id."""
    padding = getattr(getattr(model.base_model, "embeddings", None), "padding_idx", None)
    return 0 if padding is None else padding + 1
