"""Choose the labels of all words of a sentence together, by the algorithm of Viterbi."""

from collections.abc import Sequence

import numpy as np

# What each begin or end of a name costs, in the units of the model's scores. It was chosen on the
# development half of other people's sentences, among 0, 0.25, 0.5 and 1.
EDGE_COST = 0.5

# A name has such words only between its others: "burger with a flag", never "burger with".
INSIDE = frozenset("a an the of with without for from by to and or that which its his her".split())


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


def max_marginals(
    scores: np.ndarray, lengths: np.ndarray, labels: Sequence[str], inside: np.ndarray
) -> np.ndarray:
    """Return, for each word and label, the score of the best labelling that has it.

    So the greatest entry of each word is the score of the best labelling of its sentence, and the
    next one tells what another label of this word would cost.

    Args:
        scores: the model's, sentences x words x labels, padded after each sentence's last word.
        lengths: the number of words of each sentence; labels: their names.
        inside: sentences x words, which words can be neither the first nor the last of a name.
    """
    other, rows = labels.index("other"), np.arange(len(scores))
    objects = np.arange(len(labels)) != other
    scores = np.array(scores, dtype=np.float64)
    for edge in (np.zeros_like(lengths), np.maximum(lengths - 1, 0)):
        if scores.shape[1]:
            at_edge = (inside[rows, edge] & (lengths > 0))[:, None] & objects
            scores[rows, edge] = np.where(at_edge, -np.inf, scores[rows, edge])
    # The steps into each word: a name neither begins with a word of `inside` nor ends before it.
    steps = np.broadcast_to(steps_between(labels), (*scores.shape[:2], len(labels), len(labels)))
    steps = steps.copy()
    begins, ends = np.zeros_like(steps[0, 0], bool), np.zeros_like(steps[0, 0], bool)
    begins[other, objects], ends[objects, other] = True, True
    steps[inside[..., None, None] & begins] = -np.inf
    steps[:, 1:][inside[:, :-1, None, None] & ends] = -np.inf
    before, after = scores.copy(), np.zeros(scores.shape)
    for word in range(1, scores.shape[1]):
        before[:, word] += (before[:, word - 1, :, None] + steps[:, word]).max(axis=1)
    for word in range(scores.shape[1] - 2, -1, -1):
        onward = (scores[:, word + 1] + after[:, word + 1])[:, None, :]
        ahead = (steps[:, word + 1] + onward).max(axis=2)
        after[:, word] = np.where((word + 1 < lengths)[:, None], ahead, 0.0)
    return before + after
