"""The first stage of training: images against names."""

import math

import pytest
import torch

from cir.core.errors import UserError
from cir.core.records import Edit, Triplet
from cir.encoders import Encoder
from cir.images.shards import ImageShards
from cir.training.losses import naming_loss
from cir.training.naming import (
    NamingBatches,
    NamingObjective,
    names_shown,
    naming_score,
    objects_by_image,
)
from cir.training.shared.batches import Pixels, plan_batches


def test_names_shown_is_a_table_of_who_shows_what():
    names, shown = names_shown([("mug", "car"), ("car",)])
    assert names == ["car", "mug"]
    assert shown.tolist() == [[True, True], [True, False]]


def test_naming_loss_by_hand():
    # Image 0 shows name 0, image 1 shows both; unit vectors, so logits are scale times identity.
    image, name = torch.eye(2), torch.eye(2)
    shown = torch.tensor([[True, False], [True, True]])
    log_sum = math.log(math.exp(3) + 1)
    image_to_name = ((log_sum - 3) + (log_sum - 3 + log_sum) / 2) / 2
    name_to_image = ((log_sum - 3 + log_sum) / 2 + (log_sum - 3)) / 2
    expected = (image_to_name + name_to_image) / 2
    assert naming_loss(image, name, shown, torch.tensor(3.0)).item() == pytest.approx(expected)


def test_batches_hold_the_pixels_and_names_of_their_step(encoder, split):
    images = ImageShards(split)
    objects = {name: images.objects(name) for name in images.ids}
    pixels = Pixels(images, encoder)
    plan = plan_batches(list(objects), 5, 3, seed=0)
    batch = NamingBatches(pixels, objects, plan)[1]
    ids = [list(objects)[item] for item in plan[1]]
    assert torch.equal(batch.pixels, pixels.get(ids))
    for row, name in enumerate(ids):
        shown = {batch.names[column] for column in batch.shown[row].nonzero().flatten()}
        assert shown == set(objects[name])


def test_training_names_the_objects_of_a_few_images(split):
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-Micro-64", None, "{}")
    images = ImageShards(split)
    objects = {name: images.objects(name) for name in images.ids[:12]}
    pixels = Pixels(images, encoder)
    before = naming_score(encoder.eval(), pixels, objects)
    objective = NamingObjective(encoder.train())
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for batch in NamingBatches(pixels, objects, plan_batches(list(objects), 12, 60, seed=0)):
        optimiser.zero_grad()
        sum(objective(batch).values()).backward()
        optimiser.step()
    after = naming_score(encoder.eval(), pixels, objects)
    assert after > before
    assert after >= 0.8


def test_naming_score_counts_images_whose_objects_come_first():
    class Sight:
        """An encoder that sees what the pixels say: their first value names a direction."""

        def encode_images(self, pixels):
            return pixels[:, 0, 0].float()

        def encode_names(self, names):
            return torch.eye(3)[[["a", "b", "c"].index(name) for name in names]]

    class Table:
        def __init__(self, rows):
            self.rows = rows

        def get(self, names):
            return torch.tensor([self.rows[name] for name in names])[:, None, None]

    objects = {"one": ("a", "b"), "two": ("c",), "three": ("a",)}
    table = Table({"one": [9, 8, 1], "two": [1, 2, 3], "three": [1, 2, 0]})
    assert naming_score(Sight(), table, objects) == pytest.approx(2 / 3)
    assert naming_score(Sight(), table, objects, batch_size=1) == pytest.approx(2 / 3)


def triplet(number, reference, target):
    return Triplet(f"q{number}", reference, "text", target)


def test_objects_come_from_the_source_or_else_from_the_edits():
    triplets = [triplet(0, "x", "y"), triplet(1, "x", "z"), triplet(2, "w", "w2")]
    edits = [Edit("", ("cat",), ("dog",)), Edit("", (), ("hat",)), Edit("")]
    known = {"x": (), "y": ("bird",), "z": (), "w": ()}
    found = objects_by_image(known, triplets, edits)
    assert found == {"y": ("bird",), "x": ("dog", "hat")}


def test_no_known_object_at_all_is_said():
    with pytest.raises(UserError, match="nothing to pretrain on"):
        objects_by_image({"x": ()}, [triplet(0, "x", "y")], [Edit("")])
