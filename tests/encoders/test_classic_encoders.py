"""ResNet-18, the LSTM over words and the frozen BERT, each against a literal reading."""

import re
import string
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models, transforms
from transformers import BertModel, BertTokenizerFast

from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.encoders import Encoder
from cir.encoders.bert import FrozenBert
from cir.encoders.paired import GivenFeatures, PairedEncoder, load_encoder
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM, words_of
from tests.helpers import tiny_bert
from tests.helpers.tiny_bert import WORDS

TEXTS = ["Make the red mug BLUE!", "hat", "is longer and has no sleeves, is it?", "a  hat-rack", ""]


def picture(width=70, height=50, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    tower = ResNet18(dim=24, resize=40, crop=32)
    tower.backbone.train()(torch.randn(4, 3, 32, 32))  # so that batch norm has something to undo
    return tower.eval()


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(1)
    return WordLSTM(WORDS, dim=6, dropout=0.1).eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("bert"))


@torch.inference_mode()
def test_the_image_tower_is_torchvisions_with_another_last_layer(resnet):
    literal = models.resnet18().eval()
    literal.fc = torch.nn.Linear(512, 24)
    weights = {f"fc.{n}": w for n, w in resnet.projection.state_dict().items()}
    literal.load_state_dict({**resnet.backbone.state_dict(), **weights})
    steps = [transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor()]
    steps.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    images = [picture(70, 50, 0), picture(41, 90, 1), picture(32, 32, 2)]
    pixels = torch.from_numpy(np.stack([resnet.preprocess(image) for image in images]))
    assert pixels.shape == (3, 3, *resnet.image_size)
    assert pixels.dtype == torch.uint8
    expected = literal(torch.stack([transforms.Compose(steps)(image) for image in images]))
    torch.testing.assert_close(resnet.encode_images(pixels), expected, atol=1e-5, rtol=1e-5)


def slow_lstm(reader, text):
    """The gates of Hochreiter and Schmidhuber's cell written out, word by word, in float64."""
    weights = {name: value.double() for name, value in reader.state_dict().items()}
    stripped = "".join(c for c in text.lower() if c not in string.punctuation and ord(c) < 128)
    words = stripped.split()
    numbers = [reader.vocabulary.index(w) + 1 if w in reader.vocabulary else 0 for w in words]
    state = memory = torch.zeros(reader.dim).double()
    for number in numbers or [0]:
        gates = weights["lstm.weight_ih_l0"] @ weights["embedding.weight"][number]
        gates = gates + weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
        gates = gates + weights["lstm.weight_hh_l0"] @ state
        write, forget, content, read = gates.chunk(4)
        memory = forget.sigmoid() * memory + write.sigmoid() * content.tanh()
        state = read.sigmoid() * memory.tanh()
    return weights["output.weight"] @ state + weights["output.bias"]


@torch.inference_mode()
def test_the_lstm_is_read_at_the_last_real_word(reader):
    expected = torch.stack([slow_lstm(reader, text) for text in TEXTS])
    got = reader.encode_texts(TEXTS)
    torch.testing.assert_close(got.double(), expected, atol=1e-6, rtol=1e-5)
    assert len({tuple(row.tolist()) for row in got[[0, 1, 2, 4]]}) == 4
    assert reader.encode_texts([]).shape == (0, 6)


def test_words_are_split_as_published():
    assert words_of("Is V-neck, don't  you: café 2?") == ["is", "vneck", "dont", "you", "caf", "2"]
    learned = WordLSTM.for_texts(["the Hat!", "the mug"], 4, 0.0)
    assert learned.vocabulary == ("the", "hat", "mug")
    assert learned.embedding.weight.shape == (4, 4)  # the unknown word is the first
    with pytest.raises(UserError, match="no word in ASCII letters"):
        WordLSTM.for_texts(["…", ""], 4, 0.0)


def test_dropout_is_before_the_last_layer_and_in_training_alone(reader):
    training = WordLSTM(WORDS, dim=6, dropout=1.0)
    training.load_state_dict(reader.state_dict())
    got = training.train().encode_texts(["the hat"])
    torch.testing.assert_close(got[0], reader.output.bias)


