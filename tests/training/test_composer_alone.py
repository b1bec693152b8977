"""Composers on cached features: the same losses as with the encoder in the loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.records import Edit
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.training.composer_alone import (
    CachedBatches,
    CachedObjective,
    rank_split,
)
from cir.training.composition import (
    CompositionBatches,
    CompositionObjective,
    accuracy_of,
    gallery_accuracy,
    shows,
)
from cir.training.encoded_split import encode_split
from cir.training.losses import BatchClassification, InfoNCE, SoftTriplet
from cir.training.shared.batches import Pixels, plan_batches
from cir.training.shared.loop import fit
from cir.training.shared.parameter_groups import module_groups
from tests.helpers.composers import params
from tests.helpers.schedules import schedule

NAMES = {
    "arithmetic": {},
    "corrected_arithmetic": {"text": "sentence", "hidden": 16},
    "tirg": {"text": "edit"},
    "composeae": {"text": "sentence"},
}


@pytest.fixture(scope="module")
def encoder(encoder):
    """The encoder, which encodes each image, name and text once and by itself.

    In another batch their last bits would differ, and ComposeAE's normalisation over few rows
    enlarges that a thousand times.
    """
    alone = Encoder(encoder.clip, encoder.config, encoder.tokenizer, encoder.prompt).eval()
    for name in ("encode_images", "encode_texts"):
        setattr(alone, name, once(getattr(alone, name)))
    return alone


def once(encode):
    kept = {}

    @torch.no_grad()
    def encoded(items):
        keys = [item if isinstance(item, str) else item.numpy().tobytes() for item in items]
        for number, key in enumerate(keys):
            if key not in kept:
                kept[key] = encode(items[number : number + 1])[0]
        return torch.stack([kept[key] for key in keys]) if keys else encode(items)

    return encoded


@pytest.fixture(scope="module")
def loaded(split, encoder):
    images, triplets = ImageShards(split), read_triplets(split)
    objects = {name: images.objects(name) for name in images.ids}
    edits = [t.edit for t in triplets]
    edits[3] = Edit("as it is")  # names nothing
    edits[5] = Edit("add a thing", ("unheard of",))  # names what no image shows
    return Pixels(images, encoder), triplets, edits, objects


@pytest.fixture(scope="module")
def encoded(loaded, encoder):
    pixels, triplets, edits, objects = loaded
    return encode_split(encoder, pixels, list(objects), triplets, edits, objects, batch_size=7)


def built(name, encoder):
    torch.manual_seed(0)
    composer = create(params(name, **NAMES[name]), encoder.dim, encoder.dim)
    with torch.no_grad():
        for weight in composer.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    return composer


def losses_and_gradients(objective, batch, composer, criterion):
    objective.zero_grad()
    torch.manual_seed(7)  # of dropout and of drawn triplets
    losses = objective(batch)
    sum(losses.values()).backward()
    weights = [*composer.named_parameters(), *criterion.named_parameters()]
    return losses, {name: weight.grad.clone() for name, weight in weights}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "criterion", [lambda: InfoNCE.starting_at(0.07), SoftTriplet, BatchClassification]
)
@pytest.mark.parametrize("name", NAMES)
def test_cached_and_in_the_loop_are_the_same(name, criterion, known, loaded, encoded, encoder):
    pixels, triplets, edits, _ = loaded
    composer, criterion = built(name, encoder).train(), criterion()
    plan = plan_batches([t.id for t in triplets], 8, 3, seed=0)
    encoded = encoded if known else replace(encoded, objects={})
    cached = CachedObjective(composer, criterion, set_weight=0.5)
    in_loop = CompositionObjective(EncodedComposer(encoder, composer), 0.0, 0.5, criterion)
    in_loop.losses.encoder_learns = False
    for step in range(3):
        batch = CachedBatches(encoded, composer.text, plan, 1)[step]
        full = CompositionBatches(pixels, triplets, edits, encoded.objects, plan, 1)[step]
        assert torch.equal(batch.same, full.same)
        losses, gradients = losses_and_gradients(cached, batch, composer, criterion)
        expected, full_gradients = losses_and_gradients(in_loop, full, composer, criterion)
        assert losses.keys() == expected.keys()
        assert ("sets" in losses) == known
        for loss, value in expected.items():
            torch.testing.assert_close(losses[loss], value, rtol=1e-4, atol=1e-5)
        for weight, value in full_gradients.items():
            difference = (gradients[weight] - value).norm() / value.norm().clamp(min=1e-3)
            assert difference < 1e-4, weight


def test_a_batch_is_rows_of_the_features(loaded, encoded):
    _, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 6, 1, seed=1)
    batch = CachedBatches(encoded, "edit", plan, near_misses=1)[0]
    chosen = [triplets[item] for item in plan[0]]
    images = [t.target for t in chosen] + [t.reference for t in chosen]
    found = torch.cat([batch.target, batch.reference, *batch.others])
    expected = encoded.rows(images + [t.near_misses[0] for t in chosen])
    assert torch.equal(found, encoded.images[expected])
    row = {name: number for number, name in enumerate(encoded.names)}
    named = [(name, n, 1.0) for n, item in enumerate(plan[0]) for name in edits[item].add]
    named += [(name, n, -1.0) for n, item in enumerate(plan[0]) for name in edits[item].remove]
    named.sort(key=lambda one: one[1])
    assert batch.edit.owner.tolist() == [owner for _, owner, _ in named]
    assert batch.edit.sign.tolist() == [sign for _, _, sign in named]
    assert torch.equal(batch.edit.objects, encoded.name_features[[row[n] for n, _, _ in named]])
    assert torch.equal(batch.edit.text, encoded.texts["edit"][plan[0]])
    for image, shown in zip(images, batch.shown, strict=True):
        vectors = encoded.name_features[sorted(row[name] for name in objects[image])]
        assert torch.equal(batch.names[shown], vectors)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_that_of_the_whole_model(name, loaded, encoded, encoder):
    pixels, triplets, edits, objects = loaded
    composer = built(name, encoder).eval()
    model = EncodedComposer(encoder, composer)
    expected = gallery_accuracy(model, pixels, list(objects), triplets, edits)
    assert accuracy_of(rank_split(composer, encoded)) == pytest.approx(expected)


def test_the_one_loop_trains_a_composer(loaded, encoded, encoder, tmp_path):
    """TIRG, from chance to the top of the gallery that it was trained in."""
    _, triplets, _, objects = loaded
    torch.manual_seed(0)
    encoded = encoded.to(DEVICE)
    composer = create(params("tirg", text="sentence"), encoder.dim, encoder.dim).to(DEVICE)
    keys = [shows(t.target, objects) for t in triplets]
    plan = plan_batches(keys, 12, 60, seed=0)
    objective = CachedObjective(composer, InfoNCE.starting_at(0.07), set_weight=0.0)
    before = accuracy_of(rank_split(composer.eval(), encoded))
    history = fit(
        objective,
        module_groups(objective, 3e-3, 0.01),
        CachedBatches(encoded, composer.text, plan, near_misses=1),
        lambda: accuracy_of(rank_split(composer, encoded)),
        schedule(60, evaluate_every=30),
        0,
        tmp_path / "checkpoints",
        "a composer",
    )
    assert history[-1]["mrr"] > before["mrr"] + 0.3
    assert np.isfinite(history[-1]["composition"])
