"""The captioner: its towers, its words one by one, its two losses, and its file."""

import json
import shutil
from collections import Counter

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn import functional

from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.encoders.paired import GivenFeatures, PairedEncoder
from cir.encoders.words import WordLSTM
from cir.text_search.training.captioner import Captioner
from cir.text_search.training.captioner_training import (
    CaptioningObjective,
    word_accuracy,
)
from cir.text_search.training.finetuning import CaptionBatch
from cir.text_search.training.vocabulary import PAD, Vocabulary
from cir.training.shared.batches import Pixels
from cir.training.shared.parameter_groups import module_groups
from tests.helpers.tiny_coca import TINY, registered

CAPTIONS = ["a red mug", "two blue cars and a hat", "a green fish", "a hat to the left of a key"]


def random_pixels(count, size=64, seed=0):
    """Images of four by four tiles in random colours."""
    chance = torch.Generator().manual_seed(seed)
    tiles = torch.randint(0, 256, (count, 3, 4, 4), generator=chance, dtype=torch.uint8)
    return tiles.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)


def livelier(captioner, seed=0):
    """Words as initialised hardly depend on the image or on those before, or end at once."""
    chance = torch.Generator().manual_seed(seed)
    coca = captioner.encoder.clip
    for weight in coca.text_decoder.parameters():
        if weight.ndim > 1:
            weight.data += 0.3 * torch.randn(weight.shape, generator=chance)
    coca.text_decoder.text_projection.data[:, captioner.vocabulary.last] *= 0.5
    return captioner.eval()


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(3)
    return Encoder.create("ViTamin-Micro-64", None, "{}").eval()


@pytest.fixture(scope="module")
def micro(tower):
    torch.manual_seed(3)
    return livelier(Captioner.micro(tower, CAPTIONS, layers=1, heads=2), seed=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("coca")) as path:
        yield path


def test_muon_trains_its_matrices_but_no_table_of_words(tower):
    coca = Captioner.micro(tower, CAPTIONS, layers=1, heads=2).encoder.clip
    groups = module_groups(coca, 0.1, 0.05)
    marked = {id(weight) for group in groups if group["matrices"] for weight in group["params"]}
    names = {name for name, weight in coca.named_parameters() if id(weight) in marked}
    assert {"text.text_projection", "text_decoder.resblocks.0.attn.in_proj_weight"} <= names
    assert not names & {"text.token_embedding.weight", "text_decoder.text_projection"}


@pytest.fixture(scope="module")
def published(checkpoint):
    return Captioner.published(TINY, str(checkpoint)).eval()


def test_a_micro_one_has_a_copy_of_the_image_tower(tower):
    before = {name: w.clone() for name, w in tower.clip.visual.state_dict().items()}
    captioner = Captioner.micro(tower, CAPTIONS, layers=2, heads=4)
    copied = captioner.encoder.clip.visual
    for name, weight in copied.state_dict().items():
        assert torch.equal(weight, before[name]), name
    pixels = random_pixels(3)
    with torch.inference_mode():
        expected = functional.normalize(tower.encode_images(pixels), dim=1)
        found = captioner.eval().encoder.encode_images(pixels)
    torch.testing.assert_close(functional.normalize(found, dim=1), expected)
    for weight in copied.parameters():
        weight.data.zero_()
    for name, weight in tower.clip.visual.state_dict().items():
        assert torch.equal(weight, before[name]), f"{name} is shared"
    coca = captioner.encoder.clip
    assert len(coca.text.transformer.resblocks) == len(coca.text_decoder.resblocks) == 2
    assert coca.text.width == tower.clip.visual.trunk.embed_dim
    assert coca.text_decoder.text_projection.shape[1] == len(captioner.vocabulary)
    assert captioner.vocabulary.context == 24


