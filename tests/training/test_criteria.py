"""Criteria: the losses with the scale that each learns."""

import math

import pytest
import torch

from cir.training.losses import (
    BatchClassification,
    Criterion,
    InfoNCE,
    SoftTriplet,
    batch_classification,
    soft_triplet,
    symmetric_info_nce,
)

CRITERIA = [lambda: InfoNCE.starting_at(0.1), SoftTriplet, BatchClassification]


def batch():
    torch.manual_seed(0)
    return torch.randn(4, 6), torch.randn(10, 6)


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def test_info_nce_at_its_temperature_with_all_candidates():
    query, candidates = batch()
    same = torch.zeros(4, 10, dtype=torch.bool)
    same[1, 8] = True
    expected = symmetric_info_nce(query, candidates, 0.1, same)
    torch.testing.assert_close(InfoNCE.starting_at(0.1)(query, candidates, same), expected)


def test_info_nce_may_learn_the_encoders_temperature(encoder):
    criterion = InfoNCE(encoder.clip.logit_scale)
    assert next(criterion.parameters()) is encoder.clip.logit_scale
    torch.testing.assert_close(criterion.scale, encoder.clip.logit_scale.exp())


def test_the_temperature_has_a_floor():
    assert InfoNCE.starting_at(1e-4).scale.item() == 100


def test_the_papers_losses_take_rows_of_length_four():
    query, candidates = batch()
    rows, targets = 4 * unit(query), 4 * unit(candidates[:4])
    expected = batch_classification(rows, targets)
    torch.testing.assert_close(BatchClassification()(query, candidates), expected)
    for halved in (False, True):
        torch.manual_seed(1)
        expected = soft_triplet(rows, targets, halved)
        torch.manual_seed(1)
        torch.testing.assert_close(SoftTriplet(halved)(query, candidates), expected)


def test_batch_classification_by_hand():
    """Orthogonal pairs at length 4: logits are 16 for the own target and 0 for the other."""
    expected = math.log(1 + math.exp(-16))
    got = BatchClassification()(2 * torch.eye(2).double(), 3 * torch.eye(2).double()).item()
    assert got == pytest.approx(expected)
    assert BatchClassification().scale.item() == 16


@pytest.mark.parametrize("fresh", CRITERIA)
def test_each_learns_its_scale_and_ignores_lengths(fresh):
    query, candidates = batch()
    criterion = fresh()
    torch.manual_seed(2)
    loss = criterion(query, candidates)
    torch.manual_seed(2)
    torch.testing.assert_close(criterion(5 * query, 0.2 * candidates), loss)
    loss.backward()
    (scale,) = criterion.parameters()
    assert scale.grad.abs() > 0


def test_a_criterion_says_what_it_measures_and_how_it_scales():
    class Half(Criterion):
        def forward(self, query, candidates, same=None):
            return query.sum()

    for kind in (Criterion, Half):
        with pytest.raises(TypeError, match="abstract"):
            kind()
