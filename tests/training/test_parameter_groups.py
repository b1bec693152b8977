"""Which weights learn, and how fast."""

import open_clip
import pytest
from torch import nn

from cir.composers import create
from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.training.losses import InfoNCE, SoftTriplet
from cir.training.shared import parameter_groups
from tests.helpers.composers import params
from tests.helpers.drawn_split import MICRO, PROMPT


def test_head_is_the_projection_alone(encoder):
    assert set(parameter_groups.head(encoder)) == {"visual.head.proj.weight"}


def test_last_blocks_leave_the_rest_frozen(encoder):
    shares = parameter_groups.last_blocks(encoder, 1)
    assert any(name.startswith("visual.trunk.blocks.2.") for name in shares)
    assert not any(name.startswith("visual.trunk.blocks.1.") for name in shares)
    assert any(name.startswith("text.transformer.resblocks.1.") for name in shares)
    assert "visual.trunk.detectors.weight" in shares
    assert "text.text_projection" in shares
    assert "text.token_embedding.weight" not in shares
    assert "visual.trunk.patch_embed.backbone.0.conv1.weight" not in shares


def test_layer_wise_decay_grows_from_stem_to_head(encoder):
    shares = parameter_groups.all_layers(encoder, 0.5)
    assert len(shares) == len(list(encoder.clip.parameters()))
    assert shares["visual.head.proj.weight"] == 1
    assert shares["visual.trunk.blocks.2.norm1.weight"] == 0.5
    assert shares["visual.trunk.blocks.0.norm1.weight"] == 0.125
    assert shares["visual.trunk.patch_embed.backbone.0.conv1.weight"] == 0.0625
    assert shares["text.token_embedding.weight"] == 0.125  # two blocks
    assert shares["text.ln_final.weight"] == 1


def test_groups_freeze_the_rest_and_spare_vectors_from_decay():
    encoder = Encoder.create(MICRO, None, PROMPT)
    shares = parameter_groups.last_blocks(encoder, 1)
    groups = parameter_groups.encoder_groups(encoder, shares, 0.1, 0.05)
    trained = {n for n, p in encoder.clip.named_parameters() if p.requires_grad}
    assert trained == set(shares)
    assert {group["lr"] for group in groups} == {0.1}
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    assert parameter_groups.trained_weights(groups) == sum(
        p.numel() for p in encoder.clip.parameters() if p.requires_grad
    )


def test_native_open_clip_towers_have_depths_too():
    vit = open_clip.create_model("ViT-S-32-alt")
    encoder = Encoder(vit, {"embed_dim": 256}, None, PROMPT)
    shares = parameter_groups.all_layers(encoder, 0.5)
    assert shares["visual.transformer.resblocks.11.ln_1.weight"] == 0.5
    assert shares["visual.conv1.weight"] == 0.5**13
    assert shares["visual.proj"] == 1
    assert set(parameter_groups.head(encoder)) == {"visual.proj"}


def test_final_norms_of_plain_clip_come_after_the_blocks():
    assert parameter_groups._depth("ln_final.weight", 12) == 13


def test_nothing_to_train_is_refused(encoder):
    with pytest.raises(UserError, match="No weight of this encoder is left to train"):
        parameter_groups.encoder_groups(Encoder.create(MICRO, None, PROMPT), {}, 0.1, 0.05)


def tirg(encoder):
    return create(params("tirg", text="edit"), encoder.dim, encoder.text_dim)


def decay_of(groups):
    """Weight decay by weight; each weight is in one group."""
    found = [(id(weight), group["weight_decay"]) for group in groups for weight in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_weight_is_in_one_group_and_only_matrices_decay(encoder):
    objective = nn.ModuleList([tirg(encoder), SoftTriplet()])
    groups = parameter_groups.module_groups(objective, 0.1, 0.5)
    expected = {id(w): 0.5 if w.ndim > 1 else 0.0 for w in objective.parameters()}
    assert decay_of(groups) == expected
    assert {group["lr"] for group in groups} == {0.1}


def test_the_linear_layers_of_a_composer_are_marked_for_muon(encoder):
    composer = tirg(encoder)
    groups = parameter_groups.module_groups(composer, 0.1, 0.5)
    marked = {id(weight) for group in groups if group["matrices"] for weight in group["params"]}
    linear = {id(part.weight) for part in composer.modules() if isinstance(part, nn.Linear)}
    assert marked == linear != set()


def test_vectors_decay_where_they_are_asked_to(encoder):
    composer = tirg(encoder)
    groups = parameter_groups.module_groups(composer, 0.1, 0.5, vectors_decay=True)
    assert decay_of(groups) == {id(weight): 0.5 for weight in composer.parameters()}


def test_a_part_that_learns_slower_comes_first_and_shared_weights_count_once(encoder):
    # The criterion has the temperature of the encoder.
    objective = nn.ModuleList([tirg(encoder), encoder, InfoNCE(encoder.clip.logit_scale)])
    groups = parameter_groups.module_groups(objective, 0.1, 0.5, slower=encoder, share=0.5)
    assert decay_of(groups).keys() == {id(weight) for weight in objective.parameters()}
    slow = {id(weight) for weight in encoder.parameters()}
    for group in groups:
        rates = {0.05 if id(weight) in slow else 0.1 for weight in group["params"]}
        assert rates == {group["lr"]}
    assert [group["lr"] for group in groups] == sorted(group["lr"] for group in groups)


def test_frozen_weights_have_no_group(encoder):
    composer = tirg(encoder).requires_grad_(False)
    assert parameter_groups.module_groups(composer, 0.1, 0.5) == []