def normalised(captioner, pixels):
    preprocessing = captioner.encoder.clip.visual.preprocess_cfg
    mean, std = (torch.tensor(preprocessing[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (pixels.float() / 255 - mean) / std


@torch.inference_mode()
def words_one_by_one(captioner, pixels, row):
    """The likeliest word after all those before, through the whole model, from its first token."""
    vocabulary, coca = captioner.vocabulary, captioner.encoder.clip
    image = normalised(captioner, pixels[row : row + 1])
    ids = [vocabulary.first]
    while len(ids) < vocabulary.context and ids[-1] != vocabulary.last:
        logits = coca(image, torch.tensor([ids]), output_labels=False)["logits"]
        assert logits.shape == (1, len(ids), len(vocabulary))
        ids.append(int(logits[0, -1].argmax()))
    return vocabulary.decode(ids)


@pytest.mark.parametrize("which", ["micro", "published"])
def test_captions_take_the_likeliest_word_each_time(which, request, monkeypatch):
    captioner = request.getfixturevalue(which)
    pixels = random_pixels(6, captioner.encoder.image_size[0], seed=3)
    if which == "published":
        # Seventy words of nonsense would take their time.
        monkeypatch.setattr(captioner.vocabulary, "context", 12)
    expected = [words_one_by_one(captioner, pixels, row) for row in range(6)]
    assert captioner.captions(pixels) == [[text] for text in expected]
    assert len(set(expected)) > 1, "else the images would make no difference"
    assert captioner.captions(pixels[2:3]) == [[expected[2]]]


def test_as_many_captions_as_asked_for_each_image_by_turns(micro):
    pixels = random_pixels(3)
    once = micro.captions(pixels)
    assert micro.captions(pixels, each=2) == [own * 2 for own in once]


def test_sampling_is_of_the_seed(micro):
    pixels = random_pixels(3)
    first = micro.captions(pixels, 3, temperature=1.0, seed=5)
    assert [len(own) for own in first] == [3, 3, 3]
    assert micro.captions(pixels, 3, temperature=1.0, seed=5) == first
    assert micro.captions(pixels, 3, temperature=1.0, seed=6) != first
    assert len(set(first[0])) > 1
    cold = micro.captions(pixels, 2, temperature=1e-4, seed=5)
    assert cold == [own * 2 for own in micro.captions(pixels)]


class SetWords(torch.nn.Module):
    """In place of a CoCa: the same logits for the word after each, whatever the image."""

    def __init__(self, coca, after):
        super().__init__()
        self.coca, self.after, self.words = coca, after, 0

    def _encode_image(self, images):
        return torch.zeros(len(images), 2), torch.zeros(len(images), 3, 2)

    def forward(self, image, ids, latent, tokens, output_labels):
        assert not output_labels
        self.words += 1
        assert len(latent) == len(tokens) == len(ids)
        return {"logits": self.after[ids]}


def scripted(micro, monkeypatch, table):
    """A captioner whose next word has these chances after each: {word: {next: chance}}."""
    vocabulary = micro.vocabulary
    number = {"": vocabulary.first, ".": vocabulary.last}
    words = {word for own in table.values() for word in own} | set(table)
    number |= {w: int(vocabulary.encode([w])[0, 1]) for w in words - {"", "."}}
    after = torch.full((len(vocabulary), len(vocabulary)), -1e9)
    for word, chances in table.items():
        for following, chance in chances.items():
            after[number[word], number[following]] = np.log(chance)
    monkeypatch.setitem(micro.encoder._modules, "clip", SetWords(micro.encoder.clip, after))
    return micro


def test_captions_stop_at_their_end(micro, monkeypatch):
    table = {"": {"a": 1}, "a": {"red": 0.6, "mug": 0.4}, "red": {"mug": 1}, "mug": {".": 1}}
    table["."] = {"red": 1}  # what would follow
    captioner = scripted(micro, monkeypatch, table)
    assert captioner.captions(random_pixels(2)) == [["a red mug"]] * 2
    assert captioner.encoder.clip.words == 4, "none is asked for after the end"
    drawn = captioner.captions(random_pixels(1), 200, temperature=1.0)[0]
    assert set(drawn) == {"a mug", "a red mug"}, "the one ends while the other goes on"


def test_a_caption_without_an_end_is_as_long_as_the_context(micro, monkeypatch):
    captioner = scripted(micro, monkeypatch, {"": {"red": 1}, "red": {"red": 1}})
    assert captioner.captions(random_pixels(1)) == [[" ".join(["red"] * 23)]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_are_drawn_with_the_chances_of_the_temperature(micro, monkeypatch, temperature):
    table = {"": {"red": 0.8, "blue": 0.2}, "red": {".": 1}, "blue": {".": 1}}
    captioner = scripted(micro, monkeypatch, table)
    drawn = Counter(captioner.captions(random_pixels(1), 4000, temperature)[0])
    red, blue = (chance ** (1 / temperature) for chance in (0.8, 0.2))
    assert drawn["red"] / 4000 == pytest.approx(red / (red + blue), abs=0.03)


@pytest.mark.parametrize("which", ["micro", "published"])
def test_what_is_saved_loads_the_same(which, request, tmp_path):
    captioner = request.getfixturevalue(which)
    captioner.save(tmp_path)
    loaded = Captioner.load(tmp_path).eval()
    before, after = captioner.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    pixels = random_pixels(2, captioner.encoder.image_size[0])
    with torch.inference_mode():
        expected, found = (one(pixels, CAPTIONS[:2]) for one in (captioner, loaded))
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    assert (loaded.model, loaded.vocabulary.kept) == (captioner.model, captioner.vocabulary.kept)
    assert loaded.encoder.config == captioner.encoder.config


def test_a_published_one_has_the_weights_of_its_file(published, checkpoint):
    weights = torch.load(checkpoint)
    for name, weight in published.encoder.clip.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert published.encoder.image_size == (32, 32)


def test_a_published_one_looks_at_images_as_it_did_before(checkpoint, tmp_path):
    """Its mean and so on came with the tag of its weights."""
    encoder = Captioner.published(TINY, str(checkpoint)).encoder
    own = {**encoder.clip.visual.preprocess_cfg, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}
    encoder.clip.visual.preprocess_cfg = own | {"resize_mode": "squash"}
    encoder = Encoder(encoder.clip, encoder.config, encoder.tokenizer, "{}")
    captioner = Captioner(encoder, Vocabulary(), TINY).eval()
    captioner.save(tmp_path)
    loaded = Captioner.load(tmp_path).eval()
    assert loaded.encoder.pixel_mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert loaded.encoder.pixel_std.flatten().tolist() == pytest.approx([0.2, 0.2, 0.1])
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 90, 3), np.uint8))
    for image in (wide, wide.rotate(90, expand=True)):
        seen = loaded.encoder.preprocess(image)
        np.testing.assert_array_equal(seen, encoder.preprocess(image))
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    settings = (tmp_path / "captioner.json").read_text()
    assert (tmp_path / "again/captioner.json").read_text() == settings


def test_weights_of_another_captioner_are_refused(micro, tower, tmp_path):
    Captioner.micro(tower, CAPTIONS[:2], 1, 2).save(tmp_path)
    settings = (tmp_path / "captioner.json").read_bytes()
    micro.save(tmp_path)
    (tmp_path / "captioner.json").write_bytes(settings)
    with pytest.raises(UserError, match=r"captioner\.safetensors holds weights of another"):
        Captioner.load(tmp_path)
    (tmp_path / "captioner.safetensors").unlink()
    with pytest.raises(UserError, match=r"captioner\.safetensors does not exist"):
        Captioner.load(tmp_path)
    with pytest.raises(UserError, match=r"none/captioner\.json does not exist"):
        Captioner.load(tmp_path / "none")


def test_a_model_that_is_no_coca_is_refused():
    with pytest.raises(UserError, match=r'must be a CoCa of open_clip, got "ViTamin-Micro-64"$'):
        Captioner.published("ViTamin-Micro-64", None)


@pytest.mark.parametrize(
    ("model", "pretrained", "sentence"),
    [
        (TINY, None, rf'captioner\.pretrained must be a tag or a file of weights for "{TINY}"'),
        ("coca_ViT-B/32", None, r'captioner\.pretrained must be .* for "coca_ViT-B/32", got null'),
        ("coca_base", "x", r"CLIP's 49408 tokens, .* has 64000 tokens, 76 of them in a text$"),
        ("coca_roberta-ViT-B-32", "x", r'"coca_roberta-ViT-B-32" has the tokenizer roberta-base$'),
        ("ViT-B/32", "openai", r'captioner\.model must be a CoCa of open_clip, got "ViT-B/32"$'),
        ("local-dir:x", "y", r'"local-dir:x" brings its own weights; captioner\.pretrained must'),
        ("local-dir:/nowhere", None, r'captioner\.model "local-dir:/nowhere" cannot be read: '),
        ("coca_none", "x", r'Cannot load encoder "coca_none"'),
    ],
)
def test_published_ones_that_are_refused_before_they_are_built(
    checkpoint, monkeypatch, model, pretrained, sentence
):
    built = Encoder.create

    def not_built(name, *others):
        assert name == "coca_none", "what is refused should not be fetched first"
        return built(name, *others)

    monkeypatch.setattr(Encoder, "create", not_built)
    with pytest.raises(UserError, match=sentence) as caught:
        Captioner.published(model, pretrained)
    assert "\n" not in str(caught.value)


def own_repository(folder, checkpoint, **text):
    """A folder as open_clip and its hub lay one out."""
    folder.mkdir()
    config = open_clip.get_model_config(TINY)
    config["text_cfg"] |= text
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3]}})
    )
    if checkpoint is not None:
        shutil.copy(checkpoint, folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


def test_one_of_a_folder_brings_its_weights_and_loads_without_it(checkpoint, published, tmp_path):
    model = own_repository(tmp_path / "coca", checkpoint)
    captioner = Captioner.published(model, None).eval()
    (tmp_path / "saved").mkdir()
    captioner.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "coca")
    loaded = Captioner.load(tmp_path / "saved").eval()
    assert loaded.model == model
    weights = published.encoder.clip.state_dict()
    for name, weight in loaded.encoder.clip.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert loaded.encoder.pixel_mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    pixels = random_pixels(2, 32)
    with torch.inference_mode():
        expected, found = (one(pixels, CAPTIONS[:2]) for one in (captioner, loaded))
    for name in expected:
        assert torch.equal(expected[name], found[name]), name


