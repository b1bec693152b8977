"""Captions made wrong, and the loss and the measure that they are for."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cir.datasets.scenes import COLOURS
from cir.retrieval.ranking.ranking import cosine
from cir.text_search.data.graded_requests import Count, OneObject, Pair, PairOfKinds, Place
from cir.text_search.data.queries import TextQuery
from cir.text_search.scoring.scoring import told_apart
from cir.text_search.training.finetuning import CaptionBatch, CaptionObjective
from cir.text_search.training.hard_negatives import COLOURS as KNOWN
from cir.text_search.training.hard_negatives import NUMBERS, OPPOSITE, altered, altered_captions


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red mug and a blue lamp", ["a blue mug and a red lamp"]),
        ("an orange hat, a teal car", ["a teal hat, an orange car"]),
        ("a cat above a dog", ["a cat below a dog"]),
        ("Left of the house", ["right of the house"]),
        ("two dogs", ["three dogs"]),
        ("three dogs", ["two dogs"]),
        ("a red mug and a red lamp", []),
        ("a dog on a beach", []),
        ("", []),
    ],
)
def test_each_way_to_be_wrong(caption, expected):
    assert altered(caption, rng()) == expected


def test_all_ways_at_once_each_in_a_caption_of_its_own():
    wrong = altered("two red mugs to the left of a blue lamp", rng())
    assert wrong == [
        "two blue mugs to the left of a red lamp",
        "two red mugs to the right of a blue lamp",
        "three red mugs to the left of a blue lamp",
    ]


def test_of_three_colours_every_pair_is_exchanged_sometimes():
    found = {altered("a red mug, a blue lamp and a green hat", rng(seed))[0] for seed in range(40)}
    assert found == {
        "a blue mug, a red lamp and a green hat",
        "a green mug, a blue lamp and a red hat",
        "a red mug, a green lamp and a blue hat",
    }


def test_the_lists_are_sound():
    assert set(COLOURS) <= KNOWN
    assert all(OPPOSITE[OPPOSITE[word]] == word for word in OPPOSITE)
    assert not (KNOWN & OPPOSITE.keys()) | (KNOWN & set(NUMBERS))


def test_what_is_true_of_an_image_of_the_batch_is_no_negative():
    captions = [["two dogs"], ["three dogs", "a red mug and a blue lamp"]]
    wrong, of = altered_captions(captions, rng())
    assert wrong == ["a blue mug and a red lamp"]
    assert of == [(1, "a red mug and a blue lamp", 0)]


def literal(encoder, batch, weight):
    """The two losses by loops over images and captions."""
    image = functional.normalize(encoder.encode_images(batch.pixels), dim=1)
    texts = list(dict.fromkeys(text for own in batch.captions for text in own))
    scale = encoder.clip.logit_scale.exp()

    def logit(number, text):
        vector = functional.normalize(encoder.encode_texts([text]), dim=1)[0]
        return scale * image[number] @ vector

    pairs = [
        (number, text, other)
        for number, own in enumerate(batch.captions)
        for text in own
        for other in altered(text, rng())
    ]
    wrong = [other for *_, other in pairs]
    forward = []
    for number, own in enumerate(batch.captions):
        every = torch.stack([logit(number, text) for text in [*texts, *wrong]]).logsumexp(0)
        forward.append(torch.stack([every - logit(number, text) for text in own]).mean())
    backward = []
    for text in texts:
        every = torch.stack([logit(number, text) for number in range(len(image))]).logsumexp(0)
        shown = [number for number, own in enumerate(batch.captions) if text in own]
        backward.append(torch.stack([every - logit(number, text) for number in shown]).mean())
    nearer = [
        torch.log1p(torch.exp(logit(number, other) - logit(number, text)))
        for number, text, other in pairs
    ]
    contrastive = (torch.stack(forward).mean() + torch.stack(backward).mean()) / 2
    return contrastive, weight * torch.stack(nearer).mean()


def test_the_loss_is_that_of_loops(encoder):
    captions = [["a red mug and a blue lamp", "a mug"], ["a cat above a dog"], ["a bus"]]
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    batch = CaptionBatch(pixels, captions)
    with torch.no_grad():
        found = CaptionObjective(encoder, 0.5)(batch)
        contrastive, nearer = literal(encoder, batch, 0.5)
        plain = CaptionObjective(encoder)(batch)
    assert set(plain) == {"contrastive"}
    torch.testing.assert_close(found["contrastive"], contrastive, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["made_wrong"], nearer, rtol=1e-4, atol=1e-4)
    assert found["contrastive"] > plain["contrastive"], "negatives make it harder"


def test_without_anything_to_make_wrong_the_second_loss_is_zero(encoder):
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    losses = CaptionObjective(encoder, 0.5)(CaptionBatch(pixels, [["a bus"], ["a cat"]]))
    assert losses["made_wrong"].item() == 0
    sum(losses.values()).backward()
    encoder.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("request_", "cells", "expected"),
    [
        (Pair("red mug", "blue lamp"), ("blue mug", "", "red lamp", ""), True),
        (Pair("red mug", "blue lamp"), ("red mug", "", "blue lamp", ""), False),
        (Pair("red mug", "blue lamp"), ("blue mug", "red lamp", "red mug", ""), False),
        (Pair("red mug", "blue lamp"), ("blue mug", "", "", ""), False),
        (Count("red mug", 2), ("red mug", "", "", ""), True),
        (Count("red mug", 2), ("red mug", "", "red mug", ""), False),
        (Count("red mug", 2), ("", "", "", "blue mug"), False),
        (Place("red mug", "above", "blue lamp"), ("blue lamp", "", "red mug", ""), True),
        (Place("red mug", "above", "blue lamp"), ("red mug", "", "blue lamp", ""), False),
        (Place("red mug", "above", "blue lamp"), ("red mug", "", "", ""), False),
        (OneObject("red mug"), ("blue mug", "", "", ""), False),
        (PairOfKinds("mug", "lamp"), ("blue mug", "", "", ""), False),
    ],
)
def test_what_nearly_answers(request_, cells, expected):
    assert request_.nearly(cells) is expected


def test_told_apart_by_hand():
    gallery = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
    ids = ["a", "b", "c", "d"]
    queries = [
        TextQuery("q", "x", "k", {"a": 4, "c": 4, "b": 1}, ("b", "d")),
        TextQuery("r", "y", "k", {"b": 4}, ("b",)),  # a tie with itself
        TextQuery("s", "z", "k", {"b": 4}),
    ]
    scores = cosine(np.array([[1.0, 0.0]] * 3), gallery)
    shares = told_apart(scores, queries, ids, least_grade=4)
    assert shares[0] == 0.75  # a over b and d, c over d
    assert shares[1] == 0
    assert np.isnan(shares[2])
