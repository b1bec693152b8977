"""Muon: against torch's own in bf16, against the singular values, and AdamW for the rest."""

from typing import get_args

import pytest
import torch

from cir.encoders import Encoder
from cir.training.shared.optimisers import BY_NAME, Muon, orthogonalised
from cir.training.shared.parameter_groups import all_layers, encoder_groups
from cir.training.shared.params import OptimiserName

SHAPES = [(8, 8), (6, 20), (30, 5)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_singular_value_takes_its_course_and_the_vectors_stay(shape):
    matrix = random(*shape).double()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = left @ values.diag() @ right
    torch.testing.assert_close(orthogonalised(matrix), expected, rtol=0, atol=1e-9)
    assert values.min() > 0.65
    assert values.max() < 1.25


def test_a_matrix_of_zeros_stays_zero():
    assert torch.equal(orthogonalised(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_takes_the_steps_of_torchs_own(shape):
    ours, theirs = (torch.nn.Parameter(random(*shape)) for _ in range(2))
    recipe = {"lr": 0.01, "weight_decay": 0.1}
    muon = Muon([{"params": [ours], "matrices": True, **recipe}])
    torchs = torch.optim.Muon([theirs], **recipe, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        ours.grad = theirs.grad = random(*shape, seed=step + 1)
        before = ours.detach().clone()
        muon.step()
        torchs.step()
        moved = (ours.detach() - before).norm()
        assert (ours - theirs).norm() < 0.04 * (step + 1) * moved  # theirs computes in bf16


def test_a_convolution_steps_as_the_matrix_of_its_filters():
    kernel = torch.nn.Parameter(random(6, 4, 3, 3))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    muon = Muon([{"params": [kernel, matrix], "matrices": True, "lr": 0.1, "weight_decay": 0.1}])
    kernel.grad = random(6, 4, 3, 3, seed=1)
    matrix.grad = kernel.grad.flatten(1).clone()
    muon.step()
    assert torch.equal(kernel.flatten(1), matrix)


def test_other_weights_take_the_steps_of_adamw():
    ours, theirs = (torch.nn.Parameter(random(5)) for _ in range(2))
    recipe = {"lr": 0.01, "weight_decay": 0.1}
    optimisers = [
        Muon([{"params": [ours], **recipe}]),
        torch.optim.AdamW([{"params": [theirs], **recipe}], fused=True),
    ]
    for step in range(3):
        ours.grad = theirs.grad = random(5, seed=step + 1)
        for optimiser in optimisers:
            optimiser.step()
    assert torch.equal(ours, theirs)


def test_a_weight_without_a_gradient_stays_as_it_is():
    weight = torch.nn.Parameter(random(3, 3))
    muon = Muon([{"params": [weight], "matrices": True, "lr": 0.1, "weight_decay": 0.1}])
    muon.step()
    assert torch.equal(weight, random(3, 3))
    assert not muon.state[weight]


def test_a_step_whose_gradients_overflow_is_left_out():
    weights = [torch.nn.Parameter(random(3, 3)) for _ in range(2)]
    groups = [{"params": [w], "matrices": not n, "lr": 0.1} for n, w in enumerate(weights)]
    muon, scaler = Muon(groups), torch.amp.GradScaler("cpu")
    scaler.scale(sum(weight.sum() for weight in weights)).backward()
    weights[0].grad[0, 0] = float("inf")
    scaler.step(muon)
    for weight in weights:
        assert torch.equal(weight, random(3, 3))


def test_matrices_are_the_layers_of_an_encoder_without_its_tables():
    encoder = Encoder.create("ViTamin-Micro-64", None, "a {}")
    groups = encoder_groups(encoder, all_layers(encoder, 1.0), 0.1, 0.05)
    marked = {id(w) for group in groups if group["matrices"] for w in group["params"]}
    names = {n for n, weight in encoder.clip.named_parameters() if id(weight) in marked}
    assert "visual.trunk.blocks.0.attn.qkv.weight" in names
    assert "visual.trunk.patch_embed.backbone.0.conv1.weight" in names
    assert "text.transformer.resblocks.0.attn.in_proj_weight" in names
    unfit = ("token_embedding.weight", "positional_embedding", "pos_embed", "bias", "logit_scale")
    assert not [name for name in names if name.endswith(unfit) or ".norm" in name]
    depthwise = {n for n, w in encoder.clip.named_parameters() if w.ndim == 4 and w.shape[1] == 1}
    assert depthwise
    assert not depthwise & names
    assert {"visual.head.proj.weight", "text.text_projection"} <= names


def test_the_full_rate_is_that_of_the_last_group():
    encoder = Encoder.create("ViTamin-Micro-64", None, "a {}")
    rates = [group["lr"] for group in encoder_groups(encoder, all_layers(encoder, 0.5), 0.1, 0.05)]
    assert rates == sorted(rates)
    assert rates[-1] == 0.1


def test_the_params_know_the_optimisers_by_their_names():
    assert set(get_args(OptimiserName)) == set(BY_NAME)
