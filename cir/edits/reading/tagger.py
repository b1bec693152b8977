"""Read the edit that a sentence asks for, with a token classifier over its words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.reading.word_splitter import LABELS, spans_of, word_spans

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
        any order. tokenizer: its tokenizer, a fast one.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._labels = [model.config.id2label[index] for index in range(len(LABELS))]
        limit = getattr(model.config, "max_position_embeddings", 512)
        self._room = min(limit, tokenizer.model_max_length) - 2 - _offset(model)

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
        """Return the edit of each text, with its objects as written, in the order of the text.

        A text without objects gives an empty edit. A text that is longer than the model's limit is
        read in overlapping windows.
        """
        edits = []
        for text, labels in zip(texts, self.word_labels(texts, batch_size), strict=True):
            positions = word_spans(text)
            found: dict[str, list[str]] = {"pos": [], "neg": []}
            for label, first, after in spans_of(labels):
                found[label].append(text[positions[first][0] : positions[after - 1][1]])
            names = {label: tuple(" ".join(n.split()) for n in found[label]) for label in found}
            edits.append(Edit(text, add=names["pos"], remove=names["neg"]))
        return edits

    @torch.inference_mode()
    def word_labels(self, texts: Sequence[str], batch_size: int = 64) -> list[list[str]]:
        """Return the labels of the words of `split_words(text)`, for each text."""
        words = [[text[start:end] for start, end in word_spans(text)] for text in texts]
        labels = [["other"] * len(some) for some in words]
        windows = [window for index, some in enumerate(words) for window in self._cut(index, some)]
        windows.sort(key=lambda window: window.last - window.first)  # to need less padding
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            for window, found in zip(batch, self._read(batch, words), strict=True):
                for word in window.kept:
                    labels[window.text][word] = found.get(word - window.first, "other")
        return labels

    def _read(self, batch: list[_Window], words: list[list[str]]) -> list[dict[int, str]]:
        """Return the labels of each window by word; the first piece of a word decides its label."""
        encoded = self._tokenizer(
            [words[window.text][window.first : window.last] for window in batch],
            is_split_into_words=True,
            truncation=True,
            max_length=self._room + 2,
            padding=True,
            return_tensors="pt",
        )
        inputs = {name: tensor.to(self._model.device) for name, tensor in encoded.items()}
        best = self._model(**inputs).logits.argmax(dim=-1).tolist()
        return [
            {
                word: self._labels[best[row][position]]
                for position, word in reversed(list(enumerate(encoded.word_ids(row))))
                if word is not None
            }
            for row in range(len(batch))
        ]

    def _cut(self, index: int, words: list[str]) -> Iterator[_Window]:
        """Cut a text into windows that fit the model; most texts fit into one.

        A text without a known word, for example in another script, gives no window, because the
        model could only guess.
        """
        if not words:
            return
        encoded = self._tokenizer(
            words, is_split_into_words=True, add_special_tokens=False, verbose=False
        )
        sizes = [0] * len(words)
        known = False
        for piece, word in zip(encoded["input_ids"], encoded.word_ids(), strict=True):
            sizes[word] += 1
            known |= piece != self._tokenizer.unk_token_id and words[word] not in _SAYS_NOTHING
        if not known:
            return
        first = kept = 0
        while True:
            last, used = first, 0
            while last < len(words) and (last == first or used + sizes[last] <= self._room):
                used += sizes[last]
                last += 1
            if last == len(words):
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
