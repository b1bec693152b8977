"""Contrastive losses against loops over pairs, and against hand-worked numbers."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from cir.training.losses import (
    batch_classification,
    near_miss_set_loss,
    soft_triplet,
    symmetric_info_nce,
)
from cir.training.shared.losses import multi_positive_info_nce


def test_multi_positive_is_the_mean_over_anchors_of_the_mean_over_positives():
    torch.manual_seed(0)
    logits = torch.randn(5, 7).double()
    positive = torch.rand(5, 7) < 0.4
    positive[2] = False  # an anchor without positives does not count
    total, anchors = 0.0, 0
    for row in range(5):
        if not positive[row].any():
            continue
        denominator = math.log(sum(math.exp(logits[row, c]) for c in range(7)))
        terms = [denominator - logits[row, c].item() for c in range(7) if positive[row, c]]
        total, anchors = total + sum(terms) / len(terms), anchors + 1
    assert multi_positive_info_nce(logits, positive).item() == pytest.approx(total / anchors)


def test_with_one_positive_each_it_is_cross_entropy():
    logits, answers = torch.randn(6, 6), torch.randperm(6)
    positive = functional.one_hot(answers, 6).bool()
    expected = functional.cross_entropy(logits, answers)
    torch.testing.assert_close(multi_positive_info_nce(logits, positive), expected)


def slow_symmetric(query, candidates, temperature, same):
    """Every similarity by hand; what shows the same as the target is left out."""
    cosine = lambda a, b: (a @ b / (a.norm() * b.norm())).item()  # noqa: E731
    batch = len(query)
    forward = backward = 0.0
    for i in range(batch):
        kept = [j for j in range(len(candidates)) if j == i or not same[i][j]]
        scores = {j: cosine(query[i], candidates[j]) / temperature for j in kept}
        forward += math.log(sum(math.exp(s) for s in scores.values())) - scores[i]
        kept = [k for k in range(batch) if k == i or not same[k][i]]
        scores = {k: cosine(query[k], candidates[i]) / temperature for k in kept}
        backward += math.log(sum(math.exp(s) for s in scores.values())) - scores[i]
    return (forward + backward) / (2 * batch)


def test_symmetric_info_nce_is_its_definition():
    torch.manual_seed(1)
    query, candidates = torch.randn(4, 6).double(), torch.randn(10, 6).double()
    same = torch.zeros(4, 10, dtype=torch.bool)
    same[0, 0] = same[1, 7] = same[2, 3] = True
    got = symmetric_info_nce(query, candidates, 0.2, same).item()
    assert got == pytest.approx(slow_symmetric(query, candidates, 0.2, same))


def test_hand_worked_pair():
    # Two orthogonal queries that equal their targets: logits are the identity over 0.5.
    expected = math.log(1 + math.exp(-2))
    assert symmetric_info_nce(torch.eye(2), torch.eye(2), 0.5).item() == pytest.approx(expected)


def test_a_harder_negative_raises_the_loss():
    query = torch.eye(3)
    near = torch.nn.functional.normalize(torch.eye(3) + 0.3, dim=1)
    alone = symmetric_info_nce(query, query, 0.1)
    assert symmetric_info_nce(query, torch.cat([query, near]), 0.1) > alone


def slow_near_miss_set(vector, name, shown, scale):
    """Every near-miss set built and compared, one at a time."""
    total = 0.0
    for row in range(len(vector)):
        own = {n for n in range(len(name)) if shown[row, n]}
        rest = set(range(len(name))) - own
        sets = [own] + [own | {b} for b in rest]
        sets += [own - {a} for a in own if len(own) > 1]
        sets += [own - {a} | {b} for a in own for b in rest]
        logits = [
            scale
            * functional.cosine_similarity(vector[row], name[sorted(s)].sum(dim=0), dim=0).item()
            for s in sets
        ]
        total += math.log(sum(math.exp(x) for x in logits)) - logits[0]
    return total / len(vector)


def test_near_miss_set_loss_is_its_definition():
    torch.manual_seed(2)
    vector, name = torch.randn(4, 6).double(), torch.randn(7, 6).double()
    shown = torch.zeros(4, 7, dtype=torch.bool)
    for row, names in enumerate([(0, 1), (2,), (1, 3, 6), (0, 2, 4, 5)]):
        shown[row, list(names)] = True
    got = near_miss_set_loss(vector, name, shown, 3.0).item()
    assert got == pytest.approx(slow_near_miss_set(vector, name, shown, 3.0))


def test_near_miss_set_loss_has_a_finite_gradient_everywhere():
    torch.manual_seed(3)
    vector = torch.randn(3, 5, requires_grad=True)
    name = torch.randn(6, 5, requires_grad=True)
    shown = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 0, 1]]).bool()
    near_miss_set_loss(vector, name, shown, 14.0).backward()
    assert vector.grad.isfinite().all()
    assert name.grad.isfinite().all()


def triplets_of(draw):
    """(anchor, positive, negatives) of 2B stacked rows: the three other pairs' highest draws."""
    count = len(draw)
    for anchor in range(count):
        pair = anchor % (count // 2)
        others = [row for row in range(count) if row % (count // 2) != pair]
        chosen = sorted(others, key=lambda row: draw[anchor][row], reverse=True)[:3]
        (positive,) = (row for row in range(count) if row % (count // 2) == pair and row != anchor)
        yield anchor, positive, chosen


@pytest.mark.parametrize("pairs", [2, 3, 5])  # with two pairs there are only two negatives
def test_soft_triplet_is_its_definition(pairs, monkeypatch):
    torch.manual_seed(4)
    query, target = torch.randn(pairs, 4).double(), torch.randn(pairs, 4).double()
    draw = torch.rand(2 * pairs, 2 * pairs)
    monkeypatch.setattr(torch, "rand", lambda *size, device: draw.clone())
    rows = [*query.tolist(), *target.tolist()]
    terms = []
    for anchor, positive, negatives in triplets_of(draw.tolist()):
        near = math.dist(rows[anchor], rows[positive]) ** 2
        for negative in negatives:
            far = math.dist(rows[anchor], rows[negative]) ** 2
            terms.append(math.log(1 + math.exp(near - far)))
    assert len(terms) == 2 * pairs * min(3, 2 * pairs - 2)
    assert soft_triplet(query, target).item() == pytest.approx(sum(terms) / len(terms))
    assert soft_triplet(query, target, halved=True).item() == pytest.approx(
        sum(terms) / len(terms) / 2
    )


def test_halved_its_gradient_is_the_one_that_the_published_code_writes_out(monkeypatch):
    """There each triplet pulls and pushes by σ(‖a−p‖² − ‖a−n‖²) times the plain differences."""
    torch.manual_seed(6)
    query, target = (torch.randn(4, 3).double().requires_grad_() for _ in range(2))
    draw = torch.rand(8, 8)
    monkeypatch.setattr(torch, "rand", lambda *size, device: draw.clone())
    rows = torch.cat([query, target]).detach().numpy()
    triplets = [(a, p, n) for a, p, chosen in triplets_of(draw.tolist()) for n in chosen]
    written = np.zeros_like(rows)
    for a, p, n in triplets:
        near, far = rows[a] - rows[p], rows[a] - rows[n]
        force = 1 / (1 + math.exp(far @ far - near @ near)) / len(triplets)
        written[a] += force * (near - far)
        written[p] -= force * near
        written[n] += force * far
    soft_triplet(query, target, halved=True).backward()
    np.testing.assert_allclose(torch.cat([query.grad, target.grad]).numpy(), written, rtol=1e-9)


def test_soft_triplet_draws_every_negative_alike():
    """On average over draws it is the mean over all triplets."""
    torch.manual_seed(5)
    query, target = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    rows = [*query.tolist(), *target.tolist()]
    every = [
        math.log(1 + math.exp(math.dist(rows[a], rows[p]) ** 2 - math.dist(rows[a], rows[n]) ** 2))
        for a, p in [(i, (i + 3) % 6) for i in range(6)]
        for n in range(6)
        if n % 3 != a % 3
    ]
    drawn = torch.stack([soft_triplet(query, target) for _ in range(2000)])
    assert drawn.std() > 0
    assert drawn.mean().item() == pytest.approx(sum(every) / len(every), rel=0.02)


def test_batch_classification_is_its_definition():
    torch.manual_seed(7)
    query, target = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    total = 0.0
    for row in range(4):
        scores = [
            sum(a * b for a, b in zip(query[row].tolist(), t, strict=True)) for t in target.tolist()
        ]
        total += math.log(sum(math.exp(score) for score in scores)) - scores[row]
    assert batch_classification(query, target).item() == pytest.approx(total / 4)


@pytest.mark.parametrize("loss", [soft_triplet, batch_classification])
def test_gradients_are_those_of_finite_differences(loss):
    torch.manual_seed(8)
    query = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)

    def same_draw(query, target):
        torch.manual_seed(9)
        return loss(query, target)

    assert torch.autograd.gradcheck(same_draw, (query, target))


def test_a_triplet_needs_two_pairs():
    with pytest.raises(AssertionError, match="two pairs"):
        soft_triplet(torch.randn(1, 3), torch.randn(1, 3))
