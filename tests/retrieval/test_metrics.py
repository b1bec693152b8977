import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_reciprocal_rank

from cir.retrieval.ranking.metrics import bootstrap_interval, mean_reciprocal_rank, recall_at_k

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
