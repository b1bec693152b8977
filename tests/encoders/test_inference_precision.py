"""Vectors in bf16: near those in fp32, under another fingerprint, and never while training."""

import json

import pytest
import torch
from torch.nn import functional

from cir.app.search_model import RetrieverModel
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE, inference_precision
from cir.encoders import Encoder
from cir.encoders.conse import ConSE
from cir.encoders.paired import PairedEncoder
from cir.encoders.words import WordLSTM
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import embed
from tests.helpers.composers import arithmetic
from tests.helpers.drawn_split import MICRO, PROMPT


@pytest.fixture
def own():
    """An encoder of this test, on whatever device there is."""
    torch.manual_seed(0)
    return Encoder.create(MICRO, None, PROMPT).to(DEVICE).eval()


@torch.inference_mode()
def vectors_in(encoder, precision):
    encoder.inference = precision
    pixels = torch.randint(
        0, 256, (8, 3, *encoder.image_size), dtype=torch.uint8, generator=torch.manual_seed(1)
    )
    return [encoder.encode_images(pixels), encoder.encode_texts(["a red mug", "the hat", "a dog"])]


def test_bf16_gives_nearly_the_vectors_of_fp32(own):
    for exact, fast in zip(vectors_in(own, "fp32"), vectors_in(own, "bf16"), strict=True):
        assert exact.dtype == fast.dtype == torch.float32
        assert not torch.equal(exact, fast)
        assert functional.cosine_similarity(exact, fast, dim=1).min() >= 0.9999


def test_by_default_it_is_bf16_on_a_gpu_that_has_it(monkeypatch):
    processor, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert inference_precision("auto", processor) == "fp32"
    assert inference_precision("auto", gpu) == "bf16"
    assert inference_precision("fp32", gpu) == "fp32"
    assert inference_precision("bf16", processor) == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert inference_precision("auto", gpu) == "fp32"


def test_a_joined_classifier_stays_in_fp32(own, monkeypatch):
    monkeypatch.setattr(
        "cir.encoders.clip_encoder.inference_precision", lambda asked, device: "bf16"
    )
    assert own.precision == "bf16"
    own.clip = ConSE.__new__(ConSE)
    assert own.precision == "fp32"
    own.inference = "bf16"
    assert own.precision == "bf16"


def test_training_computes_in_the_precision_of_its_own(own):
    own.inference = "bf16"
    pixels = torch.zeros(1, 3, *own.image_size, dtype=torch.uint8)
    trained = own.encode_images(pixels)
    own.inference = "fp32"
    assert torch.equal(trained, own.encode_images(pixels))


def test_the_precision_is_saved_and_older_folders_do_not_say_it(own, tmp_path):
    own.inference = "bf16"
    own.save(tmp_path)
    assert Encoder.load(tmp_path).inference == "bf16"
    prompt = json.loads((tmp_path / "prompt.json").read_text())
    del prompt["inference"]
    (tmp_path / "prompt.json").write_text(json.dumps(prompt))
    assert Encoder.load(tmp_path).inference == "auto"


def test_every_fingerprint_says_bf16(own, split, tmp_path):
    paired = PairedEncoder(own, WordLSTM(["mug"], 8, 0.0).to(DEVICE))
    model = RetrieverModel(EncodedComposer(own, arithmetic()))
    before = {}
    for precision in ("fp32", "bf16"):
        own.inference = precision
        model._fingerprint = None
        found = own.fingerprint(), paired.fingerprint(), model.fingerprint()
        assert all(one.endswith("-bf16") == (precision == "bf16") for one in found)
        before[precision] = found
    assert own.fingerprint() == f"{before['fp32'][0]}-bf16"
    shards = ImageShards(split).shards()
    embed(own, shards, tmp_path / "vectors", tmp_path / "work")
    info = json.loads((tmp_path / "vectors/info.json").read_text())
    assert info["fingerprint"] == own.fingerprint()


def test_a_fingerprint_is_computed_once_and_again_after_a_change(own, monkeypatch):
    first = own.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "numpy", lambda self: pytest.fail("it reads the weights again"))
        assert own.fingerprint() == first
    with torch.no_grad():
        next(own.clip.parameters()).view(-1)[0] += 1
    assert own.fingerprint() != first
    again = own.fingerprint()
    own.load_state_dict({n: torch.zeros_like(v) for n, v in own.state_dict().items()})
    assert len({first, again, own.fingerprint()}) == 3
