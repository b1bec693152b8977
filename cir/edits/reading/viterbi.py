"""Choose the labels of all words of a sentence together, by the algorithm of Viterbi."""

from collections.abc import Sequence

import numpy as np

# What each begin or end of a name costs, in the units of the model's scores. It was chosen on the
# development half of other people's sentences, among 0, 0.25, 0.5 and 1.
EDGE_COST = 0.5


def steps_between(labels: Sequence[str]) -> np.ndarray:
    """Return what the step from each label to each next one adds to a score.

    A word or a mark always stands between an object to add and one to remove, so a change of kind
    within a name is impossible.
    """
    steps = np.full((len(labels), len(labels)), -np.inf)
    other = labels.index("other")
    steps[other, :] = steps[:, other] = -EDGE_COST
    np.fill_diagonal(steps, 0.0)
    return steps


def max_marginals(scores: np.ndarray, lengths: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return, for each word and label, the score of the best labelling that has it.

    So the greatest entry of each word is the score of the best labelling of its sentence, and the
    next one tells what another label of this word would cost.

    Args:
        scores: the model's, sentences x words x labels, padded after each sentence's last word.
        lengths: the number of words of each sentence; steps: see `steps_between`.
    """
    before, after = np.array(scores, dtype=np.float64), np.zeros(scores.shape)
    for word in range(1, scores.shape[1]):
        before[:, word] += (before[:, word - 1, :, None] + steps).max(axis=1)
    for word in range(scores.shape[1] - 2, -1, -1):
        ahead = (steps + (scores[:, word + 1] + after[:, word + 1])[:, None, :]).max(axis=2)
        after[:, word] = np.where((word + 1 < lengths)[:, None], ahead, 0.0)
    return before + after
