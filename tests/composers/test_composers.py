"""Composers: what holds of all of them, and the arithmetic against its formula."""

import pytest
import torch

from cir.composers import COMPOSERS, EditFeatures, create, rebuild
from cir.composers.base import TEXTS, edit_in_words, names_in, texts_of
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.training.losses import BatchClassification
from tests.helpers.composers import arithmetic, params

D = 8
EDITS = [
    Edit("swap", ("laptop", "basket"), ("jacket",)),
    Edit("nothing"),
    Edit("drop", (), ("laptop", "cat")),
]
PARAMS = {
    "image_only": {},
    "text_only": {"text": "sentence"},
    "sum": {"text": "edit"},
    "concatenation": {"text": "sentence"},
    "arithmetic": {"normalise_image": True, "added_weight": 2.0},
    "learned_arithmetic": {"normalise_objects": True, "image_weight": 0.5},
    "corrected_arithmetic": {"text": "sentence", "hidden": 6, "removed_weight": 0.5},
    "tirg": {"text": "sentence"},
    "composeae": {"text": "edit", "rotation_weight": 0.5},
    "real_space_concat_ae": {"text": "sentence"},
    "combiner": {"text": "sentence", "projection": 2, "hidden": 3},
}


def fresh(name, dim=D, text_dim=D):
    """A composer whose every weight differs from its neighbours, so that none hides a mistake."""
    torch.manual_seed(0)
    composer = create(params(name, **PARAMS[name]), dim, text_dim)
    with torch.no_grad():
        for weight in composer.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3 + 0.1)
    return composer


def features(edits, dim=D, text_dim=D, seed=1):
    torch.manual_seed(seed)
    names = names_in(edits)
    image, named = torch.randn(len(edits), dim), torch.randn(len(names), dim)
    return image, EditFeatures.gather(edits, names, named, torch.randn(len(edits), text_dim))


def all_losses(composer, image, edit, target):
    criterion = BatchClassification()
    query = composer(image, edit)
    auxiliary = composer.auxiliary_losses(image, edit, query, target, criterion)
    return query, [criterion(query, target), *auxiliary.values()]


def literal(image, edit, feature_of, normalise_image, normalise_objects, weights):
    """One query at a time, one object at a time."""
    wi, wa, wr = weights
    unit = lambda v: v / v.norm()  # noqa: E731
    query = wi * (unit(image) if normalise_image else image)
    for name in edit.add:
        query = query + wa * (unit(feature_of[name]) if normalise_objects else feature_of[name])
    for name in edit.remove:
        query = query - wr * (unit(feature_of[name]) if normalise_objects else feature_of[name])
    return query


@pytest.mark.parametrize("normalise_image", [True, False])
@pytest.mark.parametrize("normalise_objects", [True, False])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25)])
def test_arithmetic_is_its_formula(normalise_image, normalise_objects, weights):
    torch.manual_seed(0)
    names = names_in(EDITS)
    features, image = torch.randn(len(names), 8).double(), torch.randn(3, 8).double()
    composer = arithmetic(
        normalise_image=normalise_image,
        normalise_objects=normalise_objects,
        **dict(zip(("image_weight", "added_weight", "removed_weight"), weights, strict=True)),
    )
    got = composer(image, EditFeatures.gather(EDITS, names, features))
    feature_of = dict(zip(names, features, strict=True))
    slow = [
        literal(i, e, feature_of, normalise_image, normalise_objects, weights)
        for i, e in zip(image, EDITS, strict=True)
    ]
    torch.testing.assert_close(got, torch.stack(slow), check_dtype=False, rtol=1e-6, atol=1e-6)


def test_learned_arithmetic_starts_as_the_arithmetic_of_its_params_and_learns_the_weights():
    units = {"normalise_image": True, "normalise_objects": True}
    weights = {"image_weight": 0.5, "added_weight": 2.0, "removed_weight": 0.25, **units}
    image, edit = features(EDITS)
    learned = create(params("learned_arithmetic", **weights), D, D)
    torch.testing.assert_close(learned(image, edit), arithmetic(**weights)(image, edit))
    with torch.no_grad():
        learned.change += torch.tensor([0.001, -0.002, 0.003])
    moved = {"image_weight": 0.6, "added_weight": 1.8, "removed_weight": 0.55, **units}
    torch.testing.assert_close(learned(image, edit), arithmetic(**moved)(image, edit))
    learned(image, edit).square().sum().backward()
    assert (learned.change.grad != 0).all()


