"""Batches on a device: what does not fit is halved, and a GPU holds one batch at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident
from time import sleep

import numpy as np
import pytest
import torch

from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.retrieval.ranking import device_batches
from cir.retrieval.ranking.device_batches import DeviceBatches


class SmallDevice:
    """A projection on a device that has memory for `room` images at once."""

    device = torch.device(DEVICE)

    def __init__(self, room):
        self.room, self.asked = room, []
        self.weight = torch.randn(3 * 16, 5, generator=torch.manual_seed(0)).to(self.device)

    def encode_images(self, pixels):
        self.asked.append(len(pixels))
        if len(pixels) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return pixels.float().flatten(1) @ self.weight


def some_pixels(count):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), np.uint8)


def test_a_batch_that_does_not_fit_is_halved_and_so_are_all_after_it(capsys):
    small, pixels = SmallDevice(3), some_pixels(10)
    encode = DeviceBatches(small)
    whole = DeviceBatches(SmallDevice(10))(pixels)
    torch.testing.assert_close(encode(pixels), whole)
    assert small.asked == [10, 5, 2, 2, 2, 2, 2]
    assert capsys.readouterr().err.splitlines() == [
        f"10 images do not fit into the memory of {small.device} at once: going on with half",
        f"5 images do not fit into the memory of {small.device} at once: going on with half",
    ]
    torch.testing.assert_close(encode(pixels[:5]), whole[:5])
    assert small.asked[7:] == [2, 2, 1]
    assert not capsys.readouterr().err


def test_an_image_that_does_not_fit_alone_is_an_error_in_words():
    with pytest.raises(UserError, match="one image does not fit into the memory"):
        DeviceBatches(SmallDevice(0))(some_pixels(3))


@pytest.mark.parametrize(("device", "most"), [("cuda", 1), ("cpu", 4)])
def test_a_gpu_encodes_one_batch_at_a_time_and_a_processor_several(device, most, monkeypatch):
    """A fake stands for the GPU; only what pins and copies is left out."""
    monkeypatch.setattr(device_batches, "_pinned", lambda pixels: pixels)
    monkeypatch.setattr(DeviceBatches, "_copied", lambda self, pixels: pixels)

    class Busy(SmallDevice):
        def __init__(self):
            super().__init__(100)
            self.device, self.weight = torch.device(device), self.weight.cpu()
            self.within, self.together, self.counting = 0, 0, Lock()
            self.threads = set()

        def encode_images(self, pixels):
            with self.counting:
                self.threads.add(get_ident())
                self.within += 1
                self.together = max(self.together, self.within)
            sleep(0.02)
            with self.counting:
                self.within -= 1
            return super().encode_images(pixels)

    busy = Busy()
    encode = DeviceBatches(busy)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encode, [some_pixels(2)] * 12))
    assert busy.together == most if most == 1 else busy.together > 1
    assert (len(busy.threads) == 1) is (device == "cuda")
    assert all(torch.equal(one, found[0]) for one in found)
