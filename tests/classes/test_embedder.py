"""The class-level embedder: pooling by hand, towers as timm has them, saved and read again."""

import json
import warnings

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models import VisionTransformer, register_model
from torch import nn

from cir.classes.embedder.baselines import ColourHistogram, FlipAveraged
from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.pooling import POOLINGS, AveragePool, ClassToken, GeM, MaxPool
from cir.classes.embedder.towers import TokenTower
from cir.classes.embedder.training import optimiser_groups
from cir.core.errors import UserError
from tests.helpers.class_images import encoded, random_pixels

MICRO = "vitamin_micro_64"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 2}


def tiny(kwargs, **options):
    """A ViT of two blocks that timm makes by its name, with a configuration of its own."""
    kwargs = {k: v for k, v in kwargs.items() if k == "num_classes"}
    tower = VisionTransformer(**{**SIZES, **options, **kwargs})
    tower.pretrained_cfg = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return tower


@register_model
def vit_of_tests(pretrained=False, **kwargs):
    return tiny(kwargs)


@register_model
def clip_of_tests(pretrained=False, **kwargs):
    norm = {"pre_norm": True, "norm_layer": nn.LayerNorm}
    return tiny(kwargs, **norm)


@register_model
def averaging_of_tests(pretrained=False, **kwargs):
    return tiny(kwargs, class_token=False, global_pool="avg", pos_embed="none")


@register_model
def registers_of_tests(pretrained=False, **kwargs):
    return tiny(kwargs, class_token=False, reg_tokens=2, no_embed_class=True, global_pool="avg")


def create(tower=MICRO, pretrained=None, pooling="gem", dim=16, dropout=0.1, seed=0):
    torch.manual_seed(seed)
    return ClassEmbedder.create(tower, pretrained, pooling, dim, dropout).eval()


@pytest.fixture(scope="module")
def embedder():
    return create()


TOKENS = torch.tensor([[[9.0, 9.0], [1.0, -2.0], [3.0, 0.5]]])  # a prefix, then two patches


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (AveragePool(), [2.0, -0.75]),
        (MaxPool(), [3.0, 0.5]),
        (ClassToken(), [9.0, 9.0]),
        (GeM(1.0), [2.0, 0.25]),
        (GeM(2.0), [5**0.5, 0.125**0.5]),
    ],
)
def test_poolings_by_hand(pooling, expected):
    torch.testing.assert_close(pooling(TOKENS, 1), torch.tensor([expected]), rtol=1e-5, atol=1e-6)


def test_every_pooling_has_its_name():
    assert [POOLINGS[n] for n in ("gem", "average", "max", "class_token")] == [
        GeM,
        AveragePool,
        MaxPool,
        ClassToken,
    ]


@pytest.mark.parametrize("exponent", [1.0, 2.5, 3.0, 6.0])
def test_gem_is_the_formula(exponent):
    """(1/N Σ max(x, ε)^p)^(1/p), spelt out in float64."""
    tokens = torch.randn(3, 18, 5, generator=torch.Generator().manual_seed(1))
    patches = tokens[:, 2:].double().numpy()
    expected = np.zeros((3, 5))
    for image in range(3):
        for channel in range(5):
            powers = [max(float(x), 1e-6) ** exponent for x in patches[image, :, channel]]
            expected[image, channel] = (sum(powers) / len(powers)) ** (1 / exponent)
    found = GeM(exponent)(tokens, 2).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_gem_lies_between_mean_and_maximum():
    tokens = torch.rand(2, 16, 6, generator=torch.Generator().manual_seed(2)) + 0.1
    mean, largest = tokens.mean(1), tokens.amax(1)
    torch.testing.assert_close(GeM(1.0)(tokens, 0), mean)
    torch.testing.assert_close(GeM(400.0)(tokens * 1.0, 0), largest, rtol=0.01, atol=0)
    between = GeM(3.0)(tokens, 0)
    assert ((mean < between) & (between < largest)).all()


def test_gems_exponent_learns():
    gem, tokens = GeM(), torch.rand(2, 9, 4) + 0.05
    gem(tokens, 0).sum().backward()
    value, step = gem.exponent.item(), 1e-3
    higher, lower = (GeM(value + s)(tokens.double(), 0).sum().item() for s in (step, -step))
    assert gem.exponent.grad.item() == pytest.approx((higher - lower) / (2 * step), rel=0.02)
    assert gem.exponent.grad.item() > 0


