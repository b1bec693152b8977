"""How fast an encoder is: warm, over several passes, the fastest quarter of the batches."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cir.images.shards import ImageShards
from cir.text_search.scoring import encoder_speed
from tests.helpers.text_images import write_text_split


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Worker:
    """An encoder whose calls take the seconds that `cost` tells by their number; notes sizes."""

    def __init__(self, clock, cost):
        self.clock, self.cost, self.sizes, self.begun = clock, cost, [], []

    def preprocess(self, image):
        self.clock.now += 0.001
        return np.asarray(image, np.uint8).transpose(2, 0, 1)[:, :4, :4]

    def _work(self, count):
        self.begun.append(self.clock.now)
        self.clock.now += self.cost(len(self.sizes)) * count
        self.sizes.append(count)

    def encode_images(self, pixels):
        self._work(len(pixels))
        return pixels.float().flatten(1) + 1

    def encode_texts(self, texts):
        self._work(len(texts))
        return torch.tensor([[1.0, len(text)] for text in texts])


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(encoder_speed, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    write_text_split(folder, images=50, queries=2)  # in shards of twenty
    return ImageShards(folder)


def test_a_slow_beginning_and_a_busy_machine_make_no_difference(clock, images):
    """The first second is slow, and so are two batches of three."""

    def cost(call):
        return 1.0 if clock.now < 1 or call % 3 else 0.01

    worker = Worker(clock, cost)
    vectors, rate, decoded = encoder_speed.encode_images(worker, images, 4)
    assert vectors.shape == (50, 48)
    assert rate == pytest.approx(1 / 0.01)
    assert decoded == pytest.approx(1 / 0.011)
    again, *_ = encoder_speed.encode_images(Worker(clock, lambda call: 1.0), images, 4)
    np.testing.assert_array_equal(vectors, again)


def test_a_second_of_warming_up_then_bounded_passes(clock, images):
    worker = Worker(clock, lambda call: 0.02)
    encoder_speed.encode_images(worker, images, 4)
    whole = [4] * 5 + [4] * 5 + [4, 4, 2]  # no batch holds images of two shards
    warm = len(worker.sizes) - len(whole) - 3 * 8
    assert worker.sizes[warm:] == whole + [4] * 24
    assert worker.begun[warm] >= 1.0 > worker.begun[warm - 1]
    texts = Worker(clock, lambda call: 0.02)
    start = clock.now
    vectors, rate = encoder_speed.encode_texts(texts, [str(10**n) for n in range(14)], 4)
    assert vectors.shape == (14, 2)
    assert rate == pytest.approx(50)
    assert texts.sizes[-16:] == [4, 4, 4, 2] * 4
    assert texts.begun[-16] - start >= 1.0


def test_a_slow_encoder_warms_up_once(clock, images):
    worker = Worker(clock, lambda call: 5.0)
    encoder_speed.encode_texts(worker, ["a", "b"], 2)
    assert worker.sizes == [2] * 5


@pytest.mark.parametrize(
    ("sizes", "seconds", "rate"),
    [
        ([4], [2.0], 2.0),
        ([4, 4, 4, 4, 1], [8, 4, 2, 1, 0.001], 4.0),  # the last is no full batch
        ([4] * 5, [1, 3, 9, 9, 9], 2.0),  # two of five, rounded up
        ([4] * 8, [9, 9, 1, 9, 9, 3, 9, 9], 2.0),
    ],
)
def test_the_rate_is_that_of_the_fastest_quarter(sizes, seconds, rate):
    assert encoder_speed._rate(sizes, seconds) == pytest.approx(rate)
