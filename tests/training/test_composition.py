"""The second stage of training: reference + edit against target."""

import pytest
import torch

from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.records import Edit, Triplet
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.training.composition import (
    CompositionBatches,
    CompositionObjective,
    gallery_accuracy,
    shows,
)
from cir.training.losses import BatchClassification, batch_classification, symmetric_info_nce
from cir.training.shared.batches import Pixels, TrunkFeatures, plan_batches
from cir.training.shared.parameter_groups import encoder_groups, head
from tests.helpers.composers import arithmetic, params


@pytest.fixture(scope="module")
def model(encoder):
    return EncodedComposer(encoder, arithmetic()).eval()


@pytest.fixture(scope="module")
def loaded(split, encoder):
    images, triplets = ImageShards(split), read_triplets(split)
    objects = {name: images.objects(name) for name in images.ids}
    return Pixels(images, encoder), triplets, [t.edit for t in triplets], objects


def test_a_batch_holds_targets_references_and_near_misses_in_this_order(loaded):
    pixels, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 4, 2, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=1)[1]
    chosen = [triplets[item] for item in plan[1]]
    expected = [t.target for t in chosen] + [t.reference for t in chosen]
    expected += [t.near_misses[0] for t in chosen]
    assert torch.equal(batch.pixels, pixels.get(expected))
    assert batch.edits == [t.edit for t in chosen]
    for query in range(4):
        for candidate, image in enumerate(expected):
            alike = set(objects[image]) == set(objects[chosen[query].target])
            assert bool(batch.same[query, candidate]) == alike
    for row, image in enumerate(expected[:8]):
        shown = {batch.names[column] for column in batch.shown[row].nonzero().flatten()}
        assert shown == set(objects[image])


def test_without_known_objects_only_the_image_itself_is_the_same(loaded):
    pixels, triplets, edits, _ = loaded
    plan = plan_batches([t.id for t in triplets], 3, 1, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, {}, plan, near_misses=0)[0]
    assert batch.shown is None
    assert batch.same.tolist() == torch.eye(3, 6).bool().tolist()


def test_the_objective_is_info_nce_of_composed_queries(loaded, model):
    pixels, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 4, 1, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=0)[0]
    with torch.inference_mode():
        losses = CompositionObjective(model, naming_weight=0.0, set_weight=0.0)(batch)
        query = model.queries(batch.pixels[4:], batch.edits)
        scale = model.encoder.clip.logit_scale.exp()
        expected = symmetric_info_nce(query, model.gallery(batch.pixels), 1 / scale, batch.same)
    assert set(losses) == {"composition"}
    torch.testing.assert_close(losses["composition"], expected)


def test_another_criterion_and_the_composers_own_losses(loaded, encoder):
    pixels, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 4, 1, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=1)[0]
    composer = create(params("composeae", text="sentence"), encoder.dim, encoder.dim)
    model = EncodedComposer(encoder, composer.eval()).eval()
    with torch.inference_mode():
        losses = CompositionObjective(model, 0.0, 0.0, BatchClassification())(batch)
        reference, target = encoder.encode_images(batch.pixels[4:8]), model.gallery(batch.pixels)
        edit = model.encode_edits(batch.edits)
        query = composer(reference, edit)
        expected = batch_classification(4 * query / query.norm(dim=1, keepdim=True), 4 * target[:4])
        own = composer.auxiliary_losses(
            reference, edit, query, encoder.encode_images(batch.pixels[:4]), BatchClassification()
        )
    assert set(losses) == {"composition", "image_decoding", "text_decoding", "rotation"}
    torch.testing.assert_close(losses["composition"], expected)
    for name, value in own.items():
        torch.testing.assert_close(losses[name], value)


def test_the_naming_loss_joins_with_its_weight(loaded, model):
    pixels, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 4, 1, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=0)[0]
    with torch.inference_mode():
        once = CompositionObjective(model, naming_weight=1.0, set_weight=0.0)(batch)["naming"]
        half = CompositionObjective(model, naming_weight=0.5, set_weight=0.0)(batch)["naming"]
    assert half.item() == pytest.approx(once.item() / 2)


