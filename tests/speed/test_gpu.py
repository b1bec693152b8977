"""The figures against the limits of a device, at a size that a processor computes in seconds."""

import json
import sys

import pytest
import torch

from cir.encoders import Encoder
from speed import gpu, gpu_training
from tests.helpers.drawn_split import MICRO


@pytest.fixture(scope="module")
def micro():
    torch.manual_seed(0)
    return Encoder.create(MICRO, None, "a photo of a {}").to(gpu.DEVICE).eval()


def test_ranking_is_that_of_numpy():
    found = gpu.ranked(3000)
    assert found["queries with the same rank of the target"] == 1
    assert found["queries with the same ten images in the same order"] > 0.99
    assert found["largest difference of a score"] < 1e-5
    assert found["ranking 3,000 x 768 for 1,000 queries, s"] > 0


def test_the_head_learns_with_its_towers_in_the_loop_and_without(micro):
    before = micro.clip.visual.head.proj.weight.clone()
    found = gpu_training.head_alone(micro, batch=8)
    assert len(found) == 3
    assert min(found.values()) > 0
    assert not torch.equal(micro.clip.visual.head.proj.weight, before)


def test_a_large_step_in_chunks_changes_all_weights(micro):
    before = [weight.clone() for weight in micro.clip.visual.parameters()]
    found = gpu_training.in_chunks(micro, together=12, chunk=4)
    assert found["all weights, 12 triplets in chunks of 4, images/s"] > 0
    after = micro.clip.visual.parameters()
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_parts_are_printed_and_written(tmp_path, monkeypatch, capsys):
    path = tmp_path / "figures.json"
    arguments = ["--model", MICRO, "--images", "16", "--batch", "8", "--only", "embedding"]
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments, "--json", str(path)])
    gpu.main()
    figures = json.loads(path.read_text())
    assert figures["model"] == MICRO
    assert figures["least cosine with fp32"] > 0.999
    assert figures["embedding / the bare rate"] > 0
    assert "images/s" in capsys.readouterr().out
