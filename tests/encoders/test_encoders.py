"""open_clip models as encoders: saving, loading, padding, preprocessing, what is refused."""

import json
import re

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cir.core.errors import UserError
from cir.encoders import Encoder
from tests.helpers import tiny_bert

MICRO = "ViTamin-Micro-64"
PROMPT = "a photo of a {}"


def some_pixels(count=3, size=64):
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


@torch.inference_mode()
def test_saved_and_loaded_gives_the_same_vectors_and_fingerprint(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path).eval()
    pixels = some_pixels()
    assert torch.equal(loaded.encode_images(pixels), encoder.encode_images(pixels))
    assert torch.equal(loaded.encode_names(["red mug"]), encoder.encode_names(["red mug"]))
    assert loaded.fingerprint() == encoder.fingerprint()


@torch.inference_mode()
def test_a_tokenizer_of_transformers_is_saved_with_the_model(encoder, tmp_path):
    """Such models name a tokenizer on the hub; the saved folder must do without it."""
    (tmp_path / "source").mkdir()
    encoder.save(tiny_bert.write(tmp_path / "source"))
    path = tmp_path / "source" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "nobody/nothing"
    path.write_text(json.dumps(config))
    source = Encoder.create(f"local-dir:{tmp_path / 'source'}", None, PROMPT).eval()
    (tmp_path / "saved").mkdir()
    source.save(tmp_path / "saved")
    loaded = Encoder.load(tmp_path / "saved").eval()
    texts = ["a red mug", "the blue hat"]
    assert torch.equal(loaded.encode_texts(texts), source.encode_texts(texts))
    assert not torch.equal(*source.encode_texts(texts))


@torch.inference_mode()
def test_weights_trained_with_quickgelu_are_run_with_it(encoder, tmp_path, monkeypatch):
    """open_clip only warns, and computes with GELU, where a tag's weights want QuickGELU."""
    torch.save(encoder.clip.state_dict(), tmp_path / "weights.pt")
    tags = {tag: {"file": str(tmp_path / "weights.pt")} for tag in ("plain", "quick")}
    tags["quick"]["quick_gelu"] = True
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, MICRO, tags)
    plain, quick = (Encoder.create(MICRO, tag, PROMPT).eval() for tag in tags)
    gelu = {type(encoder.clip.text.transformer.resblocks[0].mlp.gelu) for encoder in (plain, quick)}
    assert gelu == {torch.nn.GELU, open_clip.transformer.QuickGELU}
    (tmp_path / "saved").mkdir()
    quick.save(tmp_path / "saved")
    vectors = [one.encode_texts(["x"]) for one in (quick, Encoder.load(tmp_path / "saved"), plain)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])


def test_the_fingerprint_tells_weights_and_prompts_apart(encoder, tmp_path):
    encoder.save(tmp_path)
    other = Encoder.load(tmp_path)
    with torch.no_grad():
        other.clip.visual.trunk.detectors.bias[0] += 1e-3
    other_prompt = Encoder(encoder.clip, encoder.config, encoder.tokenizer, "{}")
    assert len({e.fingerprint() for e in (encoder, other, other_prompt)}) == 3


@torch.inference_mode()
def test_cutting_the_shared_padding_changes_nothing(encoder):
    texts = ["a cat", "a photo of a very long hot air balloon", "x"]
    full = encoder.clip.encode_text(encoder.tokenizer(texts))
    torch.testing.assert_close(encoder.encode_texts(texts), full)
    assert encoder.clip.text.attn_mask.shape == (24, 24)  # put back


