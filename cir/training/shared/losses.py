"""Contrastive losses over a batch; all take features and compare by cosine."""

import torch
from torch.nn import functional


def multi_positive_info_nce(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """InfoNCE where an anchor has any number of positives.

    The cross-entropy between the softmax of an anchor's logits and the uniform distribution over
    its positives, averaged over anchors that have any: L_out of supervised contrastive learning
    (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2).

    Args:
        logits: float [A, C], similarities of anchors and candidates over the temperature.
        positive: bool [A, C].
    """
    counts = positive.sum(dim=1)
    anchors = counts > 0
    log_p = functional.log_softmax(logits[anchors], dim=1)
    return -(log_p * positive[anchors]).sum(dim=1).div(counts[anchors]).mean()


def symmetric_info_nce(
    query: torch.Tensor,
    candidates: torch.Tensor,
    temperature: torch.Tensor | float,
    same: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE from query to target and from target to query (van den Oord et al. 2018,
    https://arxiv.org/abs/1807.03748, equation 4; the symmetric form is CLIP's).

    Args:
        query: float [B, D].
        candidates: float [C, D]; row i < B is the target of query i, the rest (references, near
            misses) are negatives of every query.
        temperature: what the cosines are divided by.
        same: bool [B, C], candidates that show what query i's target shows and are therefore no
            negatives of it; the target itself may be marked or not.

    Returns:
        The mean of both directions, a scalar.
    """
    batch = len(query)
    query, candidates = functional.normalize(query, dim=1), functional.normalize(candidates, dim=1)
    logits = query @ candidates.T / temperature
    answers = torch.arange(batch, device=query.device)
    if same is not None:
        itself = torch.zeros_like(same)
        itself[answers, answers] = True
        logits = logits.masked_fill(same & ~itself, float("-inf"))
    forward = functional.cross_entropy(logits, answers)
    backward = functional.cross_entropy(logits[:, :batch].T, answers)
    return (forward + backward) / 2


def near_miss_set_loss(
    vector: torch.Tensor, name: torch.Tensor, shown: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """InfoNCE of a vector against the sum of its set of names, and against every near-miss set.

    A near miss has one name more, one fewer, or one exchanged for another of the N; its vector is
    the sum of its names' features. Where sums stand for images (the arithmetic composer's premise)
    these are the hardest negatives there are, and no image of them is needed. All B·(2N + kN) of
    them are compared through inner products, none is built.

    Args:
        vector: float [B, D], composed queries or images.
        name: float [N, D], features of the names.
        shown: bool [B, N], the names that each vector should be the sum of; at least one.
        scale: what cosines are multiplied by (the inverse temperature).
    """
    vector = functional.normalize(vector, dim=1)
    total = shown.to(name.dtype) @ name
    dot, square = (vector * total).sum(dim=1), total.square().sum(dim=1)  # [B]
    dot_name, total_name = vector @ name.T, total @ name.T  # [B, N]
    gram = name @ name.T
    square_name = gram.diagonal()

    def logit(dots: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
        return scale * dots / squares.clamp(min=1e-6).sqrt()

    never = float("-inf")
    own = logit(dot, square)
    more = logit(dot[:, None] + dot_name, square[:, None] + 2 * total_name + square_name)
    dot_fewer = dot[:, None] - dot_name
    square_fewer = square[:, None] - 2 * total_name + square_name
    single = shown.sum(dim=1, keepdim=True) == 1  # without its one name a set is empty
    fewer = logit(dot_fewer, square_fewer).masked_fill(~shown | single, never)
    row, left_out = shown.nonzero(as_tuple=True)
    exchanged = logit(
        dot_fewer[row, left_out, None] + dot_name[row],
        square_fewer[row, left_out, None] + 2 * (total_name[row] - gram[left_out]) + square_name,
    ).masked_fill(shown[row], never)
    exchanged_sum = torch.full_like(more, never).index_put((row, left_out), exchanged.logsumexp(1))
    others = torch.cat([own[:, None], more.masked_fill(shown, never), fewer, exchanged_sum], dim=1)
    return (others.logsumexp(dim=1) - own).mean()


def soft_triplet(query: torch.Tensor, target: torch.Tensor, halved: bool = False) -> torch.Tensor:
    """Mean of log(1 + exp(‖a − p‖² − ‖a − n‖²)) over triplets drawn from the batch.

    Every query and every target is an anchor a in turn, its partner the positive p, and three
    rows of other pairs, drawn at random without repetition, the negatives n. The soft margin is
    that of Hermans et al. 2017 (https://arxiv.org/abs/1703.07737); the draw is that of the code
    of TIRG (Vo et al., CVPR 2019, https://arxiv.org/abs/1812.07119).

    Args:
        query, target: float [B, D], row i of one belongs to row i of the other, B at least 2. They
            are compared as they are: scale them first.
        halved: half of it. The published code derives this loss by hand and loses the factor 2 of
            the squared distances, so its gradient is that of the half.
    """
    pairs = len(query)
    assert pairs > 1, "a triplet needs a negative: two pairs at least"
    rows = torch.cat([query, target])
    squares = rows.square().sum(dim=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    anchors = torch.arange(2 * pairs, device=rows.device)
    of_pair = anchors % pairs
    # Of random numbers the highest three fall on any three rows alike.
    draw = torch.rand(2 * pairs, 2 * pairs, device=rows.device)
    draw = draw.masked_fill(of_pair[:, None] == of_pair, -1.0)
    negatives = draw.topk(min(3, 2 * pairs - 2), dim=1).indices
    positives = distances[anchors, anchors.roll(pairs)]
    loss = functional.softplus(positives[:, None] - distances.gather(1, negatives)).mean()
    return loss / 2 if halved else loss


def batch_classification(query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each query's own target among all targets of the batch, by dot product.

    The "batch based classification" of TIRG (Vo et al., CVPR 2019, equation 4 with K = B); from
    query to target only.

    Args:
        query, target: float [B, D], compared as they are: scale them first.
    """
    return functional.cross_entropy(query @ target.T, torch.arange(len(query), device=query.device))