def test_gem_of_half_precision_stays_finite():
    tokens = (torch.randn(2, 16, 8) * 300).bfloat16().requires_grad_()
    gem = GeM(6.0)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = gem(tokens, 0)
    pooled.sum().backward()
    assert pooled.dtype == torch.float32
    for values in (pooled, tokens.grad, gem.exponent.grad):
        assert values.isfinite().all()
    dark = GeM()
    dark(torch.full((1, 4, 3), -5.0), 0).sum().backward()
    assert dark.exponent.grad.isfinite()


def test_vectors_are_the_head_of_the_pooled_tokens(embedder):
    pixels = random_pixels()
    tower = embedder.backbone.tower
    mean = torch.tensor(CLIP_MEAN).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    with torch.inference_mode():
        tokens = tower.forward_features((pixels / 255 - mean) / std)
        pooled = GeM()(tokens, 0)
        expected = embedder.head(pooled)
    assert tokens.shape == (4, 16, 128)
    torch.testing.assert_close(embedder.backbone.encode_images(pixels), pooled)
    torch.testing.assert_close(encoded(embedder, pixels), expected)
    assert [type(layer).__name__ for layer in embedder.head] == ["Dropout", "Linear", "BatchNorm1d"]
    assert embedder.head[1].bias is None


def test_the_tokens_last_norm_of_averaging_towers_comes_after_the_pooling():
    embedder = create("averaging_of_tests", pooling="average")
    tower, pixels = embedder.backbone.tower, random_pixels(2, 32)
    assert isinstance(tower.norm, nn.Identity)
    with torch.inference_mode():
        tokens = tower.forward_features(pixels / 255 * 2 - 1)
        expected = tower.forward_head(tokens)  # timm's own average and norm
    torch.testing.assert_close(embedder.backbone.encode_images(pixels), expected)


def test_the_towers_own_pooling_is_left_out(embedder):
    own = timm.create_model(MICRO, num_classes=0)
    assert any(name.startswith("detectors.") for name, _ in own.named_parameters())
    assert not any(".detectors." in name for name, _ in embedder.named_parameters())
    attending = tiny({}, global_pool="map", class_token=False, num_classes=0)
    assert attending.attn_pool is not None
    names = [name for name, _ in TokenTower(attending, GeM()).named_parameters()]
    assert not any("attn_pool" in name for name in names)


@pytest.mark.parametrize("name", [MICRO, "averaging_of_tests", "registers_of_tests"])
def test_a_class_token_is_added_to_a_tower_without_one(name):
    embedder = create(name, pooling="class_token")
    tower, size = embedder.backbone.tower, embedder.image_size[0]
    assert tower.cls_token.requires_grad
    pixels = random_pixels(2, size)
    tokens = tower.forward_features(pixels.float())
    prefix = tower.num_prefix_tokens
    assert prefix == {"registers_of_tests": 3}.get(name, 1)
    patches = 16 if name == MICRO else 4
    assert tokens.shape[1] == prefix + patches
    before = encoded(embedder, pixels)
    assert not torch.equal(before[0], before[1])  # it has looked at the images
    tower.cls_token.data += 1.0
    assert not torch.allclose(encoded(embedder, pixels), before)
    embedder.encode_images(pixels).square().sum().backward()
    assert tower.cls_token.grad.abs().sum() > 0


def test_a_class_token_that_is_there_stays():
    own = tiny({}, num_classes=0)
    token = own.cls_token
    assert TokenTower(own, ClassToken()).tower.cls_token is token
    assert own.num_prefix_tokens == 1
    assert TokenTower(tiny({}, num_classes=0), GeM()).tower.num_prefix_tokens == 1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_saved_and_read_again_it_gives_the_same_bits(tmp_path, pooling):
    before = create(pooling=pooling)
    before.train()
    before.encode_images(random_pixels(8, seed=3))  # so that batch normalisation has seen something
    before.eval()
    before.save(tmp_path)
    after = ClassEmbedder.load(tmp_path).eval()
    assert torch.equal(encoded(after, random_pixels()), encoded(before, random_pixels()))
    assert after.fingerprint() == before.fingerprint()
    assert after.backbone.fingerprint() == before.backbone.fingerprint()
    assert after.settings == before.settings


