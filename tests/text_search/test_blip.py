"""BLIP behind an encoder's interface: the same numbers as transformers' own way through it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from transformers import BlipForConditionalGeneration

from cir.core.errors import UserError
from cir.datasets.scenes import draw_scene
from cir.text_search.scoring.blip import BlipEncoder
from cir.text_search.scoring.params import Blip
from tests.helpers.text_images import WORDS, save_blip, tiny_blip

TEXTS = ["a red mug", "a photo of a blue car and a hat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    save_blip(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return BlipEncoder.load(str(folder)).eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    return [draw_scene([name], rng, 80).convert("RGB") for name in ("red mug", "green fish")]


def pixels_of(encoder, images):
    return torch.from_numpy(np.stack([encoder.preprocess(image) for image in images]))


@torch.inference_mode()
def test_the_cosines_are_those_of_transformers_forward(encoder, images):
    model, processor = tiny_blip()
    read = processor(images=images, text=TEXTS, padding=True, return_tensors="pt")
    expected = model(**read, use_itm_head=False).itm_score
    assert pixels_of(encoder, images).dtype == torch.uint8
    vectors = encoder.encode_images(pixels_of(encoder, images))
    texts = encoder.encode_texts(TEXTS)
    assert vectors.shape == texts.shape == (2, encoder.dim) == (2, 12)
    found = functional.normalize(vectors, dim=1) @ functional.normalize(texts, dim=1).T
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert expected.std() > 0.01, "else the comparison would say nothing"


@torch.inference_mode()
def test_a_match_is_the_logit_of_transformers_forward_and_the_cosine(encoder, images):
    """Its forward begins the text with [CLS]; with [ENC] there it computes what `match` does."""
    model, processor = tiny_blip()
    read = processor(images=images, text=TEXTS, padding=True, return_tensors="pt")
    cosines = model(**read, use_itm_head=False).itm_score.diagonal()
    as_read = model(**read).itm_score[:, 1]
    read["input_ids"][:, 0] = len(WORDS.split()) + 1  # of the two more words the last is [ENC]
    logits = model(**read).itm_score[:, 1]
    found = encoder.match(encoder.image_states(pixels_of(encoder, images)), TEXTS)
    torch.testing.assert_close(found, logits + cosines, atol=2e-5, rtol=0)
    assert (logits - as_read).abs().max() > 1e-3, "else [ENC] would make no difference"


@torch.inference_mode()
@pytest.mark.parametrize(("extra", "token"), [(2, 18), (0, None), (3, None)])
def test_the_token_of_a_match(images, extra, token):
    encoder = BlipEncoder(*tiny_blip(extra)).eval()
    assert encoder._match_token() == token
    states = encoder.image_states(pixels_of(encoder, images))
    assert encoder.match(states, TEXTS).isfinite().all()


def test_a_tokenizer_that_knows_the_token_is_believed():
    model, processor = tiny_blip(3)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    encoder = BlipEncoder(model, processor)
    assert encoder._match_token() == processor.tokenizer.convert_tokens_to_ids("[ENC]") == 17


@torch.inference_mode()
def test_texts_do_not_depend_on_those_beside_them(encoder):
    together = encoder.encode_texts(TEXTS)
    for place, text in enumerate(TEXTS):
        alone = encoder.encode_texts([text])[0]
        torch.testing.assert_close(together[place], alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_text_longer_than_the_model_is_cut_off(encoder):
    tokens, mask = encoder._tokens(["red mug " * 40])
    assert tokens.shape == mask.shape == (1, 16)
    assert encoder.encode_texts(["red mug " * 40]).isfinite().all()


def test_images_of_any_size_and_what_is_told(encoder):
    image = Image.new("RGB", (77, 31), "red")
    pixels = encoder.preprocess(image)
    assert pixels.shape == (3, *encoder.image_size) == (3, 32, 32)
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert encoder.device.type == "cpu"


def test_weights_in_half_precision_compute_in_single(tmp_path, images):
    model, processor = tiny_blip()
    model.half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    encoder = BlipEncoder.load(str(tmp_path)).eval()
    assert {weights.dtype for weights in encoder.parameters()} == {torch.float32}
    assert encoder.encode_images(pixels_of(encoder, images)).dtype == torch.float32


def test_a_model_without_the_heads_is_refused(tmp_path):
    """A BLIP that writes captions would go on with random projections."""
    model, processor = tiny_blip()
    BlipForConditionalGeneration(model.config).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no model for image-text retrieval, as weights of"):
        BlipEncoder.load(str(tmp_path))


def test_a_folder_without_a_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=f'Cannot load BLIP "{tmp_path}"'):
        BlipEncoder.load(str(tmp_path))


def blip(name, model):
    return Blip(kind="blip", name=name, model=model, prompt=None, rerank=0)


@pytest.mark.parametrize("model", ["nowhere", "./a/b", "/a/b", "a/b/c"])
def test_a_folder_that_is_not_there_is_known_early(model):
    with pytest.raises(UserError, match=f'tiny: "{model}" is neither a folder'):
        blip("tiny", model).check()


def test_a_hub_name_and_a_folder_pass(folder):
    blip("hub", "Salesforce/blip-itm-base-coco").check()
    blip("folder", str(folder)).check()