def test_training_learns_the_composition(split):
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-Micro-64", None, "{}")
    model = EncodedComposer(encoder, arithmetic())
    images, triplets = ImageShards(split), read_triplets(split)
    objects = {name: images.objects(name) for name in images.ids}
    edits, pixels = [t.edit for t in triplets], Pixels(images, encoder)
    keys = [shows(t.target, objects) for t in triplets]
    plan = plan_batches(keys, 8, 30, seed=0)
    before = gallery_accuracy(model.eval(), pixels, images.ids, triplets, edits)
    objective = CompositionObjective(model.train(), naming_weight=0.5, set_weight=0.5)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for batch in CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=1):
        optimiser.zero_grad()
        sum(objective(batch).values()).backward()
        optimiser.step()
    after = gallery_accuracy(model.eval(), pixels, images.ids, triplets, edits)
    assert after["mrr"] > before["mrr"] + 0.2


def test_the_head_learns_the_same_from_the_features_of_the_frozen_trunk(split):
    images, triplets = ImageShards(split), read_triplets(split)
    plan = plan_batches([t.id for t in triplets], 6, 3, seed=0)
    learned = []
    for kind in (Pixels, TrunkFeatures):
        torch.manual_seed(0)
        encoder = Encoder.create("ViTamin-Micro-64", None, "{}")
        model = EncodedComposer(encoder, arithmetic())
        optimiser = torch.optim.SGD(encoder_groups(encoder, head(encoder), 1.0, 0.0))
        objective = CompositionObjective(
            model.train(), naming_weight=0.0, set_weight=0.0, names_stay=kind is TrunkFeatures
        )
        pixels, edits = kind(images, encoder), [t.edit for t in triplets]
        for batch in CompositionBatches(pixels, triplets, edits, {}, plan, near_misses=1):
            optimiser.zero_grad()
            sum(objective(batch).values()).backward()
            optimiser.step()
        learned.append(encoder.clip.visual.head.proj.weight.detach())
    fresh = Encoder.create("ViTamin-Micro-64", None, "{}").clip.visual.head.proj.weight
    assert not torch.allclose(learned[0], fresh, atol=1e-2)
    torch.testing.assert_close(learned[0], learned[1], rtol=1e-3, atol=1e-5)


def test_chunks_give_the_gradients_of_the_whole_batch_and_keep_less(loaded):
    pixels, triplets, edits, objects = loaded
    plan = plan_batches([t.id for t in triplets], 8, 1, seed=0)
    batch = CompositionBatches(pixels, triplets, edits, objects, plan, near_misses=1)[0]
    found = []
    for chunk in (None, 5):
        torch.manual_seed(0)
        encoder = Encoder.create("ViTamin-Micro-64", None, "{}")
        model = EncodedComposer(encoder, arithmetic()).train()
        objective, kept, most = CompositionObjective(model, 0.5, 0.5, chunk=chunk), [], []
        encode = encoder.encode_images
        encoder.encode_images = lambda part, encode=encode, most=most: (
            most.append(len(part)) or encode(part)
        )
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, kept=kept: kept.append(saved.nbytes) or saved, lambda saved: saved
        ):
            losses = objective(batch)
        sum(losses.values()).backward()
        gradients = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
        found.append((losses, gradients, sum(kept), max(most)))
    (losses, whole, kept, _), (same, chunked, less, most) = found
    torch.testing.assert_close(losses, same, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole, chunked, rtol=1e-3, atol=1e-5)
    assert less < kept / 10
    assert most == 5


def test_gallery_accuracy_by_hand(model):
    """Pixels of one colour each; the first query's target is itself, the second's is far away."""

    class Flat:
        def get(self, names):
            return torch.stack(
                [torch.full((3, 64, 64), 60 * int(n), dtype=torch.uint8) for n in names]
            )

    triplets = [Triplet("a", "0", "", "0"), Triplet("b", "0", "", "3")]
    figures = gallery_accuracy(model, Flat(), ["0", "1", "2", "3"], triplets, [Edit(""), Edit("")])
    assert figures["accuracy"] == 0.5
    assert 0.5 < figures["mrr"] <= 0.75
    assert figures["score"] == pytest.approx(figures["accuracy"] + figures["mrr"] / 100)


def test_an_image_counts_as_its_set_of_objects_or_as_itself():
    objects = {"x": ("cat", "dog"), "y": ("dog", "cat"), "z": ()}
    assert shows("x", objects) == shows("y", objects)
    assert shows("z", objects) == "z"


def test_saved_and_loaded_gives_the_same_queries(model, loaded, tmp_path):
    pixels, triplets, edits, _ = loaded
    model.save(tmp_path)
    again = EncodedComposer.load(tmp_path).eval()
    these = pixels.get([t.reference for t in triplets[:4]])
    with torch.inference_mode():
        assert torch.equal(again.queries(these, edits[:4]), model.queries(these, edits[:4]))