@torch.inference_mode()
def test_bert_is_averaged_over_real_tokens_of_the_last_layer_but_one(checkpoint):
    bert = FrozenBert.create(str(checkpoint), longest=8)
    model = BertModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    tokenizer = BertTokenizerFast.from_pretrained(checkpoint)
    expected = []
    for text in TEXTS:
        numbers = tokenizer(text)["input_ids"]
        numbers = numbers if len(numbers) <= 8 else [*numbers[:7], numbers[-1]]
        embedded = model.embeddings(torch.tensor([numbers]))
        for layer in model.encoder.layer[:2]:
            embedded = layer(embedded, None)
            embedded = embedded[0] if isinstance(embedded, tuple) else embedded
        expected.append(embedded.reshape(len(numbers), 16).mean(dim=0))
    got = bert.encode_texts(TEXTS)
    torch.testing.assert_close(got, torch.stack(expected), atol=1e-5, rtol=1e-4)
    assert (bert.dim, bert.encode_texts([]).shape) == (16, (0, 16))


def test_bert_reads_a_batch_at_once_and_each_text_once(checkpoint, monkeypatch):
    bert = FrozenBert.create(str(checkpoint), longest=25)
    seen, encode = [], FrozenBert._encode
    monkeypatch.setattr(
        FrozenBert, "_encode", lambda self, t: seen.append(list(t)) or encode(self, t)
    )
    first = bert.encode_texts(["the hat", "a mug", "the hat"])
    second = bert.encode_texts(["a mug", "no mug"])
    assert seen == [["the hat", "a mug"], ["no mug"]]
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[1], second[0])
    monkeypatch.setattr("cir.encoders.bert._REMEMBERED", 2)
    bert.encode_texts(["red hat"])
    bert.encode_texts(["red hat", "the hat"])
    assert seen[2:] == [["red hat"], ["the hat"]]  # the oldest was forgotten, the latest not


def test_bert_stands_still_and_is_in_no_checkpoint(checkpoint):
    bert = FrozenBert.create(str(checkpoint), longest=25).train()
    assert (list(bert.parameters()), bert.state_dict()) == ([], {})
    assert not bert._outside[0].training
    assert not bert.encode_texts(["the hat"]).requires_grad
    assert bert.to("meta").device.type == "meta"  # it moves along


def paired(resnet, texts):
    return PairedEncoder(resnet, texts).eval()


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["words", "bert"])
def test_saved_and_loaded_gives_the_same_vectors(kind, resnet, reader, checkpoint, tmp_path):
    texts = reader if kind == "words" else FrozenBert.create(str(checkpoint), 7)
    encoder = paired(resnet, texts)
    composer = create({"name": "tirg", "text": "sentence"}, encoder.dim, encoder.text_dim).eval()
    model = EncodedComposer(encoder, composer)
    model.save(tmp_path)
    loaded = EncodedComposer.load(tmp_path).eval()
    assert loaded.encoder.fingerprint() == encoder.fingerprint()
    pixels = torch.from_numpy(np.stack([encoder.preprocess(picture())] * 5))
    edits = [Edit(text) for text in TEXTS]
    assert torch.equal(loaded.gallery(pixels), model.gallery(pixels))
    assert torch.equal(loaded.queries(pixels, edits), model.queries(pixels, edits))


def test_an_image_half_may_be_our_own_encoder(encoder, reader, tmp_path):
    both = paired(encoder, reader)
    both.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded.images, Encoder)
    assert (loaded.dim, loaded.text_dim, loaded.image_size) == (256, 6, (64, 64))
    assert loaded.fingerprint() == both.fingerprint()


def test_the_fingerprint_tells_both_halves_apart(resnet, reader):
    other = WordLSTM(tuple(reversed(WORDS)), 6, 0.1)
    other.load_state_dict(reader.state_dict())
    wider = ResNet18(24, 48, 32)
    wider.load_state_dict(resnet.state_dict())
    pairs = [(resnet, reader), (resnet, other), (wider, reader)]
    assert len({paired(*both).fingerprint() for both in pairs}) == 3


