import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_reciprocal_rank,
)

from cir.retrieval.ranking.metrics import (
    average_precision,
    bootstrap_interval,
    caption_figures,
    circo_figures,
    cirr_figures,
    composition_shares,
    fashioniq_average,
    fashioniq_figures,
    mean_average_precision,
    mean_reciprocal_rank,
    only_together,
    recall_at_k,
)

RANKS = np.array([1, 3, 1, 10, 2])


@pytest.mark.parametrize(("k", "expected"), [(1, 2 / 5), (2, 3 / 5), (5, 4 / 5), (10, 1.0)])
def test_recall_by_hand(k, expected):
    assert recall_at_k(RANKS, k) == expected


def test_reciprocal_rank_by_hand():
    assert mean_reciprocal_rank(RANKS) == pytest.approx((1 + 1 / 3 + 1 + 1 / 10 + 1 / 2) / 5)


def test_reciprocal_rank_is_torchmetrics():
    scores = np.random.default_rng(0).permuted(np.tile(np.arange(40.0), (30, 1)), axis=1)
    relevant = np.eye(30, 40, dtype=bool)
    ranks = 1 + (scores > scores[np.arange(30), np.arange(30)][:, None]).sum(axis=1)
    rows = zip(torch.from_numpy(scores), torch.from_numpy(relevant), strict=True)
    expected = [retrieval_reciprocal_rank(*row).item() for row in rows]
    assert mean_reciprocal_rank(ranks) == pytest.approx(np.mean(expected))


def test_composition_gap_by_hand():
    both, edit, image = (
        np.array([1, 1, 1, 1, 2]),
        np.array([1, 4, 2, 1, 1]),
        np.array([3, 1, 9, 1, 5]),
    )
    # The edit alone solves the first, fourth and fifth query, and the image the second and fourth.
    assert only_together(both, edit, image).tolist() == [False, False, True, False, False]
    assert composition_shares(both, edit, image) == {
        "solved": 4 / 5,
        "edit_shortcuts": 3 / 5,
        "image_shortcuts": 2 / 5,
        "gap": 1 / 5,
    }
    # Among the first three, the edit alone solves all but the second, and the image the first.
    at_3 = composition_shares(both, edit, image, k=3)
    assert at_3 == {"solved": 1.0, "edit_shortcuts": 4 / 5, "image_shortcuts": 3 / 5, "gap": 0.0}


def test_composition_counts_each_query_once():
    rng = np.random.default_rng(3)
    ranks = rng.integers(1, 30, (3, 500))
    for k in (1, 5, 10):
        expected = sum(b <= k and e > k and i > k for b, e, i in ranks.T) / 500
        assert composition_shares(*ranks, k)["gap"] == pytest.approx(expected)


def test_interval_of_many_different_scores():
    """The draws themselves, beyond 2,000 scores, spread as the multinomial counts do."""
    scores = np.random.default_rng(4).random(2500)
    low, high = bootstrap_interval(scores, seed=0, resamples=2000)
    few_low, few_high = bootstrap_interval(np.round(scores, 3), seed=0, resamples=2000)
    assert (low, high) == pytest.approx((few_low, few_high), abs=0.001)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / 50, rel=0.1)


@pytest.mark.parametrize("ranks", [[], [0, 1], [[1, 2]]])
def test_no_ranks_and_ranks_from_zero_are_refused(ranks):
    with pytest.raises(AssertionError):
        recall_at_k(np.array(ranks), 1)


@pytest.mark.parametrize("answer", [True, False])
def test_interval_of_unanimous_answers_is_a_point(answer):
    assert bootstrap_interval(np.full(7, answer), seed=0) == (float(answer), float(answer))


def test_interval_of_one_of_two_by_hand():
    # Two draws of two answers: 0, 1/2, 1 right with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([True, False]), seed=0) == (0.0, 1.0)


def test_interval_matches_a_loop_that_draws_answers():
    correct = np.random.default_rng(1).random(200) < 0.9
    generator = np.random.default_rng(2)
    means = [correct[generator.integers(0, 200, 200)].mean() for _ in range(4000)]
    expected = np.percentile(means, [2.5, 97.5])
    assert bootstrap_interval(correct, seed=3) == pytest.approx(expected, abs=0.0101)


def test_interval_is_the_same_for_the_same_seed():
    correct = np.arange(50) % 3 == 0
    assert bootstrap_interval(correct, seed=4) == bootstrap_interval(correct, seed=4)


def test_interval_of_shares_matches_a_loop_that_draws_answers():
    shares = np.random.default_rng(1).integers(0, 4, 150) / 3
    generator = np.random.default_rng(2)
    means = [shares[generator.integers(0, 150, 150)].mean() for _ in range(4000)]
    expected = np.percentile(means, [2.5, 97.5])
    assert bootstrap_interval(shares, seed=3) == pytest.approx(expected, abs=0.0101)


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