def test_the_colours_that_the_weights_expect_are_saved(tmp_path):
    """timm's tags of one tower differ in them, and a saved embedder is created without a tag."""
    before = create("vit_of_tests")
    before.backbone.pixel_mean.fill_(0.25)
    before.save(tmp_path)
    after = ClassEmbedder.load(tmp_path).eval()
    assert torch.equal(after.backbone.pixel_mean, before.backbone.pixel_mean)
    assert torch.equal(encoded(after, random_pixels(2, 32)), encoded(before, random_pixels(2, 32)))
    large = "vit_large_patch14_clip_224"
    means = {timm.get_pretrained_cfg(f"{large}.{tag}").mean for tag in ("laion2b", "datacompxl")}
    assert len(means) == 2


def test_fingerprints_tell_weights_and_poolings_apart(embedder):
    assert create().fingerprint() == embedder.fingerprint()
    others = [create(seed=1), create(pooling="average"), create(dim=8), create()]
    others[-1].head[2].running_mean += 0.1
    found = {other.fingerprint() for other in [*others, embedder]}
    assert len(found) == 5
    moved = create()
    moved.backbone.pooling.exponent.data += 0.5
    assert moved.fingerprint() != embedder.fingerprint()
    assert moved.backbone.fingerprint() != embedder.backbone.fingerprint()
    average, largest = (create(pooling=name).backbone for name in ("average", "max"))
    assert average.fingerprint() != largest.fingerprint()
    assert average.fingerprint() == create(pooling="average", dim=8).backbone.fingerprint()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (None, r"class_embedder\.json does not exist"),
        ([1], r"class_embedder\.json should hold dim, dropout, pooling, tower, and holds \[1\]"),
        ({"tower": MICRO}, r"should hold dim, dropout, pooling, tower, and holds tower"),
        ({"pooling": "median"}, r'pooling must be one of gem, average, .*, got "median"'),
        ({"dim": 8}, r"safetensors holds weights of another class embedder: 5 differ, the first"),
    ],
)
def test_a_broken_folder_is_one_sentence(embedder, tmp_path, settings, sentence):
    embedder.save(tmp_path)
    path = tmp_path / "class_embedder.json"
    if settings is None:
        path.unlink()
    else:
        changed = isinstance(settings, dict) and "tower" not in settings
        path.write_text(json.dumps({**embedder.settings, **settings} if changed else settings))
    with pytest.raises(UserError, match=sentence):
        ClassEmbedder.load(tmp_path)


def test_an_embedder_without_weights_is_told_of(embedder, tmp_path):
    embedder.save(tmp_path)
    (tmp_path / "class_embedder.safetensors").unlink()
    with pytest.raises(UserError, match=r"class_embedder\.safetensors does not exist"):
        ClassEmbedder.load(tmp_path)


def test_images_are_brought_to_size_by_the_shorter_side(embedder):
    square = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    untouched = embedder.preprocess(Image.fromarray(square))
    assert untouched.shape == (3, 64, 64)
    assert untouched.dtype == np.uint8
    np.testing.assert_array_equal(untouched, square.transpose(2, 0, 1))
    # Thirds of red, green and blue: of a wide image the middle stays, and all of its height.
    wide = np.zeros((128, 384, 3), np.uint8)
    for place in range(3):
        wide[:, 128 * place : 128 * (place + 1), place] = 255
    for pixels, name in ((wide, "wide"), (wide.transpose(1, 0, 2), "tall")):
        found = embedder.preprocess(Image.fromarray(np.ascontiguousarray(pixels)))
        assert found.shape == (3, 64, 64), name
        assert (found[1][2:-2, 2:-2] == 255).all()
        assert (found[0][2:-2, 2:-2] == 0).all()
    small = embedder.preprocess(Image.new("RGB", (9, 5), (10, 20, 30)))
    assert small.shape == (3, 64, 64)
    assert (small == np.array([10, 20, 30]).reshape(3, 1, 1)).all()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_pretrained_weights_come_from_a_file(tmp_path, suffix):
    torch.manual_seed(5)
    source, path = timm.create_model("vit_of_tests", num_classes=7), tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": source.state_dict(), "epoch": 3}, path)
    else:
        save_file(source.state_dict(), path)
    tower = create("vit_of_tests", str(path)).backbone.tower
    for name, value in tower.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_the_projects_own_encoder_is_such_a_file(encoder, tmp_path):
    encoder.save(tmp_path)
    tower = create(MICRO, str(tmp_path / "open_clip_model.safetensors")).backbone.tower
    own = encoder.clip.visual.trunk.state_dict()
    assert tower.state_dict().keys() == {n for n in own if not n.startswith("detectors.")}
    assert all(torch.equal(value, own[name]) for name, value in tower.state_dict().items())


