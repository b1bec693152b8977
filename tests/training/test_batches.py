"""Which items a step sees."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cir.core.errors import UserError
from cir.images import shards
from cir.training.shared.batches import KeptNames, Pixels, TrunkFeatures, plan_batches


@given(
    keys=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_batches_have_one_length_and_different_keys(keys, batch_size, seed):
    batches = plan_batches(keys, batch_size, 7, seed)
    assert len(batches) == 7
    assert {len(batch) for batch in batches} == {min(batch_size, len(set(keys)))}
    for batch in batches:
        assert len({keys[item] for item in batch}) == len(batch)


def test_an_epoch_of_different_keys_shows_every_item_once():
    batches = plan_batches(list(range(12)), 4, 6, seed=0)
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_an_item_that_has_to_wait_comes_later_in_its_epoch():
    keys = ["a", "a", "b", "b", "c", "c"]
    batches = plan_batches(keys, 3, 2, seed=0)
    assert sorted(np.concatenate(batches)) == [0, 1, 2, 3, 4, 5]


def test_a_longer_plan_begins_with_the_shorter_one():
    keys = list(range(10))
    short, long = plan_batches(keys, 3, 5, seed=1), plan_batches(keys, 3, 20, seed=1)
    assert all((a == b).all() for a, b in zip(short, long, strict=False))


def test_the_seed_changes_the_plan():
    plans = [np.concatenate(plan_batches(list(range(50)), 10, 5, seed)) for seed in (0, 1)]
    assert list(plans[0]) != list(plans[1])


def test_batches_divide_by_the_number_of_processes():
    assert {len(batch) for batch in plan_batches(list(range(9)), 7, 4, 0, multiple_of=2)} == {6}
    with pytest.raises(UserError, match="2 processes"):
        plan_batches(["a"], 4, 1, 0, multiple_of=2)


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_pixels_are_the_preprocessed_images_with_or_without_memory(encoder, split, budget):
    images = shards.ImageShards(split)
    pixels = Pixels(images, encoder, budget)
    for names in itertools.repeat(list(images.ids[:3]), 2):
        expected = np.stack([encoder.preprocess(images.image(name)) for name in names])
        assert (pixels.get(names).numpy() == expected).all()


@pytest.mark.parametrize(("budget", "encodings"), [(0, 6), (1 << 30, 3)])
@torch.inference_mode()
def test_features_of_the_trunk_stand_for_the_pixels(encoder, split, budget, encodings, monkeypatch):
    images, calls = shards.ImageShards(split), []
    trunk = encoder.trunk_features
    monkeypatch.setattr(encoder, "trunk_features", lambda p: calls.append(len(p)) or trunk(p))
    names = list(images.ids[:3])
    expected = encoder.encode_images(Pixels(images, encoder).get(names))
    kept = TrunkFeatures(images, encoder, budget)
    for _ in range(2):
        got = encoder.encode_images(kept.get(names))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert calls == [3] * (encodings // 3)


@torch.inference_mode()
def test_each_name_is_encoded_once(encoder, monkeypatch):
    calls, encode = [], encoder.encode_names
    kept = KeptNames(lambda names: calls.append(list(names)) or encode(names))
    for names in (["red hat", "dog", "red hat"], ["dog", "cup"], [], ["cup"]):
        torch.testing.assert_close(kept(names), encode(names), rtol=1e-4, atol=1e-5)
    assert calls == [["red hat", "dog"], ["cup"], [], []]
