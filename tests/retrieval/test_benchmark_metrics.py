"""The figures of the published benchmarks: by hand, and against slow or foreign versions."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_average_precision

from cir.retrieval.ranking.benchmark_metrics import (
    average_precision,
    caption_figures,
    circo_figures,
    cirr_figures,
    fashioniq_average,
    fashioniq_figures,
    mean_average_precision,
)


def ranks(*values):
    return np.array(values)


def literal_average_precision(answers, right, k):
    """AP@k read off the definition: Σ P(i)·rel(i) for i ≤ k, over min(|GT|, k)."""
    total = 0.0
    for place in range(1, k + 1):
        if answers[place - 1] in right:
            total += sum(answer in right for answer in answers[:place]) / place
    return total / min(len(right), k)


def test_average_precision_by_hand():
    assert average_precision(ranks(1, 3, 6), 5) == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert average_precision(ranks(1, 3, 6), 2) == pytest.approx((1 / 1) / 2)
    assert average_precision(ranks(2), 5) == pytest.approx(1 / 2)
    assert average_precision(ranks(6), 5) == 0
    assert average_precision(np.arange(1, 8), 5) == 1  # seven hits, five places
    assert mean_average_precision([ranks(2), ranks(1, 3, 6)], 5) == pytest.approx(
        (1 / 2 + 5 / 9) / 2
    )


@pytest.mark.parametrize("k", [1, 5, 10, 40])
def test_average_precision_is_its_definition_and_torchmetrics(k):
    rng = np.random.default_rng(k)
    for count in (1, 2, 7, 20):
        answers = rng.permutation(40).tolist()
        right = set(rng.choice(40, count, replace=False).tolist())
        places = [place for place, answer in enumerate(answers, 1) if answer in right]
        got = average_precision(np.array(places), k)
        assert got == pytest.approx(literal_average_precision(answers, right, k))
        if k == 40:  # the whole ranking: the usual average precision
            relevant = torch.tensor([answer in right for answer in answers])
            expected = retrieval_average_precision(torch.arange(40.0, 0.0, -1.0), relevant)
            assert got == pytest.approx(expected.item())


@pytest.mark.parametrize("wrong", [ranks(), ranks(0, 2), ranks(3, 1), ranks(2, 2), ranks([1, 2])])
def test_impossible_ranks_are_refused(wrong):
    with pytest.raises(AssertionError):
        average_precision(wrong, 5)


def test_caption_recall_counts_the_first_hit_and_is_not_cut_off():
    figures = caption_figures([ranks(1, 2, 3), ranks(6, 7), ranks(51, 80), ranks(101)])
    assert figures == {
        "recall@1": 1 / 4,
        "recall@5": 1 / 4,
        "recall@10": 2 / 4,
        "recall@50": 2 / 4,
        "recall@100": 3 / 4,
    }


def test_fashioniq_by_hand():
    dress = fashioniq_figures(ranks(1, 10, 11, 50))
    assert dress == {"recall@10": 2 / 4, "recall@50": 1.0}
    shirt = fashioniq_figures(ranks(51, 60))
    toptee = fashioniq_figures(ranks(3, 20, 300, 4000, 20, 9, 7, 8))
    average = fashioniq_average([dress, shirt, toptee])
    assert average["recall@10"] == pytest.approx((1 / 2 + 0 + 4 / 8) / 3)
    assert average["recall@50"] == pytest.approx((1 + 0 + 6 / 8) / 3)
    assert average["mean"] == pytest.approx((1 / 3 + 7 / 12) / 2)


def test_cirr_by_hand():
    figures = cirr_figures(ranks(1, 4, 6, 11), ranks(1, 1, 2, 3))
    assert figures == {
        "recall@1": 1 / 4,
        "recall@5": 2 / 4,
        "recall@10": 3 / 4,
        "recall@50": 1.0,
        "recall_subset@1": 2 / 4,
        "recall_subset@2": 3 / 4,
        "recall_subset@3": 1.0,
        "average": (2 / 4 + 2 / 4) / 2,
    }


def test_circo_by_hand():
    hits = [ranks(1, 3, 6), ranks(2), ranks(12, 20)]
    aspects = [("negation",), ("negation", "viewpoint"), ("viewpoint",)]
    figures = circo_figures(hits, ranks(6, 2, 20), aspects)
    first5, first10 = (1 + 2 / 3) / 3, (1 + 2 / 3 + 3 / 6) / 3
    last25 = (1 / 12 + 2 / 20) / 2
    assert figures["mAP@5"] == pytest.approx((first5 + 1 / 2 + 0) / 3)
    assert figures["mAP@10"] == pytest.approx((first10 + 1 / 2 + 0) / 3)
    assert figures["mAP@25"] == figures["mAP@50"] == pytest.approx((first10 + 1 / 2 + last25) / 3)
    assert [figures[f"recall@{k}"] for k in (5, 10, 25, 50)] == [1 / 3, 2 / 3, 1.0, 1.0]
    assert figures["mAP@10 negation"] == pytest.approx((first10 + 1 / 2) / 2)
    assert figures["mAP@10 viewpoint"] == pytest.approx((1 / 2 + 0) / 2)
