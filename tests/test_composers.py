"""Composers against a literal reading of their formula."""

import pytest
import torch

from cir.composers import COMPOSERS, ArithmeticComposer, EditFeatures
from cir.composers.base import names_in
from cir.records import Edit

EDITS = [
    Edit("swap", ("laptop", "basket"), ("jacket",)),
    Edit("nothing"),
    Edit("drop", (), ("laptop", "cat")),
]


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
    composer = ArithmeticComposer(normalise_image, normalise_objects, *weights)
    got = composer(image, EditFeatures.gather(EDITS, names, features))
    feature_of = dict(zip(names, features, strict=True))
    slow = [
        literal(i, e, feature_of, normalise_image, normalise_objects, weights)
        for i, e in zip(image, EDITS, strict=True)
    ]
    torch.testing.assert_close(got, torch.stack(slow), check_dtype=False, rtol=1e-6, atol=1e-6)


def test_gradient_reaches_the_image_and_every_object_named():
    names = names_in(EDITS)
    features = torch.randn(len(names), 4, requires_grad=True)
    image = torch.randn(3, 4, requires_grad=True)
    composer = ArithmeticComposer(True, True)
    composer(image, EditFeatures.gather(EDITS, names, features)).square().sum().backward()
    assert (image.grad.abs().sum(dim=1) > 0).all()
    assert (features.grad.abs().sum(dim=1) > 0).all()


def test_a_name_used_twice_is_encoded_once():
    assert names_in(EDITS) == ["laptop", "basket", "jacket", "cat"]


def test_an_edit_of_nothing_leaves_the_image():
    image = torch.randn(1, 4)
    edit = EditFeatures.gather([Edit("?")], [], torch.zeros(0, 4))
    assert torch.equal(ArithmeticComposer(False, False)(image, edit), image)


@pytest.mark.parametrize("name", COMPOSERS)
def test_a_composer_is_built_again_from_its_settings(name):
    composer = ArithmeticComposer(True, False, 0.5, 2.0, 0.25)
    again = COMPOSERS[name](**composer.settings())
    assert again.settings() == composer.settings()
    assert composer.auxiliary_losses() == {}
