"""Training on published datasets: their pairs in batches, learning rates, answers."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.encoders.paired import GivenFeatures, PairedEncoder
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM, words_of
from cir.published.datasets import DATASETS
from cir.published.datasets.fashioniq import FashionIQ
from cir.published.datasets.mit_states import MITStates
from cir.published.datasets.pairs import JoinedPairs
from cir.published.experiment.answering import Pictures, answer_query_sets
from cir.published.experiment.params import SGD
from cir.published.experiment.training import CachedFeatures, PairBatches
from cir.training.composition import CompositionObjective
from cir.training.losses import BatchClassification, SoftTriplet
from cir.training.shared.batches import Pixels
from tests.helpers import miniature_datasets as mini
from tests.helpers.composers import params

SGD_AS_PUBLISHED = SGD(
    kind="sgd",
    learning_rate=0.01,
    backbone_share=0.1,
    weight_decay=5e-5,
    momentum=0.9,
    period=50_000,
    factor=0.1,
)
COMPOSERS = ["tirg", "composeae", "real_space_concat_ae"]
DRAWN = {"seed": 3, "train_pairs": 12, "train_images": 20, "queries": 4, "gallery": 10}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    for name, write in mini.WRITERS.items():
        (folder / name).mkdir()
        mini.noisy(write(folder / name))
    return folder


@pytest.fixture(scope="module")
def states(roots):
    return MITStates(roots / "mit_states")


class Names:
    """In the place of pixels: which images were asked for."""

    def get(self, names):
        return list(names)


def model_of(name, texts, images=None, dim=8):
    torch.manual_seed(0)
    images = images or ResNet18(dim, 4, 4)
    encoder = PairedEncoder(images, WordLSTM.for_texts(texts, 6, 0.1))
    composer = create(params(name, text="sentence"), encoder.dim, encoder.text_dim)
    return EncodedComposer(encoder, composer)


def test_batches_are_the_datasets_own_pairs_epoch_by_epoch(states):
    (pairs,) = states.training_pairs()
    batches = PairBatches(pairs, Names(), batch_size=4, steps=7, seed=5)
    assert (len(pairs), len(batches)) == (10, 7)
    for step in range(7):
        epoch, number = divmod(step, 2)  # two whole batches in an epoch; the odd pairs are left
        triplets = [pairs.pair(5, epoch, 4 * number + k) for k in range(4)]
        batch = batches[step]
        targets, references = [t.target for t in triplets], [t.reference for t in triplets]
        assert batch.pixels == targets + references
        assert [edit.text for edit in batch.edits] == [t.text for t in triplets]
        assert batch.same.tolist() == [[a == b for b in targets + references] for a in targets]
        assert (batch.names, batch.shown) == ([], None)


def test_a_small_epoch_makes_small_batches_and_one_pair_none(states):
    (pairs,) = states.training_pairs()
    assert len(PairBatches(pairs, Names(), 64, 1, 0)[0].edits) == 10
    (fashion, *_) = FashionIQ(states.root.parent / "fashioniq").training_pairs()
    lone = fashion.without({fashion.triplets[0].reference, fashion.triplets[2].target})
    assert len(lone) == 1
    with pytest.raises(UserError, match="train dress has 1 pairs an epoch: too few"):
        PairBatches(lone, Names(), 64, 1, 0)


def test_joined_parts_show_every_triplet_once_in_an_epoch(roots):
    parts = FashionIQ(roots / "fashioniq", captions="composeae").training_pairs()
    joined = JoinedPairs(parts)
    expected = Counter((t.reference, t.target, *t.texts) for part in parts for t in part.triplets)
    orders = []
    for epoch in range(3):
        shown = [(t.reference, t.target, t.text) for t in joined.epoch(2, epoch)]
        assert Counter(shown) == expected
        orders.append(shown)
    assert len({tuple(order) for order in orders}) == 3
    assert [joined.pair(2, 1, k).reference for k in (4, 0)] == [orders[1][4][0], orders[1][0][0]]
    assert len({t.id for t in joined.epoch(2, 0)}) == len(joined) == 9
    assert set(joined.images) == {name for part in parts for name in part.images}
    assert len(joined.without({parts[0].triplets[0].target})) < 9


@pytest.mark.parametrize(
    "name", ["mit_states", "fashion200k", "fashioniq", "cirr", "drawn_attributes"]
)
def test_texts_hold_every_word_that_training_says(name, roots):
    many = {**DRAWN, "train_pairs": 2000}
    drawn = name == "drawn_attributes"
    dataset = DATASETS[name](**many) if drawn else DATASETS[name](roots / name)
    for pairs in dataset.training_pairs():
        known = {word for text in pairs.texts() for word in words_of(text)}
        said = (t.text for epoch in range(2) for t in pairs.epoch(7, epoch))
        assert set() < {word for text in said for word in words_of(text)} <= known


def test_features_of_a_standing_tower_are_computed_once(encoder):
    dataset = DATASETS["drawn_attributes"](**DRAWN)
    names = list(dataset.query_sets("val")[0].gallery)
    asked = []

    class Counted(Pixels):
        def get(self, names):
            asked.append(list(names))
            return super().get(names)

    features = CachedFeatures(Counted(Pictures(dataset, {}), encoder), encoder, batch_size=4)
    got = features.get([names[3], names[0], names[3]])
    again = features.get(names[:6])
    assert asked == [[names[3], names[0]], [names[1], names[2], names[4], names[5]]]
    pixels = np.stack([encoder.preprocess(dataset.picture(name, {})) for name in names[:6]])
    with torch.inference_mode():
        expected = encoder.encode_images(torch.from_numpy(pixels))
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(got, again[[3, 0, 3]])
    assert not got.is_inference()  # training goes through them


@pytest.mark.parametrize("criterion", [SoftTriplet, BatchClassification])
@pytest.mark.parametrize("name", COMPOSERS)
def test_the_gradient_reaches_tower_reader_composer_and_scale(name, criterion, roots):
    # Of one word, an LSTM's weights from its state to itself would have no gradient.
    states = MITStates(roots / "mit_states", text="the target's caption")
    (pairs,) = states.training_pairs()
    model = model_of(name, pairs.texts())
    objective = CompositionObjective(model, 0.0, 0.0, criterion()).train()
    source = Pixels(Pictures(states, pairs.images), model.encoder)
    batches = PairBatches(pairs, source, 6, 3, 0)
    largest = dict.fromkeys((n for n, _ in objective.named_parameters()), 0.0)
    for step in range(len(batches)):
        objective.zero_grad()
        losses = objective(batches[step])
        sum(losses.values()).backward()
        for n, weight in objective.named_parameters():
            assert weight.grad is not None, n
            largest[n] = max(largest[n], float(weight.grad.abs().max()))
    assert {n for n, gradient in largest.items() if gradient == 0} == set()
    assert ("rotation" in losses) == (name == "composeae")


def test_published_learning_rates_by_group(states):
    (pairs,) = states.training_pairs()
    model = model_of("tirg", pairs.texts())
    objective = CompositionObjective(model, 0.0, 0.0, SoftTriplet())
    groups = SGD_AS_PUBLISHED.groups(objective, model.encoder.images)
    assert {group["weight_decay"] for group in groups} == {5e-5}
    name = {id(weight): name for name, weight in objective.named_parameters()}
    of_rate: dict[float, list[str]] = {}
    for group in groups:
        names = [name[id(weight)] for weight in group["params"]]
        of_rate.setdefault(round(group["lr"], 9), []).extend(names)
    assert list(of_rate) == [0.001, 0.01]
    backbone, rest = (set(names) for names in of_rate.values())
    tower = "model.encoder.images."
    assert backbone == {n for n in name.values() if n.startswith(f"{tower}backbone.")}
    for part in (f"{tower}projection.weight", f"{tower}projection.bias"):
        assert part in rest
    for part in ("model.composer.gate_weight", "losses.criterion.length"):
        assert part in rest
    assert sum(map(len, of_rate.values())) == len(name) == len(backbone | rest)


def test_a_standing_tower_has_no_groups(states):
    (pairs,) = states.training_pairs()
    model = model_of("tirg", pairs.texts(), GivenFeatures(8))
    objective = CompositionObjective(model, 0.0, 0.0, SoftTriplet())
    groups = SGD_AS_PUBLISHED.groups(objective, model.encoder.images)
    trained = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(trained) == sorted(map(id, objective.parameters()))
    assert {group["lr"] for group in groups} == {0.01}


@torch.inference_mode()
@pytest.mark.parametrize("name", ["mit_states", "fashioniq", "cirr"])
def test_answers_are_those_of_one_query_after_another(name, roots):
    options = {"captions": "searle"} if name == "fashioniq" else {}  # two texts to a query
    dataset = DATASETS[name](roots / name, **options)
    split = "test" if name == "mit_states" else "val"
    query_sets = dataset.query_sets(split)
    model = model_of("tirg", ["ripe old huge is longer no sleeves and has dogs"]).eval()
    # Untrained, text and reference would hardly matter.
    model.composer.gate_weight.fill_(10)
    model.composer.residual_weight.fill_(1)
    model.encoder.images.projection.bias.zero_()
    model.encoder.texts.output.weight.mul_(20)
    pictures = Pictures(dataset, {n: p for one in query_sets for n, p in one.images.items()})
    answers = answer_query_sets(model, Pixels(pictures, model.encoder), query_sets, batch_size=3)
    for query_set, given in zip(query_sets, answers, strict=True):
        for query, top, ranks in zip(query_set.queries, given.top, given.hit_ranks, strict=True):
            order = literal_order(model, pictures, query_set, query)
            assert list(top) == order
            assert ranks.tolist() == sorted(1 + order.index(hit) for hit in query.hits)


def literal_order(model, pictures, query_set, query):
    """The gallery, best first; every image is encoded by itself."""

    def vector(image):
        pixels = torch.from_numpy(model.encoder.preprocess(pictures.image(image)).copy())[None]
        return model.encoder.encode_images(pixels)

    vectors = [
        model.compose(vector(query.reference), model.encode_edits([Edit(text)]))
        for text in query.texts
    ]
    wanted = torch.cat(vectors).mean(dim=0)
    kept = query_set.protocol.reference_kept
    score = {
        name: float(nn.functional.normalize(vector(name)[0], dim=0) @ wanted)
        for name in query_set.gallery
        if kept or name != query.reference
    }
    return sorted(score, key=score.get, reverse=True)


@pytest.mark.parametrize("gallery", ["full", "pooled"])
def test_query_sets_that_share_images_have_each_encoded_once(gallery, roots):
    dataset = FashionIQ(roots / "fashioniq", gallery=gallery)
    query_sets = dataset.query_sets("val")
    asked = []

    class Counted(Pixels):
        def get(self, names):
            asked.extend(names)
            return super().get(names)

    model = model_of("tirg", ["is longer no sleeves"]).eval()
    where = {name: path for one in query_sets for name, path in one.images.items()}
    source = Counted(Pictures(dataset, where), model.encoder)
    together = answer_query_sets(model, source, query_sets)
    assert len(asked) == len(set(asked)) == 18
    for query_set, given in zip(query_sets, together, strict=True):
        (alone,) = answer_query_sets(model, source, [query_set])
        assert alone.top == given.top
        assert alone.target_ranks == given.target_ranks
