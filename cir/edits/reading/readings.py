"""What the tagger reads in a sentence: the edit, how sure it is, and what is odd about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit
from transformers import PretrainedConfig

from cir.core.records import Edit
from cir.edits.reading.word_splitter import spans_of, split_words

# A sentence of some length that has none of these words is not taken for English.
_ENGLISH = frozenset(
    """
    a an the this that these those some any no not one two three all both every
    and or but then also plus minus so while after before once when if
    of in on at to from with without for by into onto out off up down away instead of
    i you we it he she they me us my your our its his her their them
    is are be was were been has have had do does did can could would should will please let
    add adding added insert include put place placing bring give show paint draw
    remove removing removed delete deleting erase take taking drop lose get rid clear cut
    replace replacing replaced swap swapping exchange change trade turn make need want like
    there here where more less only just now image picture photo scene
    """.split()
)
_FEW_WORDS = 3


@dataclass(frozen=True)
class Reading:
    """An edit with its confidence.

    Attributes:
        edit: the objects to add and to remove.
        labels: the label of each word of `split_words(edit.text)`.
        sureness: of each word, how probable it is that its label is right, from 0 to 1.
    """

    edit: Edit
    labels: tuple[str, ...]
    sureness: tuple[float, ...]

    @classmethod
    def of_labels(
        cls,
        text: str,
        labels: Sequence[str],
        sureness: Sequence[float] | None = None,
        words: Sequence[str] | None = None,
    ) -> Self:
        """Put together the edit of a text whose words have these labels.

        `words` are those of `split_words(text)`, where the caller has them already.
        """
        names: dict[str, list[str]] = {"pos": [], "neg": []}
        words = split_words(text) if words is None else words
        for label, first, after in spans_of(labels):
            names[label].append(" ".join(words[first:after]))
        edit = Edit(text, add=tuple(names["pos"]), remove=tuple(names["neg"]))
        return cls(
            edit, tuple(labels), (1.0,) * len(labels) if sureness is None else tuple(sureness)
        )

    @property
    def confidence(self) -> float:
        """How probable it is that the whole edit is right: that of the least sure word."""
        return min(self.sureness, default=1.0)

    def confidence_by_object(self) -> dict[str, list[float]]:
        """Return, for "add" and "remove", the confidence in each object of the edit.

        It is that of the least sure among the object's words and the words beside them, because
        the name ends where its neighbours begin.
        """
        found: dict[str, list[float]] = {"pos": [], "neg": []}
        for label, first, after in spans_of(self.labels):
            found[label].append(min(self.sureness[max(0, first - 1) : after + 1]))
        return {"add": found["pos"], "remove": found["neg"]}

    def remarks(self) -> list[str]:
        """Say what is odd about the edit: that it is empty, contradictory or not in English."""
        edit = self.edit
        said = []
        if not looks_english(edit.text):
            said.append("it does not look like English, the only language that the tagger reads")
        if not edit.add and not edit.remove:
            said.append("it names no object to add or to remove")
        removed = {name.casefold() for name in edit.remove}
        for name in dict.fromkeys(name for name in edit.add if name.casefold() in removed):
            said.append(f"it both adds and removes {name!r}")
        return said


def looks_english(text: str) -> bool:
    """Return whether a text has one of the commonest English words, or is very short."""
    words = [word.lower() for word in split_words(text) if any(map(str.isalpha, word))]
    latin = sum(letter.isascii() for word in words for letter in word)
    if 2 * latin < sum(map(len, words)):
        return False
    return len(words) < _FEW_WORDS or not _ENGLISH.isdisjoint(words)


@dataclass(frozen=True)
class Calibration:
    """Turns the margin of a word into the probability that its sentence is read right.

    The margin is the score of the word's label less that of the next best one. The probability is
    the logistic function of slope * margin + offset (Platt, "Probabilistic outputs for support
    vector machines", 1999), with the margin of the sentence's least sure word.
    """

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, config: PretrainedConfig) -> Self:
        """Read the calibration that training wrote to a model's config."""
        return cls(**(getattr(config, "calibration", None) or {}))

    def __call__(self, margins: Sequence[float]) -> list[float]:
        """Return the probability for each margin; an infinite one is sure."""
        given = np.asarray(margins, dtype=float)
        infinite = np.isinf(given)
        values = self.slope * np.where(infinite, 0.0, given) + self.offset
        return np.where(infinite, 1.0, expit(np.clip(values, -30.0, 30.0))).tolist()
