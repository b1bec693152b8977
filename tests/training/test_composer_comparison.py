"""Composers trained alike and measured alike, against the whole model and against loops."""

import json

import numpy as np
import pytest
import torch

from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.english import article
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.images.shards import ImageShards, read_triplets
from cir.retrieval.ranking.metrics import bootstrap_interval
from cir.training.composer_alone import rank_split
from cir.training.composer_comparison import (
    Trained,
    load_trained,
    measure,
    microseconds_per_query,
    protocol,
    save_trained,
    train_composer,
)
from cir.training.encoded_split import EncodedSplit, encode_folder
from cir.training.params import CompareComposers
from tests.helpers.composers import params

ARITHMETIC = params("arithmetic")
CORRECTED = params("corrected_arithmetic", text="sentence", hidden=32)
DIM = 256  # of the micro encoder
RECIPE = CompareComposers(
    trainings=1,
    steps=120,
    batch_size=12,
    learning_rate=3e-3,
    learning_rates={},
    weight_decay=0.01,
    warmup=0.1,
    gradient_clip=1.0,
    temperature=0.07,
    set_weight=0.5,
    evaluate_every=60,
)


class TrueEdits:
    """Reads the sentences that write_drawn_split writes; a tagger that is always right."""

    def tag(self, texts):
        edits = []
        for text in texts:
            removed, added = text.removeprefix("replace the ").split(" with a ")
            edits.append(Edit(text, (added,), (removed,)))
        return edits


def accuracy(composer, split):
    return measure("one", [Trained(composer, 0.0, 0.0)], split, 0, 10).accuracy


@pytest.fixture(scope="module")
def encoded(split, encoder):
    return encode_folder(split, encoder, TrueEdits(), whole_gallery=True)


def test_a_folder_is_encoded_as_the_model_would(split, encoder, encoded):
    images, triplets = ImageShards(split), read_triplets(split)
    assert encoded.triplets == tuple(triplets)
    assert encoded.edits == tuple(triplet.edit for triplet in triplets)
    assert set(encoded.ids) == set(images.ids)
    assert encoded.objects == {name: tuple(images.objects(name)) for name in images.ids}
    with torch.no_grad():
        for row, name in list(enumerate(encoded.ids))[::11]:
            pixels = torch.tensor(encoder.preprocess(images.image(name)))[None]
            expected = encoder.encode_images(pixels)[0]
            torch.testing.assert_close(encoded.images[row], expected, rtol=1e-3, atol=1e-4)
        sentences = encoder.encode_texts([triplet.text for triplet in triplets])
        torch.testing.assert_close(encoded.texts["sentence"], sentences, rtol=1e-3, atol=1e-4)
        first = triplets[0].edit
        words = f"add {article(first.add[0])} {first.add[0]}; "
        words += f"remove {article(first.remove[0])} {first.remove[0]}"
        edit = encoder.encode_texts([words])[0]
    torch.testing.assert_close(encoded.texts["edit"][0], edit, rtol=1e-3, atol=1e-4)


def test_the_first_triplets_and_their_images_alone(split, encoder):
    some = encode_folder(split, encoder, TrueEdits(), most=5)
    assert len(some.triplets) == len(some.edits) == len(some.texts["edit"]) == 5
    assert set(some.ids) == {n for t in some.triplets for n in (t.reference, t.target)}


def test_it_is_the_same_from_disk(encoded, tmp_path):
    encoded.save(tmp_path)
    loaded = EncodedSplit.load(tmp_path)
    assert (loaded.triplets, loaded.edits) == (encoded.triplets, encoded.edits)
    assert loaded.objects == encoded.objects
    assert loaded.ids == encoded.ids
    assert torch.equal(loaded.images, encoded.images)
    assert torch.equal(loaded.name_features, encoded.name_features)
    assert {kind: text.tolist() for kind, text in loaded.texts.items()} == {
        kind: text.tolist() for kind, text in encoded.texts.items()
    }
    assert loaded.encoded_edits("none").text is None
    assert torch.equal(loaded.encoded_edits("edit").text, encoded.texts["edit"])