def test_given_features_pass_as_they_are(reader):
    features = torch.randn(3, 5)
    encoder = PairedEncoder(GivenFeatures(5), reader)
    assert torch.equal(encoder.encode_images(features), features)
    assert {name.split(".")[0] for name in encoder.state_dict()} == {"texts"}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_pretrained_weights_lose_their_classifier_and_may_lack_counters(suffix, tmp_path):
    torch.manual_seed(3)
    published = models.resnet18().state_dict()
    old = {n: w.contiguous() for n, w in published.items() if "num_batches" not in n}
    path = tmp_path / f"resnet18.{suffix}"
    (torch.save if suffix == "pth" else save_file)(old, path)
    tower = ResNet18.create(24, 32, 32, str(path))
    for name, value in tower.backbone.state_dict().items():
        assert torch.equal(value, published[name]), name


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(models.resnet34().state_dict(), path)
    with pytest.raises(
        UserError, match=r"other\.pth.* of another network: \d+ differ, .*layer1\.2"
    ):
        ResNet18.create(24, 32, 32, str(path))
    torch.save([1, 2], path)
    with pytest.raises(UserError, match=r"other\.pth does not hold weights by name, but a list"):
        ResNet18.create(24, 32, 32, str(path))
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"other\.pth is not a complete file of weights"):
        ResNet18.create(24, 32, 32, str(path))


def test_an_unknown_tag_and_a_hub_out_of_reach_are_one_sentence(monkeypatch):
    with pytest.raises(UserError, match=r'tags \(IMAGENET1K_V1\), got "missing\.pth"'):
        ResNet18.create(24, 32, 32, "missing.pth")

    def unreachable(*arguments, **options):
        raise URLError("no route to the hub")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "nowhere")
    monkeypatch.setattr("os.makedirs", lambda *a, **k: None)
    with pytest.raises(UserError, match=r"ResNet-18 .*IMAGENET1K_V1.*no route to the hub"):
        ResNet18.create(24, 32, 32, "IMAGENET1K_V1")


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(UserError, match=r"at most images\.resize.*got 48 and 32"):
        ResNet18(24, resize=32, crop=48)


def test_bert_that_is_not_there_or_out_of_reach_is_one_sentence(tmp_path, monkeypatch):
    missing = str(tmp_path / "missing")
    with pytest.raises(UserError, match=rf"^texts\.checkpoint: '{missing}' is neither a folder"):
        FrozenBert.create(missing, 25)

    def unreachable(name):
        raise OSError(f"no route to the hub for {name}")

    monkeypatch.setattr("cir.encoders.bert.AutoTokenizer.from_pretrained", unreachable)
    with pytest.raises(UserError, match=r"'bert-base-uncased' is .*no route to the hub"):
        FrozenBert.create("bert-base-uncased", 25)


def test_bert_that_lacks_weights_is_refused(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = BertModel.from_pretrained(checkpoint)
    kept = {n: w.contiguous() for n, w in model.state_dict().items() if "layer.1." not in n}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 16 weights .*\(bert\), encoder\.layer\.1\."):
        FrozenBert.create(str(tmp_path), 25)


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        ("images/resnet18.safetensors", r"resnet18\.safetensors does not exist"),
        ("images/resnet18.json", "images is no saved half of an encoder.*resnet18.json"),
        ("texts/words.json", "texts is no saved half of an encoder.*words.json, bert.json"),
        ("texts/words.safetensors", r"words\.safetensors does not exist"),
    ],
)
def test_half_an_encoder_is_refused(lost, sentence, resnet, reader, tmp_path):
    paired(resnet, reader).save(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(UserError, match=sentence):
        load_encoder(tmp_path)


def test_weights_that_do_not_fit_the_sizes_are_refused(resnet, reader, tmp_path):
    paired(resnet, reader).save(tmp_path)
    path = tmp_path / "texts" / "words.json"
    path.write_text(re.sub(r'"dim": 6', '"dim": 7', path.read_text()))
    with pytest.raises(UserError, match=r"of another text encoder: .*expected \(12, 7\), got"):
        load_encoder(tmp_path)