def test_gradient_reaches_the_image_and_every_object_named():
    names = names_in(EDITS)
    features = torch.randn(len(names), 4, requires_grad=True)
    image = torch.randn(3, 4, requires_grad=True)
    composer = arithmetic(normalise_image=True, normalise_objects=True)
    composer(image, EditFeatures.gather(EDITS, names, features)).square().sum().backward()
    assert (image.grad.abs().sum(dim=1) > 0).all()
    assert (features.grad.abs().sum(dim=1) > 0).all()


def test_a_name_used_twice_is_encoded_once():
    assert names_in(EDITS) == ["laptop", "basket", "jacket", "cat"]


def test_the_sums_of_what_is_added_and_removed():
    image, edit = features(EDITS)
    rows = edit.objects  # laptop, basket, jacket; then laptop, cat
    added, removed = edit.total(1, image), edit.total(-1, image)
    torch.testing.assert_close(added, torch.stack([rows[0] + rows[1], rows[0] * 0, rows[0] * 0]))
    torch.testing.assert_close(removed, torch.stack([rows[2], rows[0] * 0, rows[3] + rows[4]]))


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_read_as_text(text):
    image, edit = features(EDITS, text_dim=5)
    if text == "none":
        assert fresh("arithmetic").text == text
        return
    composer = create(params("tirg", text=text), D, 5)
    read = composer.read(image, edit)
    added, removed = edit.total(1, image), edit.total(-1, image)
    expected = {"objects": torch.cat([added, removed], dim=1), "difference": added - removed}
    assert torch.equal(read, expected.get(text, edit.text))
    assert composer(image, edit).shape == (3, D)
    assert composer.settings()["text_dim"] == read.shape[1]


def test_the_sum_with_the_difference_is_the_arithmetic():
    image, edit = features(EDITS)
    both = create(params("sum", text="difference"), D, D)(image, edit)
    torch.testing.assert_close(both, arithmetic()(image, edit))


def test_an_edit_in_words_and_as_a_sentence():
    edit = Edit("Swap it!", ("red mug", "apple"), ("hat",))
    assert edit_in_words(edit) == "add a red mug and an apple; remove a hat"
    assert edit_in_words(Edit("?")) == ""
    assert texts_of([edit], "sentence") == ["Swap it!"]
    assert texts_of([edit], "edit") == [edit_in_words(edit)]
    assert texts_of([edit], "none") is None


@pytest.mark.parametrize("name", COMPOSERS)
def test_every_composer_gives_one_query_a_row(name):
    composer = fresh(name).eval()
    image, edit = features(EDITS)
    assert composer(image, edit).shape == (3, D)
    for row, alone in enumerate(EDITS):  # batches of one, one of them without any object
        mine = edit.owner == row
        single = EditFeatures(
            edit.objects[mine],
            torch.zeros(len(alone.add + alone.remove), dtype=torch.long),
            edit.sign[mine],
            edit.text[row : row + 1],
        )
        got = composer(image[row : row + 1], single)
        torch.testing.assert_close(got, composer(image, edit)[row : row + 1])


@pytest.mark.parametrize("name", COMPOSERS)
def test_zeros_as_image_features_give_finite_queries(name):
    """So the edit can be asked alone."""
    image, edit = features(EDITS)
    assert fresh(name).eval()(torch.zeros_like(image), edit).isfinite().all()


