"""The losses of both training steps, and the criteria by which a composer can be trained.

A criterion is a loss with a learned scale: `criterion(query [B, D], candidates [C, D], same)`. All
losses take features as encoder and composer return them, unless they say otherwise.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional

from cir.training.shared.losses import multi_positive_info_nce


def naming_loss(
    image: torch.Tensor, name: torch.Tensor, shown: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Return InfoNCE from images to names and from names to images, with several positives each.

    Args:
        image: float [B, D].
        name: float [N, D].
        shown: bool [B, N], the names of the objects that each image shows.
        scale: the factor of the cosines (the inverse temperature).
    """
    logits = scale * functional.normalize(image, dim=1) @ functional.normalize(name, dim=1).T
    forward = multi_positive_info_nce(logits, shown)
    backward = multi_positive_info_nce(logits.T, shown.T)
    return (forward + backward) / 2


def near_miss_set_loss(
    vector: torch.Tensor, name: torch.Tensor, shown: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """Return InfoNCE of each vector and the sum of its names, against all near-miss sets.

    A near-miss set has one name more, one name fewer, or one name exchanged for another of the N.
    The vector of a set is the sum of its names' features. The arithmetic composer takes such sums
    for images, so near-miss sets are its hardest negatives, and they need no images. The loss
    compares all B·(2N + kN) sets through inner products and builds none of them. It is a method
    of this project.

    Args:
        vector: float [B, D], composed queries or images.
        name: float [N, D], features of the names.
        shown: bool [B, N], the set of each vector, with at least one name.
        scale: the factor of the cosines (the inverse temperature).
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


def symmetric_info_nce(
    query: torch.Tensor,
    candidates: torch.Tensor,
    temperature: torch.Tensor | float,
    same: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean of InfoNCE from query to target and from target to query.

    InfoNCE is equation 4 of van den Oord et al. 2018 (https://arxiv.org/abs/1807.03748). The
    symmetric form is CLIP's (Radford et al. 2021, https://arxiv.org/abs/2103.00020, figure 3).

    Args:
        query: float [B, D].
        candidates: float [C, D]; row i < B is the target of query i, and the other rows
            (references, near misses) are negatives of every query.
        temperature: the divisor of the cosines.
        same: bool [B, C], candidates that show the same as the target of query i. They are not
            used as its negatives. The target itself may be marked or not.
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


def soft_triplet(query: torch.Tensor, target: torch.Tensor, halved: bool = False) -> torch.Tensor:
    """Return the mean of log(1 + exp(‖a − p‖² − ‖a − n‖²)) over triplets drawn from the batch.

    Every query and every target is once the anchor a. Its partner is the positive p, and three
    rows of other pairs, drawn at random without repetition, are the negatives n. The soft margin
    is that of Hermans et al. 2017 (https://arxiv.org/abs/1703.07737). The draw is that of the code
    of TIRG (Vo et al., CVPR 2019, https://arxiv.org/abs/1812.07119).

    Args:
        query, target: float [B, D], B at least 2, compared as they are: scale them first. Row i of
            one belongs to row i of the other.
        halved: return half of the loss. The published code derives the gradient by hand and loses
            the factor 2 of the squared distances, so its gradient is that of the half.
    """
    pairs = len(query)
    assert pairs > 1, "a triplet needs a negative: two pairs at least"
    rows = torch.cat([query, target])
    squares = rows.square().sum(dim=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    anchors = torch.arange(2 * pairs, device=rows.device)
    of_pair = anchors % pairs
    # The three highest of random numbers choose any three rows with the same probability.
    draw = torch.rand(2 * pairs, 2 * pairs, device=rows.device)
    draw = draw.masked_fill(of_pair[:, None] == of_pair, -1.0)
    negatives = draw.topk(min(3, 2 * pairs - 2), dim=1).indices
    positives = distances[anchors, anchors.roll(pairs)]
    loss = functional.softplus(positives[:, None] - distances.gather(1, negatives)).mean()
    return loss / 2 if halved else loss


def batch_classification(query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each query's target among all targets, by dot product.

    This is the "batch based classification" of TIRG (Vo et al., CVPR 2019, equation 4 with K = B),
    from query to target only.

    Args:
        query, target: float [B, D], compared as they are: scale them first.
    """
    return functional.cross_entropy(query @ target.T, torch.arange(len(query), device=query.device))


class Criterion(nn.Module, ABC):
    """Compare queries with candidates; the base of all criteria."""

    @property
    @abstractmethod
    def scale(self) -> torch.Tensor:
        """The factor of the cosines: the inverse temperature."""

    @abstractmethod
    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            query: float [B, D].
            candidates: float [C, D]; row i < B is the target of query i, the rest are negatives.
            same: bool [B, C], candidates that show the same as the target of query i.
        """


class InfoNCE(Criterion):
    """Compare queries and candidates by symmetric_info_nce, with a learned temperature.

    Args:
        logit_scale: the logarithm of the inverse temperature, a scalar: the encoder's parameter if
            the encoder is trained too, else a parameter of this criterion.
    """

    def __init__(self, logit_scale: nn.Parameter):
        super().__init__()
        self.logit_scale = logit_scale

    @classmethod
    def starting_at(cls, temperature: float) -> "InfoNCE":
        """Create a criterion with its own temperature."""
        return cls(nn.Parameter(torch.tensor(math.log(1 / temperature))))

    @property
    def scale(self) -> torch.Tensor:
        return self.logit_scale.exp().clamp(max=100)

    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss; candidates marked in `same` are not used as negatives."""
        return symmetric_info_nce(query, candidates, 1 / self.scale, same)


class _OfScaledRows(Criterion):
    """Scale rows to N(v) = s·v/‖v‖ with a learned s, for the criteria of TIRG and ComposeAE.

    These criteria use queries and targets only: other candidates and `same` have no effect.

    Args:
        length: s at the start; 4 in the published code.
    """

    def __init__(self, length: float = 4.0):
        super().__init__()
        self.length = nn.Parameter(torch.tensor(length))

    @property
    def scale(self) -> torch.Tensor:
        return self.length.square()

    def forward(
        self, query: torch.Tensor, candidates: torch.Tensor, same: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of queries and targets."""
        rows = query, candidates[: len(query)]  # the targets come first
        return self._loss(*(self.length * functional.normalize(one, dim=1) for one in rows))

    @abstractmethod
    def _loss(self, query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of scaled rows."""


class SoftTriplet(_OfScaledRows):
    """Compare queries and targets by soft_triplet of scaled rows.

    Args:
        halved: return half of the loss; see soft_triplet.
        length: s at the start.
    """

    def __init__(self, halved: bool = False, length: float = 4.0):
        super().__init__(length)
        self.halved = halved

    def _loss(self, query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return soft_triplet(query, target, self.halved)


class BatchClassification(_OfScaledRows):
    """Compare queries and targets by batch_classification of scaled rows."""

    def _loss(self, query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return batch_classification(query, target)