def test_a_folder_without_weights_or_with_other_tokens_is_refused(checkpoint, tmp_path):
    with pytest.raises(UserError, match="Required pretrained weights"):
        Captioner.published(own_repository(tmp_path / "bare", None), None)
    for number, text in enumerate(({"hf_tokenizer_name": "bert"}, {"context_length": 77})):
        model = own_repository(tmp_path / str(number), checkpoint, **text)
        with pytest.raises(UserError, match=r"has (the tokenizer bert|49408 tokens, 77 of them)"):
            Captioner.published(model, None)


def test_a_saved_one_loads_where_its_name_is_unknown(published, tmp_path, monkeypatch):
    published.save(tmp_path)
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    monkeypatch.setattr(Encoder, "create", None)
    assert Captioner.load(tmp_path).model == TINY


def test_settings_without_a_key_are_told_of(micro, tmp_path):
    micro.save(tmp_path)
    path = tmp_path / "captioner.json"
    settings = json.loads(path.read_text())
    for key in settings:
        path.write_text(json.dumps({name: settings[name] for name in settings if name != key}))
        with pytest.raises(
            UserError, match=rf"captioner\.json is of no captioner: it lacks {key}$"
        ):
            Captioner.load(tmp_path)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"it lacks model, config, preprocessing, kept, context$"):
        Captioner.load(tmp_path)