@pytest.mark.parametrize("name", COMPOSERS)
def test_gradient_reaches_every_weight(name):
    """In float64, so that what is zero but for rounding stands out."""
    composer = fresh(name).double().train()
    largest = dict.fromkeys(dict(composer.named_parameters()), 0.0)
    for seed in range(4):
        image, edit = features(EDITS * 3, seed=seed)
        image, target = image.double().requires_grad_(), torch.randn(9, D).double()
        edit = EditFeatures(edit.objects.double(), edit.owner, edit.sign, edit.text.double())
        composer.zero_grad()
        _, losses = all_losses(composer, image, edit, target)
        (sum(losses) + 0 * image.sum()).backward()
        for key, weight in composer.named_parameters():
            assert weight.grad is not None, key
            largest[key] = max(largest[key], weight.grad.abs().max().item())
    assert [key for key, gradient in largest.items() if gradient < 1e-9] == []


@pytest.mark.parametrize("name", COMPOSERS)
def test_half_precision_gives_finite_queries_losses_and_gradients(name):
    composer = fresh(name).train()
    image, edit = features(EDITS * 3)
    image.mul_(20).requires_grad_()  # raw features of an encoder are long
    with torch.autocast("cpu", torch.bfloat16):
        query, losses = all_losses(composer, image, edit, torch.randn_like(image))
    sum(losses).backward()
    assert query.isfinite().all()
    gradients = [weight.grad for weight in composer.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", COMPOSERS)
def test_a_composer_is_built_again_from_its_settings(name):
    composer = fresh(name, 6, 6).eval()
    again = rebuild(composer.settings()).eval()
    assert type(again) is type(composer)
    assert list(again.settings().items()) == list(composer.settings().items())
    again.load_state_dict(composer.state_dict())
    image, edit = features(EDITS, 6, 6)
    assert torch.equal(again(image, edit), composer(image, edit))
    assert composer.text == PARAMS[name].get("text", "none")


@pytest.mark.parametrize("name", ["concatenation", "tirg", "composeae", "real_space_concat_ae"])
def test_text_features_may_have_another_length(name):
    composer = fresh(name, 8, 5).train()
    image, edit = features(EDITS, 8, 5)
    query, losses = all_losses(composer, image, edit, torch.randn_like(image))
    assert query.shape == (3, 8)
    assert sum(losses).isfinite()


@pytest.mark.parametrize("name", ["text_only", "sum", "combiner"])
def test_texts_that_are_added_to_images_must_be_as_long(name):
    with pytest.raises(UserError, match=rf"{name} adds texts .* have 5 and 8"):
        fresh(name, 8, 5)


@pytest.mark.parametrize("text", ["sentence", "edit", "none"])
def test_before_training_the_correction_is_nothing(text):
    weights = {"normalise_objects": True, "added_weight": 0.7, "removed_weight": 1.3}
    composer = create(params("corrected_arithmetic", text=text, hidden=6, **weights), D, D)
    image, edit = features(EDITS)
    assert torch.equal(composer(image, edit), arithmetic(**weights)(image, edit))


def test_the_correction_grows_with_the_encoders_scale():
    """Features ten times as long give the same query, ten times as long."""
    composer = fresh("corrected_arithmetic")
    image, edit = features(EDITS)
    larger = EditFeatures(10 * edit.objects, edit.owner, edit.sign, 3 * edit.text)
    torch.testing.assert_close(composer(10 * image, larger), 10 * composer(image, edit))


def test_composers_without_auxiliary_losses_have_none():
    image, edit = features(EDITS)
    with_some = {
        name
        for name in COMPOSERS
        if fresh(name).auxiliary_losses(image, edit, image, image, BatchClassification())
    }
    assert with_some == {"composeae", "real_space_concat_ae"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "tirgg"}, r'must be one of image_only, .*; got "tirgg"'),
        ({}, r'must be one of .*; got "None"'),
        ({"name": "tirg", "text": "sentence"}, r"TIRG cannot be built from .*dim"),
        ({"name": "tirg", "dim": 4, "text_dim": 4, "text": "song"}, r"tirg\.text: .* 'sentence', "),
        ({"name": "sum", "dim": 4, "text_dim": 4, "text": "edit"}, r"sum\.normalise: field req"),
    ],
)
def test_settings_that_build_no_composer(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        rebuild(settings)