@torch.inference_mode()
def test_preprocessing_is_open_clips_own(encoder):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8))
    config = open_clip.transform.PreprocessCfg(**encoder.clip.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    expected = encoder.clip.encode_image(transform(image)[None])
    got = encoder.encode_images(torch.from_numpy(encoder.preprocess(image).copy())[None])
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_an_image_keeps_the_strongest_answer_of_each_detector(encoder):
    trunk = encoder.clip.visual.trunk
    tokens = torch.randn(2, 16, 128)
    slow = torch.stack(
        [
            torch.stack([trunk.detectors(token).clamp(min=0) for token in image]).max(dim=0).values
            for image in tokens
        ]
    )
    torch.testing.assert_close(trunk.pool(tokens), slow)


def test_no_names_give_no_rows(encoder):
    assert encoder.encode_names([]).shape == (0, encoder.dim)


def test_a_checkpoint_of_another_architecture_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    weights["visual.head.proj.weight"] = weights["visual.head.proj.weight"][:, :100].contiguous()
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(UserError, match="another architecture"):
        Encoder.load(tmp_path)


def test_a_checkpoint_file_is_loaded(encoder, tmp_path):
    torch.save(encoder.clip.state_dict(), tmp_path / "weights.pt")
    loaded = Encoder.create(MICRO, str(tmp_path / "weights.pt"), PROMPT)
    assert loaded.fingerprint() == encoder.fingerprint()


@pytest.mark.parametrize(
    ("model", "pretrained", "prompt", "named"),
    [
        ("ViTamin-Nano", None, PROMPT, "ViTamin-Nano"),
        (MICRO, "datacomp1b", PROMPT, "datacomp1b"),
        (MICRO, "missing.pt", PROMPT, "missing.pt"),
        (MICRO, None, "a photo", "a photo"),
    ],
)
def test_what_cannot_be_made_is_named(model, pretrained, prompt, named):
    with pytest.raises(UserError, match=named):
        Encoder.create(model, pretrained, prompt)


@pytest.mark.parametrize("pooling", ["max", "avg", "map"])
def test_a_pooling_is_saved_with_the_model(pooling, tmp_path):
    made = Encoder.create(MICRO, None, PROMPT, pooling).eval()
    made.save(tmp_path)
    loaded = Encoder.load(tmp_path).eval()
    pixels = some_pixels()
    tower = loaded.clip.visual
    with torch.inference_mode():
        assert torch.equal(loaded.encode_images(pixels), made.encode_images(pixels))
        tokens = tower.trunk.forward_features((pixels / 255 - made.pixel_mean) / made.pixel_std)
        answers = torch.relu(tower.trunk.detectors(tokens))
        pooled = {"max": answers.amax(1), "avg": answers.mean(1)}.get(pooling)
        if pooled is None:  # attention weighs tokens: their order does not matter, their share does
            pooled = tower.trunk.attn_pool(answers.flip(1))
        expected = tower.head(pooled)
    torch.testing.assert_close(made.encode_images(pixels).detach(), expected)


def test_without_a_pooling_the_model_keeps_its_own():
    pixels = some_pixels()
    features = []
    for pooling in (None, "max"):
        torch.manual_seed(3)
        encoder = Encoder.create(MICRO, None, PROMPT, pooling).eval()
        features.append(encoder.encode_images(pixels).detach())
    assert torch.equal(*features)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (MICRO, "('max', 'avg', 'map'), got 'sum'"),
        ("ViT-S-32-alt", 'not from timm; got "sum"'),
        ("ViTamin-Nano", "ViTamin-Nano"),
        ("local-dir:missing", "missing"),
    ],
)
def test_a_pooling_that_the_tower_lacks_is_named(model, named):
    with pytest.raises(UserError, match=re.escape(named)):
        Encoder.create(model, None, PROMPT, "sum")


def test_no_hub_within_reach_is_one_sentence(monkeypatch):
    def unreachable(repository, names):
        raise OSError(f"no route to {repository}")

    monkeypatch.setattr("cir.encoders.open_clip_models.fetch", unreachable)
    with pytest.raises(UserError, match=r"ViTamin-S.*datacomp1b.*no route to jienengchen"):
        Encoder.create("ViTamin-S", "datacomp1b", PROMPT)


def test_an_incomplete_folder_is_refused_by_what_it_lacks(encoder, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "prompt.json").unlink()
    with pytest.raises(UserError, match=r"prompt\.json"):
        Encoder.load(tmp_path)


def test_a_folder_without_weights_is_refused_not_filled_with_random_ones(encoder, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(UserError, match="Cannot load encoder"):
        Encoder.create(f"local-dir:{tmp_path}", None, PROMPT)


def test_weights_are_not_given_twice(encoder, tmp_path):
    encoder.save(tmp_path)
    with pytest.raises(UserError, match="must be null"):
        Encoder.create(f"local-dir:{tmp_path}", "mine.pt", PROMPT)


def test_gradient_checkpointing_gives_the_same_gradient(tmp_path):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = Encoder.create(MICRO, None, PROMPT).train()
        if checkpointing:
            encoder.use_gradient_checkpointing()
        pixels = torch.arange(3 * 64 * 64).remainder(251).to(torch.uint8).view(1, 3, 64, 64)
        similarity = encoder.encode_images(pixels) @ encoder.encode_names(["red mug"]).T
        similarity.sum().backward()
        gradients.append([p.grad for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 50
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)