def test_heads_that_do_not_divide_the_width_are_refused(tower):
    width = tower.clip.visual.trunk.embed_dim
    with pytest.raises(UserError, match=rf"^captioner\.heads must divide {width}, .*; got 7$"):
        Captioner.micro(tower, CAPTIONS, layers=1, heads=7)


def test_weights_that_are_not_there_are_told_of(checkpoint):
    with pytest.raises(UserError, match=f'Cannot load encoder "{TINY}" with weights'):
        Captioner.published(TINY, str(checkpoint.with_name("none.pt")))


def test_a_tower_that_is_not_from_timm_is_refused(published):
    other = Encoder(published.encoder.clip, published.encoder.config, str, "{}")
    paired = PairedEncoder(GivenFeatures(4), WordLSTM.for_texts(CAPTIONS, 6, 0.1))
    for without in (other, paired):
        with pytest.raises(UserError, match="of open_clip whose image tower is from timm"):
            Captioner.micro(without, CAPTIONS, 1, 2)


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_losses_by_their_formulas(micro, weight):
    """CoCa's equation 4, word by word: what is padding is no word."""
    pixels = random_pixels(4)
    batch = CaptionBatch(pixels, [[text, "a key"] for text in CAPTIONS])
    with torch.inference_mode():
        losses = CaptioningObjective(micro, weight)(batch)
        coca, vocabulary = micro.encoder.clip, micro.vocabulary
        ids = vocabulary.encode(CAPTIONS)  # the first of each image
        found = coca(normalised(micro, pixels), ids, output_labels=False)
    assert set(losses) == {"contrastive", "captioning"}
    total, count = 0.0, 0
    for row in range(4):
        length = len(CAPTIONS[row].split()) + 2
        assert ids[row, length - 1] == vocabulary.last
        for place in range(1, length):
            log_p = found["logits"][row, place - 1].double().log_softmax(dim=0)
            total -= log_p[ids[row, place]].item()
            count += 1
    assert losses["captioning"].item() == pytest.approx(weight * total / count, rel=1e-4)
    image, text = found["image_features"].double(), found["text_features"].double()
    similar = image @ text.T * coca.logit_scale.exp().item()
    either = [similar.log_softmax(dim=axis).diagonal().mean().item() for axis in (0, 1)]
    assert losses["contrastive"].item() == pytest.approx(-sum(either) / 2, rel=1e-4)


