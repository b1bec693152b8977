"""Training on captions: batches, CLIP's loss, validation, mixing, and whether captions are true.

Each against the slow way to say it, or numbers worked by hand.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cir.core.errors import UserError
from cir.datasets.sources import ShardSource
from cir.encoders import Encoder
from cir.text_search.data import captions_file
from cir.text_search.training import finetuning as training
from cir.text_search.training.captioning import caption_images
from cir.text_search.training.finetuning import (
    CaptionBatch,
    CaptionBatches,
    CaptionObjective,
    caption_score,
    captions_by_image,
    mixed,
    texts_described,
)
from cir.training.shared.batches import plan_batches

CAPTIONS = {f"i{n}": [f"{word} {n}" for word in "abc"[: 1 + n % 3]] for n in range(10)}


class Numbered:
    """Pixels whose first value is the number of the image."""

    def get(self, names):
        pixels = torch.zeros(len(names), 3, 2, 2, dtype=torch.uint8)
        for row, name in enumerate(names):
            pixels[row] = int(name[1:])
        return pixels


def batches(each=2, seed=5, steps=8):
    plan = plan_batches(list(CAPTIONS), 4, steps, seed)
    return CaptionBatches(Numbered(), CAPTIONS, plan, each, seed), plan


def test_a_step_has_its_images_and_as_many_captions_as_asked_for():
    for each in (1, 2, 5):
        found, plan = batches(each)
        assert len(found) == 8
        for step in range(8):
            batch = found[step]
            numbers = plan[step].tolist()
            assert batch.pixels[:, 0, 0, 0].tolist() == numbers
            for number, own in zip(numbers, batch.captions, strict=True):
                every = CAPTIONS[f"i{number}"]
                assert len(own) == len(set(own)) == min(each, len(every))
                assert set(own) <= set(every)


def test_a_step_is_the_same_whenever_it_is_asked_for():
    first, _ = batches()
    again, _ = batches()
    backwards = [again[step] for step in reversed(range(8))][::-1]
    for step in range(8):
        assert first[step].captions == backwards[step].captions
    other, plan = batches()
    other = CaptionBatches(Numbered(), CAPTIONS, plan, 2, 6)
    assert [other[step].captions for step in range(8)] != [b.captions for b in backwards]


def test_captions_are_drawn_anew_at_every_step():
    found = CaptionBatches(Numbered(), CAPTIONS, [np.array([2])] * 60, 1, 0)
    drawn = [found[step].captions[0][0] for step in range(60)]
    assert all(drawn.count(text) > 8 for text in CAPTIONS["i2"])


def test_processes_share_the_images_and_know_all_captions(monkeypatch):
    whole, plan = batches()
    for rank in range(2):
        half = slice(rank * 2, rank * 2 + 2)
        monkeypatch.setattr(training, "own_slice", {4: half}.__getitem__)
        own = whole[3]
        assert own.pixels[:, 0, 0, 0].tolist() == plan[3][half].tolist()
        assert len(own.captions) == 4


def test_texts_described_by_hand():
    texts, described = texts_described([["a", "b"], ["c"], ["b"], ["c", "a"]])
    assert texts == ["a", "b", "c"]
    assert described.dtype == torch.bool
    assert described.int().tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 1]]


class Features(nn.Module):
    """An encoder whose vectors are looked up: images by number, texts by their words."""

    def __init__(self, scale=2.0, images=10):
        super().__init__()
        chance = torch.Generator().manual_seed(1)
        self.image = nn.Parameter(torch.randn(images, 4, generator=chance))
        self.text = {}
        self.chance = chance
        self.clip = nn.Module()
        self.clip.logit_scale = nn.Parameter(torch.tensor(scale))
        self.read = []

    def encode_images(self, pixels):
        return self.image[pixels[:, 0, 0, 0].long()]

    def encode_texts(self, texts):
        self.read += texts
        for text in texts:
            if text not in self.text:
                self.text[text] = torch.randn(4, generator=self.chance)
        return torch.stack([self.text[text] for text in texts])


def pixels_of(*numbers):
    return Numbered().get([f"i{number}" for number in numbers])


def cosine(one, other):
    one, other = one.detach().double().tolist(), other.double().tolist()
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


@pytest.mark.parametrize("scale", [0.0, 2.0, 9.0])  # exp(9) is more than the 100 that CLIP allows
def test_the_loss_is_the_literal_double_loop(scale):
    encoder = Features(scale)
    captions = [["a", "b"], ["c"], ["b", "d", "e"], ["c"]]
    found = CaptionObjective(encoder)(CaptionBatch(pixels_of(3, 1, 4, 7), captions))
    assert list(found) == ["contrastive"]
    texts = ["a", "b", "c", "d", "e"]
    factor = min(math.exp(scale), 100)
    similar = [
        [factor * cosine(encoder.image[n], encoder.text[text]) for text in texts]
        for n in (3, 1, 4, 7)
    ]
    of_images = of_texts = 0.0
    for row, own in enumerate(captions):
        total = sum(math.exp(value) for value in similar[row])
        for text in own:
            chance = math.exp(similar[row][texts.index(text)]) / total
            of_images -= math.log(chance) / len(own) / 4
    for column, text in enumerate(texts):
        its = [row for row, own in enumerate(captions) if text in own]
        total = sum(math.exp(similar[row][column]) for row in range(4))
        for row in its:
            of_texts -= math.log(math.exp(similar[row][column]) / total) / len(its) / 5
    both = of_images + of_texts
    assert found["contrastive"].item() == pytest.approx(both / 2, rel=1e-4)
    assert encoder.read == texts, "each text is encoded once"


def test_with_one_caption_each_it_is_clips_own_loss():
    encoder = Features()
    found = CaptionObjective(encoder)(CaptionBatch(pixels_of(0, 1, 2), [["a"], ["b"], ["c"]]))
    image = functional.normalize(encoder.image[:3], dim=1)
    text = functional.normalize(encoder.encode_texts(["a", "b", "c"]), dim=1)
    logits = math.exp(2.0) * image @ text.T
    own = torch.arange(3)
    expected = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(found["contrastive"], expected)


def test_images_of_equal_captions_count_as_each_others():
    """Two images of the one text, equally near: each has log 2 to lose at least, not more."""
    encoder = Features()
    encoder.image.data[1] = encoder.image.data[0]
    found = CaptionObjective(encoder)(CaptionBatch(pixels_of(0, 1), [["same"], ["same"]]))
    assert found["contrastive"].item() == pytest.approx(math.log(2) / 2, abs=1e-5)


def test_both_towers_and_the_temperature_learn():
    torch.manual_seed(0)
    own = Encoder.create("ViTamin-Micro-64", None, "a {}")
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    loss = CaptionObjective(own)(CaptionBatch(pixels, [["a"], ["a red mug", "b"], ["two cars"]]))
    loss["contrastive"].backward()
    still = {n for n, w in own.clip.named_parameters() if w.grad is None or not w.grad.any()}
    assert still == set()
    assert own.clip.logit_scale.grad.abs() > 0


def slow_score(encoder, captioned):
    """Of each caption, one over how many images are no farther than its own."""
    names = list(dict.fromkeys(name for name, _ in captioned))
    total = 0.0
    for name, text in captioned:
        near = {n: cosine(encoder.image[int(n[1:])], encoder.text[text]) for n in names}
        total += 1 / sum(value >= near[name] for value in near.values())
    return total / len(captioned)


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_caption_score_is_that_of_a_loop(batch_size):
    encoder = Features()
    captioned = [(name, text) for name, own in CAPTIONS.items() for text in own]
    captioned.append(("i3", "b 1"))  # somebody else's words
    found = caption_score(encoder, Numbered(), captioned, batch_size)
    assert found == pytest.approx(slow_score(encoder, captioned), rel=1e-5)
    assert 0.1 < found < 0.9


def test_ties_count_against_a_caption():
    encoder = Features(images=4)
    encoder.image.data = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    encoder.text = {"x": torch.tensor([1.0, 0, 0, 0]), "y": torch.tensor([0.0, 0, 0, 1])}
    score = caption_score(encoder, Numbered(), [("i0", "x"), ("i1", "x"), ("i2", "y"), ("i3", "x")])
    assert score == pytest.approx((1 / 2 + 1 / 2 + 1 / 4 + 1 / 4) / 4)


def test_mixing_by_hand():
    before = {"w": torch.tensor([0.0, 10.0]), "steps": torch.tensor(3)}
    after = {"w": torch.tensor([10.0, 0.0]), "steps": torch.tensor(9)}
    found = mixed(before, after, 0.3)
    assert found["w"].tolist() == pytest.approx([3.0, 7.0])
    assert found["steps"].item() == 9
    assert found["steps"].dtype == torch.int64
    assert mixed(before, after, 1.0)["w"].tolist() == [10.0, 0.0]
    half = {name: weight.half() for name, weight in after.items() if name == "w"}
    assert mixed({"w": before["w"]}, half, 0.3)["w"].dtype == torch.float16
    with pytest.raises(AssertionError, match="of one model"):
        mixed({}, after, 0.3)


def test_captions_by_image_keeps_their_order():
    rows = [("b", "x"), ("a", "y"), ("b", "z"), ("b", "x")]
    assert list(captions_by_image(rows).items()) == [("b", ["x", "z", "x"]), ("a", ["y"])]
    assert captions_by_image([]) == {}


def test_captions_files_read_back_as_written(tmp_path):
    rows = [("a, b.jpg", 'a "dog",\nand a cat', "people"), ("NA", "null", "model")]
    rows.append(("1", "é", "model"))
    captions_file.write(tmp_path / "c.csv", rows)
    assert captions_file.read(tmp_path / "c.csv") == rows
    captions_file.write(tmp_path / "c.csv", [])
    assert captions_file.read(tmp_path / "c.csv") == []


class Parrot:
    """A captioner that says the first byte it sees, the seed, and nothing of dark images."""

    class encoder:  # noqa: N801
        """As far as captioning needs it."""

        @staticmethod
        def preprocess(image):
            return np.asarray(image.resize((1, 1))).transpose(2, 0, 1)

    def captions(self, pixels, each, temperature, seed):
        self.batches = [*getattr(self, "batches", []), len(pixels)]
        names = [f"{value} {temperature} {seed}" for value in pixels[:, 0, 0, 0].tolist()]
        return [["", name, name, name + "!"][:each] for name in names]


class Files:
    """A source of images in memory."""

    name = "folder:here"

    def __init__(self, split, broken):
        self.source, self.broken = ShardSource(split), broken

    def read(self, path):
        return b"no image" if path in self.broken else self.source.read(path)


def test_captioning_goes_by_batches_and_names_what_it_leaves_out(split, capsys):
    paths = [image.path for image in ShardSource(split).listed()][:7]
    captioner, source = Parrot(), Files(split, {paths[2], paths[6]})
    found = caption_images(captioner, source, paths, 4, 0.5, 100, batch_size=3)
    assert captioner.batches == [2, 3]
    assert [path for path, _ in found] == [p for p in paths if p not in (paths[2], paths[6])]
    for place, (path, texts) in enumerate(found):
        red = ShardSource(split)._shards.image(path).resize((1, 1)).getpixel((0, 0))[0]
        said = f"{red} 0.5 {100 if place < 2 else 101}"
        assert texts == [said, said + "!"], "neither empty nor twice"
    said = "".join(capsys.readouterr())
    assert all(f"image {paths[place]} " in said for place in (2, 6))


def test_captioning_of_nothing(split):
    assert caption_images(Parrot(), Files(split, ()), [], 1, 0.0, 0, 3) == []
    paths = [image.path for image in ShardSource(split).listed()][:2]
    with pytest.raises(UserError, match="none of the 2 images of folder:here can be read"):
        caption_images(Parrot(), Files(split, set(paths)), paths, 1, 0.0, 0, 3)