def test_a_lost_or_broken_file_is_named(encoded, tmp_path):
    encoded.save(tmp_path)
    (tmp_path / "features.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=r"features\.safetensors cannot be read"):
        EncodedSplit.load(tmp_path)
    encoded.save(tmp_path)
    rows = json.loads((tmp_path / "split.json").read_text())
    (tmp_path / "split.json").write_text(json.dumps({**rows, "edits": [{"add": ["mug"]}]}))
    with pytest.raises(UserError, match=r"is not an encoded split: .*'text'"):
        EncodedSplit.load(tmp_path)
    (tmp_path / "split.json").unlink()
    with pytest.raises(UserError, match=r"split\.json does not exist"):
        EncodedSplit.load(tmp_path)


def test_training_helps_and_the_same_seed_gives_the_same_composer(encoded, tmp_path):
    before = accuracy(create(ARITHMETIC, DIM, DIM).eval(), encoded)
    split = encoded.to(DEVICE)
    trained = train_composer(CORRECTED, split, split, RECIPE, 3, tmp_path / "one")
    assert trained.val_accuracy > before + 0.2
    assert trained.seconds > 0
    assert not trained.composer.training
    again = train_composer(CORRECTED, split, split, RECIPE, 3, tmp_path / "two")
    rounding = 0 if DEVICE == "cpu" else 1e-3  # a GPU does not always sum in the same order
    torch.testing.assert_close(
        trained.composer.state_dict(), again.composer.state_dict(), rtol=0, atol=rounding
    )


def test_a_composer_without_weights_is_taken_as_it_is(encoded, tmp_path):
    trained = train_composer(ARITHMETIC, encoded, encoded, RECIPE, 3, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert trained.val_accuracy == accuracy(trained.composer, encoded)


def test_trainings_are_the_same_from_disk(encoded, tmp_path):
    first, second = create(CORRECTED, DIM, DIM), create(CORRECTED, DIM, DIM)
    save_trained([Trained(first, 0.25, 3.5), Trained(second, 0.75, 4.5)], tmp_path)
    loaded = load_trained(tmp_path)
    assert [(one.val_accuracy, one.seconds) for one in loaded] == [(0.25, 3.5), (0.75, 4.5)]
    for one, composer in zip(loaded, (first, second), strict=True):
        expected = composer.state_dict()
        assert all(torch.equal(v, expected[n]) for n, v in one.composer.state_dict().items())
    (tmp_path / "1.safetensors").unlink()
    with pytest.raises(UserError, match=r"1\.safetensors does not exist"):
        load_trained(tmp_path)


def test_ranks_are_those_of_the_whole_model(split, encoder, encoded):
    torch.manual_seed(0)
    composer = create(CORRECTED, DIM, DIM).eval()
    with torch.no_grad():
        for weight in composer.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    model, images = EncodedComposer(encoder, composer), ImageShards(split)
    ids = list(encoded.ids)

    def pixels(names):
        return torch.from_numpy(np.stack([encoder.preprocess(images.image(n)) for n in names]))

    with torch.no_grad():
        gallery = model.gallery(pixels(ids))
        references = pixels([triplet.reference for triplet in encoded.triplets])
        scores = model.queries(references, encoded.edits) @ gallery.T
    for triplet, row, rank in zip(
        encoded.triplets, scores, rank_split(composer, encoded).target_ranks, strict=True
    ):
        target = row[ids.index(triplet.target)]
        assert int((row > target + 1e-4).sum()) + 1 <= rank <= int((row > target - 1e-4).sum())


def test_figures_are_means_over_the_trainings(encoded):
    torch.manual_seed(1)
    composers = [create({**CORRECTED, "hidden": width}, DIM, DIM).eval() for width in (8, 16)]
    with torch.no_grad():
        for weight in composers[1].value.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    ranks = [rank_split(composer, encoded).target_ranks for composer in composers]
    assert not np.array_equal(*ranks)
    trained = [Trained(composer, 0.1 * n, n) for n, composer in enumerate(composers, 1)]
    found = measure("ours", trained, encoded, seed=4, resamples=500)
    assert found.by_seed == [float((row == 1).mean()) for row in ranks]
    assert found.accuracy == pytest.approx(np.mean(found.by_seed))
    assert found.recall_5 == pytest.approx(np.mean([(row <= 5).mean() for row in ranks]))
    assert found.mrr == pytest.approx(np.mean([(1 / row).mean() for row in ranks]))
    share = np.mean([row == 1 for row in ranks], axis=0)
    assert found.interval95 == bootstrap_interval(share, 4, 500)
    assert (found.recall[0].k, found.recall[0].recall) == (1, pytest.approx(found.accuracy))
    assert found.gallery_size == len(encoded.ids)
    assert found.novel_accuracy is None
    assert found.seen_accuracy == found.accuracy
    assert (found.composer, found.trainings, found.training_seconds) == ("ours", 2, 1.5)
    assert found.val_accuracy == pytest.approx(0.15)
    assert found.parameters == sum(weight.numel() for weight in composers[0].parameters())


@pytest.mark.parametrize(
    ("settings", "query", "edit"),
    [
        ({"name": "image_only"}, "image", "none"),
        ({"name": "text_only", "text": "difference"}, "edit", "tagged"),
        ({"name": "text_only", "text": "sentence"}, "sentence", "none"),
        ({"name": "tirg", "text": "sentence"}, "image and sentence", "none"),
        ({"name": "tirg", "text": "edit"}, "image and edit", "tagged"),
        ({"name": "tirg", "text": "objects"}, "image and edit", "tagged"),
        (ARITHMETIC, "image and edit", "tagged"),
        (CORRECTED, "image and edit", "tagged"),
    ],
)
def test_the_protocol_says_what_is_read(encoded, settings, query, edit):
    found = protocol(encoded, create(settings, DIM, DIM))
    assert (found.gallery, found.query, found.edit) == ("hard", query, edit)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_training_and_measuring_on_a_gpu(encoded, tmp_path):
    split = encoded.to("cuda")
    trained = train_composer(CORRECTED, split, split, RECIPE, 3, tmp_path)
    assert {weight.device.type for weight in trained.composer.parameters()} == {"cpu"}
    assert accuracy(trained.composer, encoded) > 0.5


def test_the_time_is_that_of_composing(encoded):
    small = create({**CORRECTED, "hidden": 8}, DIM, DIM).eval()
    large = create({**CORRECTED, "hidden": 4096}, DIM, DIM).eval()
    assert 0 < microseconds_per_query(small, encoded) < microseconds_per_query(large, encoded)