class Said(torch.nn.Module):
    """In place of a captioner: the same outputs whatever it is shown."""

    def __init__(self):
        super().__init__()
        chance = torch.Generator().manual_seed(2)
        image, text = functional.normalize(torch.randn(2, 4, 32, generator=chance), dim=-1)
        self.found = {
            "image_features": image,
            "text_features": text,
            "logits": torch.randn(4, 3, 9, generator=chance),
            "labels": torch.tensor([[3, 2, 0], [4, 2, 0], [5, 6, 2], [7, 2, 0]]),
            "logit_scale": torch.tensor(50.0),
        }

    def forward(self, pixels, captions):
        return dict(self.found)


def test_losses_are_in_full_precision_under_autocast():
    objective = CaptioningObjective(Said(), 2.0)
    batch = CaptionBatch(random_pixels(4), [[text] for text in CAPTIONS])
    expected = objective(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = objective(batch)
    assert {name: loss.item() for name, loss in found.items()} == {
        name: loss.item() for name, loss in expected.items()
    }


def test_every_weight_learns(tower):
    torch.manual_seed(0)
    captioner = Captioner.micro(tower, CAPTIONS, layers=2, heads=2)
    losses = CaptioningObjective(captioner, 2.0)(
        CaptionBatch(random_pixels(4), [[text] for text in CAPTIONS])
    )
    sum(losses.values()).backward()
    still = [n for n, w in captioner.named_parameters() if w.grad is None or not w.grad.any()]
    assert still == []


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_word_accuracy_is_that_of_a_loop(micro, batch_size):
    rng = np.random.default_rng(0)
    pictures = {f"i{n}": rng.integers(0, 255, (3, 64, 64), np.uint8) for n in range(4)}

    class Kept(Pixels):
        def __init__(self):
            pass

        def get(self, names):
            return torch.from_numpy(np.stack([pictures[name] for name in names]))

    vocabulary = micro.vocabulary
    made = {f"i{n}": micro.captions(Kept().get([f"i{n}"]))[0][0] for n in range(2)}
    captioned = [*made.items(), ("i1", "a red mug"), *zip(pictures, CAPTIONS, strict=True)]
    right = count = 0
    for name, text in captioned:
        ids = vocabulary.encode([text])[0].tolist()
        while ids[-1] == PAD:
            ids.pop()
        for place in range(1, len(ids)):
            with torch.inference_mode():
                image = normalised(micro, Kept().get([name]))
                logits = micro.encoder.clip(image, torch.tensor([ids[:place]]), output_labels=False)
            right += int(logits["logits"][0, -1].argmax()) == ids[place]
            count += 1
    assert 0 < right < count
    found = word_accuracy(micro, Kept(), captioned, batch_size)
    assert found == pytest.approx(right / count)


def test_the_vocabulary_is_of_the_captions_and_as_long_as_the_towers_texts(micro):
    assert micro.vocabulary.kept == Vocabulary.of(CAPTIONS, 24).kept
    assert micro.encoder.tokenizer(CAPTIONS).shape == (4, 24)
