"""Measure how well predicted word labels agree with the true labels."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from cir.core.records import Edit
from cir.edits.reading.readings import Reading
from cir.edits.reading.templates import TaggedSentence
from cir.edits.reading.word_splitter import LABELS, spans_of

Labels = Sequence[str]


def agreement(true: Sequence[Labels], predicted: Sequence[Labels]) -> dict[str, float | int]:
    """Measure exact edits (all words right) and micro-averaged precision, recall, F1 of spans.

    A span is found if its label, first word and last word agree. Without any spans, precision,
    recall and F1 are 1.0.
    """
    assert len(true) == len(predicted) > 0
    exact = hits = right = told = 0
    for truth, guess in zip(true, predicted, strict=True):
        assert len(truth) == len(guess)
        exact += list(truth) == list(guess)
        true_spans, guessed_spans = set(spans_of(truth)), set(spans_of(guess))
        hits += len(true_spans & guessed_spans)
        right += len(true_spans)
        told += len(guessed_spans)
    return {
        "exact_edit": exact / len(true),
        "span_precision": hits / told if told else 1.0,
        "span_recall": hits / right if right else 1.0,
        "span_f1": 2 * hits / (right + told) if right + told else 1.0,
        "count": len(true),
    }


def breakdown(sentences: Sequence[TaggedSentence], predicted: Sequence[Labels]) -> dict[str, Any]:
    """Measure `agreement`, exact edits by number of objects and by style, and `confusion`.

    `exact_edit_forgiven` is the share of edits that `same_edit` accepts with a describing word more
    or less.
    """
    exact = [list(s.labels) == list(p) for s, p in zip(sentences, predicted, strict=True)]
    objects = [len(sentence.add) + len(sentence.remove) for sentence in sentences]
    true = [sentence.labels for sentence in sentences]
    forgiven = [
        same_edit(
            Reading.of_labels(sentence.text, sentence.labels).edit,
            Reading.of_labels(sentence.text, labels).edit,
            forgive_adjective=True,
        )
        for sentence, labels in zip(sentences, predicted, strict=True)
    ]
    return {
        **agreement(true, predicted),
        "exact_edit_forgiven": sum(forgiven) / len(forgiven),
        "by_objects": _exact_by("objects", objects, exact),
        "by_style": _exact_by("style", [sentence.style for sentence in sentences], exact),
        "confusion": confusion(true, predicted),
    }


def _exact_by(
    name: str, keys: Sequence[str] | Sequence[int], exact: Sequence[bool]
) -> list[dict[str, Any]]:
    groups: dict[Any, list[bool]] = defaultdict(list)
    for key, right in zip(keys, exact, strict=True):
        groups[key].append(right)
    return [
        {name: key, "count": len(group), "exact_edit": sum(group) / len(group)}
        for key, group in sorted(groups.items())
    ]


def confusion(true: Sequence[Labels], predicted: Sequence[Labels]) -> list[dict[str, Any]]:
    """Count the words of each true label by predicted label, in one row per true label."""
    counts = Counter(
        pair
        for labels, guesses in zip(true, predicted, strict=True)
        for pair in zip(labels, guesses, strict=True)
    )
    return [
        {"true": label, **{guess: counts[label, guess] for guess in LABELS}} for label in LABELS
    ]


def same_edit(true: Edit, predicted: Edit, forgive_adjective: bool = False) -> bool:
    """Return whether two edits name the same objects in the same order, in any letter case.

    With `forgive_adjective`, a predicted object may have one word more in front than the true
    object ("majestic tiger" for "tiger"), or one word less ("lady" for "fat lady"). People do not
    agree on whether an adjective belongs to the object.
    """
    sides = ((true.add, predicted.add), (true.remove, predicted.remove))
    if any(len(wanted) != len(got) for wanted, got in sides):
        return False
    pairs = [pair for wanted, got in sides for pair in zip(wanted, got, strict=True)]
    return all(_same_name(wanted, got, forgive_adjective) for wanted, got in pairs)


def _same_name(wanted: str, got: str, forgive_adjective: bool) -> bool:
    true, predicted = wanted.lower().split(), got.lower().split()
    if true == predicted:
        return True
    one_more = len(predicted) > 1 and predicted[1:] == true
    one_less = len(true) > 1 and true[1:] == predicted
    return forgive_adjective and (one_more or one_less)
