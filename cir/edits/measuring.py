"""Measure a trained tagger: splits, disturbed sentences, and how true its confidence is."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize

from cir.core.records import Edit
from cir.edits.held_out import PEOPLE
from cir.edits.reading.disturbances import DISTURBANCES, disturb
from cir.edits.reading.metrics import breakdown, same_edit
from cir.edits.reading.readings import Calibration
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.templates import TaggedSentence
from cir.edits.results import Confident, Disturbed, Metrics, Size, Split

TESTED = (
    *("seen", "unseen_templates", "unseen_objects", "both_unseen", "unseen_families"),
    *PEOPLE,
)
_BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_BATCH = 256


def measure(tagger: Tagger, splits: Mapping[str, Sequence[TaggedSentence]]) -> Metrics:
    """Measure a tagger on the splits of TESTED that have sentences, for metrics/tagger.json."""
    results = {}
    for name in filter(splits.get, TESTED):
        labels = tagger.word_labels([sentence.text for sentence in splits[name]], _BATCH)
        results[name] = Split(split=name, **breakdown(splits[name], labels))
    unseen, people = results["both_unseen"], results["people"]
    return Metrics(
        tagger_exact_edit=unseen.exact_edit,
        tagger_span_f1=unseen.span_f1,
        tagger_people_exact_edit=people.exact_edit,
        robustness=_robustness(tagger, splits["both_unseen"]),
        reliability=_reliability(tagger, splits["people"]),
        splits=list(results.values()),
        sizes=[Size(split=name, sentences=len(some)) for name, some in splits.items()],
    )


def calibration(tagger: Tagger, sentences: Sequence[TaggedSentence]) -> Calibration:
    """Fit the confidence of a tagger to how often it reads these sentences right."""
    texts = [sentence.text for sentence in sentences]
    labels = tagger.word_labels(texts, _BATCH)
    right = [list(s.labels) == own for s, own in zip(sentences, labels, strict=True)]
    return fit(tagger.margins(texts, _BATCH), right)


def fit(margins: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Find the slope and offset of the most likely calibration, with Platt's smoothed targets.

    Args:
        margins: of each sentence, the margin of its least sure word; infinite ones do not count.
        right: whether all words of the sentence have the right label.
    """
    finite = np.isfinite(margins)
    x, hit = np.asarray(margins, dtype=float)[finite], np.asarray(right)[finite]
    hits, misses = hit.sum(), (~hit).sum()
    y = np.where(hit, (hits + 1) / (hits + 2), 1 / (misses + 2))

    def loss(weights: np.ndarray) -> float:
        scores = weights[0] * x + weights[1]
        return float((np.logaddexp(0, scores) - y * scores).mean())

    slope, offset = minimize(loss, [1.0, 0.0]).x
    return Calibration(float(max(slope, 0.0)), float(offset))


def _robustness(tagger: Tagger, sentences: Sequence[TaggedSentence]) -> list[Disturbed]:
    edits = [Edit(item.text, item.add, item.remove) for item in sentences]
    clean = _right(tagger, edits).mean()
    rows = []
    for what in DISTURBANCES:
        changed = [
            Edit(disturb(what, edit.text, (*edit.add, *edit.remove), number), edit.add, edit.remove)
            for number, edit in enumerate(edits)
        ]
        exact = _right(tagger, changed).mean()
        rows.append(
            Disturbed(
                what=what,
                count=len(edits),
                changed=np.mean([a.text != b.text for a, b in zip(edits, changed, strict=True)]),
                exact_edit=exact,
                of_clean=exact / clean if clean else 0.0,
            )
        )
    return rows


def _right(tagger: Tagger, edits: Sequence[Edit]) -> np.ndarray:
    read = tagger.tag([edit.text for edit in edits], _BATCH)
    return np.array([same_edit(true, own) for true, own in zip(edits, read, strict=True)])


def _reliability(tagger: Tagger, sentences: Sequence[TaggedSentence]) -> list[Confident]:
    readings = tagger.read([sentence.text for sentence in sentences], _BATCH)
    confidence = np.array([reading.confidence for reading in readings])
    pairs = zip(readings, sentences, strict=True)
    right = np.array([reading.labels == sentence.labels for reading, sentence in pairs])
    rows = []
    for least, most in itertools.pairwise(_BINS):
        inside = (confidence >= least) & ((confidence < most) | (most == 1.0))
        if inside.any():
            rows.append(
                Confident(
                    least=least,
                    most=most,
                    count=int(inside.sum()),
                    confidence=confidence[inside].mean(),
                    exact_edit=right[inside].mean(),
                )
            )
    return rows
