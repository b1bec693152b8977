"""Retrieval metrics: pure functions of target ranks, where 1 is the best rank."""

import numpy as np


def recall_at_k(target_ranks: np.ndarray, k: int) -> float:
    """The share of queries whose target is among the first `k`.

    `target_ranks` [Q] counts from 1. With `k` = 1 this is top-1 accuracy.
    """
    return float(np.mean(_checked(target_ranks) <= k))


def mean_reciprocal_rank(target_ranks: np.ndarray) -> float:
    """The mean of 1/rank over `target_ranks` [Q]: 1.0 where every target comes first."""
    return float(np.mean(1.0 / _checked(target_ranks)))


def bootstrap_interval(
    correct: np.ndarray, seed: int, resamples: int = 10_000
) -> tuple[float, float]:
    """The 95% percentile interval of the mean of `correct` [Q].

    An answer is true or false, or the share of several models that gave the right one. The
    bootstrap draws Q of the Q answers with replacement, `resamples` times. How many of such a
    draw are right is binomial (how often each share comes, multinomial), so one such number
    stands for each draw: the same distribution without [resamples, Q] indices in memory.
    """
    correct = np.asarray(correct)
    assert correct.ndim == 1, f"one answer per query, not shape {correct.shape}"
    assert correct.size, "an interval needs at least one answer"
    rng, count = np.random.default_rng(seed), correct.size
    if np.isin(correct, (0, 1)).all():
        means = rng.binomial(count, correct.mean(), resamples) / count
    else:
        shares, often = np.unique(correct, return_counts=True)
        means = rng.multinomial(count, often / count, resamples) @ shares / count
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _checked(target_ranks: np.ndarray) -> np.ndarray:
    target_ranks = np.asarray(target_ranks)
    assert target_ranks.ndim == 1, f"one rank per query, not shape {target_ranks.shape}"
    assert target_ranks.size, "the metrics need at least one rank"
    assert target_ranks.min() >= 1, "ranks count from 1"
    return target_ranks