def test_weights_with_clips_names(tmp_path):
    """Those of open_clip's own ViT, whose class token timm's tower then gives."""
    torch.manual_seed(6)
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    source = open_clip.CLIP(48, vision, text).eval()
    torch.save(source.state_dict(), tmp_path / "clip.pt")
    tower = create("clip_of_tests", str(tmp_path / "clip.pt"), "class_token").backbone.tower
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features = tower.forward_features(pixels)[:, 0] @ source.visual.proj
        torch.testing.assert_close(features, source.visual(pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", ["another", "deeper", "names", "text", "list"])
def test_a_file_of_other_weights_is_one_sentence(tmp_path, wrong):
    path = tmp_path / "weights.pt"
    if wrong == "another":
        torch.save(timm.create_model("resnet10t").state_dict(), path)
    if wrong == "deeper":
        torch.save(tiny({}, depth=3).state_dict(), path)
    if wrong == "names":
        torch.save({f"net.{n}": v for n, v in tiny({}).state_dict().items()}, path)
    if wrong == "text":
        path.write_text("weights")
    if wrong == "list":
        torch.save([torch.zeros(2)], path)
    with pytest.raises(UserError) as caught:
        create("vit_of_tests", str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    expected = {
        "another": 'of another tower than "vit_of_tests": it has no cls_token, pos_embed',
        "deeper": "the tower has no blocks.2.",
        "names": "it has no cls_token",
    }
    assert expected.get(wrong, "Cannot load class_embedder.tower") in str(caught.value)


@pytest.mark.parametrize(
    ("tower", "pretrained", "sentence"),
    [
        ("vit_enormous", None, r'Cannot load class_embedder\.tower "vit_enormous": '),
        ("vit_large_patch14_clip_224", "openai", r"another activation .* \(natively QuickGELU"),
        ("vit_tiny_patch16_224", "nobodys", r'"vit_tiny_patch16_224" with weights "nobodys": '),
        ("vit_of_tests", "no/such.file", r'"vit_of_tests" with weights "no/such\.file": '),
        ("resnet10t", None, r'\(ViT, ViTamin\), or an EfficientNet; "resnet10t" is a ResNet'),
        (MICRO, "openai", r'"vitamin_micro_64" with weights "openai": '),
    ],
)
def test_a_wrong_tower_or_tag_is_one_sentence(tower, pretrained, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        create(tower, pretrained)
    assert "\n" not in str(caught.value)


def groups_of(name, layer_decay):
    tower = timm.create_model(name, num_classes=0)
    embedder = ClassEmbedder(TokenTower(tower, GeM()), 8, 0.0)
    return embedder, optimiser_groups(embedder, 1.0, 0.05, layer_decay)


def rates(name, layer_decay):
    """Learning rate and weight decay of each parameter, by its name."""
    embedder, groups = groups_of(name, layer_decay)
    names = {parameter: name for name, parameter in embedder.named_parameters()}
    found = {}
    for group in groups:
        for parameter in group["params"]:
            assert names[parameter] not in found
            found[names[parameter]] = (group["lr"], group["weight_decay"])
    assert found.keys() == set(names.values())
    return embedder, found


def test_layer_wise_rates_of_a_vit_by_hand():
    _, found = rates("vit_tiny_patch16_224", 0.75)
    for name, (rate, _) in found.items():
        if name.startswith("backbone.tower.blocks."):
            power = 11 - int(name.split(".")[3])
        else:
            stem = ("cls_token", "pos_embed", "patch_embed")
            power = 12 if name.removeprefix("backbone.tower.").startswith(stem) else 0
        assert rate == pytest.approx(0.75**power), name
    assert len({rate for rate, _ in found.values()}) == 13


def test_layer_wise_rates_of_a_published_vitamin():
    embedder, found = rates("vitamin_small_224", 0.75)
    depth = len(embedder.backbone.tower.blocks)
    of_blocks = [found[f"backbone.tower.blocks.{n}.attn.qkv.weight"][0] for n in range(depth)]
    # Its last norm, after the average, is a layer of its own.
    assert of_blocks == pytest.approx([0.75 ** (depth - n) for n in range(depth)])
    stem = found["backbone.tower.patch_embed.backbone.stem.conv1.weight"][0]
    assert stem == pytest.approx(0.75 ** (depth + 1))
    for name in ("tower.fc_norm.weight", "pooling.exponent"):
        assert found[f"backbone.{name}"] == (1.0, 0.0)
    assert found["head.1.weight"] == (1.0, 0.05)


@pytest.mark.parametrize("name", ["vit_of_tests", MICRO])
def test_vectors_and_scalars_do_not_decay(name):
    embedder, found = rates(name, 1.0)
    for parameter, value in embedder.named_parameters():
        whole = value.ndim > 1 and not parameter.endswith(("cls_token", "pos_embed"))
        assert found[parameter] == (1.0, 0.05 if whole else 0.0), parameter
    assert groups_of(name, 1.0)[1][-1]["lr"] == 1.0  # whose rate is told


def test_every_parameter_is_trained_once_with_a_class_token_too():
    embedder = create(pooling="class_token")
    groups = optimiser_groups(embedder, 0.1, 0.05, 0.5)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in embedder.parameters()}
    token = [g for g in groups if any(p is embedder.backbone.tower.cls_token for p in g["params"])]
    assert (token[0]["lr"], token[0]["weight_decay"]) == (pytest.approx(0.1 * 0.5**3), 0.0)


def test_the_layers_of_tower_and_head_are_marked_for_muon():
    embedder, groups = groups_of(MICRO, 0.5)
    names = {parameter: name for name, parameter in embedder.named_parameters()}
    marked = {names[w] for group in groups if group["matrices"] for w in group["params"]}
    assert {"head.1.weight", "backbone.tower.blocks.0.attn.qkv.weight"} <= marked
    assert not [name for name in marked if name.endswith(("bias", "pos_embed", "exponent"))]


class Unlayered(VisionTransformer):
    def group_matcher(self, coarse=False):
        return {"stem": "."}


def test_a_tower_of_no_known_layers_is_refused():
    embedder = ClassEmbedder(TokenTower(Unlayered(**SIZES, num_classes=0), GeM()), 8, 0.0)
    with pytest.raises(UserError, match=r"layer_decay 0\.75 would have no effect: .* Unlayered"):
        optimiser_groups(embedder, 0.1, 0.05, 0.75)
    assert {group["lr"] for group in optimiser_groups(embedder, 0.1, 0.05, 1.0)} == {0.1}


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for saving in (False, True):
        embedder = create("vit_of_tests")
        if saving:
            embedder.use_gradient_checkpointing()
            assert embedder.backbone.tower.grad_checkpointing
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            embedder.encode_images(random_pixels(3, 32)).square().sum().backward()
        gradients.append([p.grad for p in embedder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_flip_averaged_vectors_are_those_of_the_mirror_image(embedder):
    flipping, pixels = FlipAveraged(embedder), random_pixels()
    found, mirrored = encoded(flipping, pixels), encoded(flipping, pixels.flip(3))
    torch.testing.assert_close(found, mirrored)
    one, other = encoded(embedder, pixels), encoded(embedder, pixels.flip(3))
    assert not torch.allclose(one, other)
    for row in range(len(pixels)):
        expected = one[row] / one[row].norm() + other[row] / other[row].norm()
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)
    assert flipping.fingerprint() != embedder.fingerprint()
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(flipping.preprocess(picture), pixels[0].numpy())


def slow_histogram(pixels, bins):
    """[3, S, S] → the square roots of the shares of the cells, one pixel after the other."""
    counts = np.zeros((bins, bins, bins))
    for colour in pixels.reshape(3, -1).T:
        red, green, blue = (int(value) * bins // 256 for value in colour)
        counts[red, green, blue] += 1
    return np.sqrt(counts / counts.sum()).reshape(-1)


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_colour_histograms_pixel_by_pixel(bins):
    pixels = random_pixels(3, 8, seed=4)
    pixels[2] = 255
    found = ColourHistogram(bins, 8).encode_images(pixels).numpy()
    assert found.shape == (3, bins**3)
    for row, image in zip(found, pixels.numpy(), strict=True):
        np.testing.assert_allclose(row, slow_histogram(image, bins), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_colour_histograms_do_not_see_shape():
    histogram = ColourHistogram(4, 16)
    half = np.zeros((32, 64, 3), np.uint8)
    half[:, :32, 0] = 255
    turned = np.ascontiguousarray(half.transpose(1, 0, 2)[::-1])
    pixels = np.stack([histogram.preprocess(Image.fromarray(p)) for p in (half, turned)])
    assert pixels.shape == (2, 3, 16, 16)
    one, other = histogram.encode_images(torch.from_numpy(pixels))
    assert one @ other == pytest.approx(1.0)
    assert sorted(one[one > 0].tolist()) == pytest.approx([0.5**0.5] * 2)
    assert len({ColourHistogram(4).fingerprint(), ColourHistogram(8).fingerprint()}) == 2
