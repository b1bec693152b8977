"""Test the trained retriever as the model of the search app."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from cir.app import search_model
from cir.app.search_model import RetrieverModel, TaggedText
from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import LABELS, split_words
from cir.encoders import Encoder
from cir.encoders.paired import GivenFeatures, PairedEncoder
from cir.encoders.words import WordLSTM
from cir.images.shards import ImageShards, read_triplets
from cir.retrieval.retriever import Retriever
from tests.helpers.composers import arithmetic
from tests.helpers.drawn_split import MICRO, PROMPT, write_drawn_split

SENTENCES = ["replace the red mug with a blue car", "without the leash, add a ball", "", "ölig"]


@pytest.fixture(scope="module")
def tagger():
    words = sorted({word for sentence in SENTENCES for word in split_words(sentence)})
    size = FromScratch(layers=1, width=16, heads=2, hidden=32, dropout=0.0, longest=32)
    return Tagger(*fresh_model(size, words, seed=3))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_drawn_split(folder, queries=4, seed=1)
    images, triplets = ImageShards(folder), read_triplets(folder)
    return [images.image(t.reference) for t in triplets], triplets


def model_of(encoder, tagger=None, composer=None):
    return RetrieverModel(EncodedComposer(encoder, composer or arithmetic()), tagger)


@pytest.fixture(scope="module")
def retriever(encoder, tagger):
    return Retriever(EncodedComposer(encoder, arithmetic()), tagger, batch_size=2)


@pytest.fixture(scope="module")
def model(retriever):
    return RetrieverModel(retriever.model, retriever.tagger)


def pixels_of(model, images):
    return np.stack([model.preprocess(image) for image in images])


def test_vectors_are_those_of_the_retriever(model, retriever, drawn):
    images, triplets = drawn
    pixels = pixels_of(model, images)
    assert pixels.dtype == np.uint8
    gallery = model.encode_pixels(pixels)
    assert gallery.dtype == np.float32
    assert gallery.shape == (4, model.dim)
    np.testing.assert_allclose(gallery, retriever.encode_gallery(images), atol=2e-6)
    texts = [t.text for t in triplets]
    edits = [tagged.edit for tagged in model.tag(texts)]
    queries = model.compose(pixels, edits, [1.0] * 4)
    np.testing.assert_allclose(queries, retriever.encode_queries(images, texts), atol=2e-6)


@pytest.mark.parametrize("word", ["red", "jack-o'-lantern"])
def test_the_words_that_are_cut_off_change_nothing(model, word):
    """They are compared by their vectors: the shortest beginning that has the vector of all."""
    seen = set()
    for count in (1, 5, 12, 21, 22, 23, 30, 60):
        words = [f"{'blue' if number % 3 else word}" for number in range(count)]
        vectors = model.encode_texts([" ".join(words[: end + 1]) for end in range(count)])
        same = np.abs(vectors - vectors[-1]).max(axis=1) < 1e-6
        unread = words[int(same.argmax()) + 1 :]
        assert model.unread(" ".join(words)) == " ".join(unread)
        seen.add(bool(unread))
    assert seen == {True, False}
    assert model.unread("  ") == model.unread("red") == ""


@pytest.mark.parametrize(
    "size", [(40, 40), (320, 20), (20, 320), (400, 20), (8, 160), (300, 3), (1, 99)]
)
def test_the_ends_of_a_long_image_are_left_out_and_change_nothing(model, encoder, size):
    noise = np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    seen, whole = model.preprocess(image), encoder.preprocess(image)
    np.testing.assert_array_equal(seen, whole)


@torch.inference_mode()
def test_texts_are_encoded_as_they_are_written(model, encoder):
    texts = ["a red mug", "black dog", "a red mug"]
    slow = [functional.normalize(encoder.encode_texts([text]), dim=1)[0].numpy() for text in texts]
    np.testing.assert_allclose(model.encode_texts(texts), np.stack(slow), atol=2e-6)


def test_a_sentence_is_read_once_and_by_the_tagger_s_own_rule(model, tagger, monkeypatch):
    reads = []
    read = Tagger.read

    def counted(self, texts, batch_size=64):
        reads.append(len(texts))
        return read(self, texts, batch_size)

    monkeypatch.setattr(Tagger, "read", counted)
    tagged = model.tag(SENTENCES)
    assert reads == [len(SENTENCES)]
    assert [one.edit for one in tagged] == tagger.tag(SENTENCES)
    for sentence, one in zip(SENTENCES, tagged, strict=True):
        assert [word for word, _ in one.words] == split_words(sentence)
        assert {label for _, label in one.words} <= set(LABELS)
        (reading,) = read(tagger, [sentence])
        assert one.confidence == pytest.approx(reading.confidence, abs=1e-5)
        for sign, confidences in reading.confidence_by_object().items():
            assert one.confidence_by_object[sign] == pytest.approx(confidences, abs=1e-5)
            assert len(confidences) == len(getattr(one.edit, sign))
        assert list(one.remarks) == reading.remarks()
    assert any(one.edit.add or one.edit.remove for one in tagged)  # or the test would check little


def test_an_empty_sentence_has_no_words(model):
    no_objects = {"add": [], "remove": []}
    said = ("it names no object to add or to remove",)
    assert model.tag([""]) == [TaggedText(Edit(""), (), 1.0, no_objects, said)]
    assert model.tag([]) == []


@torch.inference_mode()
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_image_s_weight_is_that_of_the_arithmetic(weight, normalise, encoder, tagger, drawn):
    composer = arithmetic(
        normalise_image=normalise, image_weight=0.9, added_weight=1.5, removed_weight=0.7
    )
    model = model_of(encoder, tagger, composer)
    pixels = pixels_of(model, drawn[0][:2])
    image = encoder.encode_images(torch.from_numpy(pixels))
    image = functional.normalize(image, dim=1) if normalise else image
    red, mug, kite = encoder.encode_names(["red hat", "mug", "kite"])
    edits = [Edit("", ("red hat", "mug"), ("kite",)), Edit("", (), ("mug",))]
    change = torch.stack([1.5 * (red + mug) - 0.7 * kite, -0.7 * mug])
    expected = functional.normalize(weight * 0.9 * image + change, dim=1).numpy()
    queries = model.compose(pixels, edits, [weight, weight])
    np.testing.assert_allclose(queries, expected, atol=5e-6)


@torch.inference_mode()
def test_a_learned_composer_s_answer_is_moved_along_the_image(encoder, tagger, drawn):
    torch.manual_seed(4)
    composer = create({"name": "tirg", "text": "edit"}, encoder.dim, encoder.dim).eval()
    model = model_of(encoder, tagger, composer)
    pixels, edits = pixels_of(model, drawn[0][:2]), [Edit("", ("mug",)), Edit("", ("hat",))]
    image = encoder.encode_images(torch.from_numpy(pixels))
    made = composer(image, model._model.encode_edits(edits))
    expected = functional.normalize(torch.stack([made[0] + 0.5 * image[0], made[1]]), dim=1)
    queries = model.compose(pixels, edits, [1.5, 1.0])
    np.testing.assert_allclose(queries, expected.numpy(), atol=5e-6)


@torch.inference_mode()
def test_features_compose_as_their_pixels_do(model, encoder, drawn):
    pixels = pixels_of(model, drawn[0])
    edits = [Edit("", ("mug",))] * 4
    features = encoder.encode_images(torch.from_numpy(pixels)).numpy()
    weights = [1.0, 0.5, 1.0, 2.0]
    np.testing.assert_allclose(
        model.compose(features, edits, weights), model.compose(pixels, edits, weights), atol=2e-6
    )


@torch.inference_mode()
def test_names_are_encoded_once_and_the_latest_are_kept(encoder, tagger, drawn, monkeypatch):
    monkeypatch.setattr(search_model, "_NAMES_KEPT", 3)
    encoded, encode = [], encoder.encode_names
    monkeypatch.setattr(encoder, "encode_names", lambda n: encoded.append(list(n)) or encode(n))
    model = model_of(encoder, tagger)
    pixels = pixels_of(model, drawn[0][:2])
    edits = [Edit("", ("mug", "hat"), ("mug",)), Edit("", (), ("kite",))]
    for asked in (edits, edits, [Edit("", ("bell",)), Edit("", ("mug",))], edits[::-1], [Edit("")]):
        shown = pixels[: len(asked)]
        weights = [1.0] * len(asked)
        slow = model._model.queries(torch.from_numpy(shown), asked).numpy()
        encoded.pop()  # what the slow way has encoded
        np.testing.assert_allclose(model.compose(shown, asked, weights), slow, atol=2e-6)
    assert encoded == [["mug", "hat", "kite"], [], ["bell"], ["hat"], []]
    assert list(model._names) == ["kite", "mug", "hat"]


def test_nothing_to_search_by_is_a_sentence(model, drawn):
    pixels = pixels_of(model, drawn[0][:2])
    with pytest.raises(UserError, match="nothing to search by"):
        model.compose(pixels, [Edit("", ("mug",)), Edit("as it is")], [0.0, 0.0])


def test_several_threads_get_what_one_gets(model, drawn):
    pixels = pixels_of(model, drawn[0])
    texts = ["red mug", "a very long sentence about a watering can and a purple key", "hat"]
    edits = [Edit("", ("mug", "a rather long name of an object")), *[Edit("", ("hat",))] * 3]
    alone = {
        "texts": model.encode_texts(texts),
        "pixels": model.encode_pixels(pixels),
        "compose": model.compose(pixels, edits, [1.0] * 4),
    }
    works = {
        "texts": lambda: model.encode_texts(texts),
        "pixels": lambda: model.encode_pixels(pixels),
        "compose": lambda: model.compose(pixels, edits, [1.0] * 4),
    }
    differences = []

    def run(name):
        for _ in range(10):
            differences.append(np.abs(works[name]() - alone[name]).max())

    threads = [threading.Thread(target=run, args=(name,)) for name in [*works, *works]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(differences) == 60
    assert max(differences) < 2e-6


def test_the_fingerprint_is_of_encoder_and_composer_not_of_the_tagger(encoder, tagger, model):
    without_tagger = model_of(encoder)
    assert without_tagger.fingerprint() == model.fingerprint()
    assert (without_tagger.has_tagger, model.has_tagger) == (False, True)
    other_composer = arithmetic(normalise_image=True)
    other = model_of(encoder, tagger, other_composer)
    assert other.fingerprint() != model.fingerprint()
    other_encoder = model_of(Encoder.create(MICRO, None, PROMPT), tagger)
    assert other_encoder.fingerprint() != model.fingerprint()


def test_what_was_saved_is_loaded(retriever, model, tagger, tmp_path):
    folders = tmp_path / "encoder", tmp_path / "tagger"
    for folder in folders:
        folder.mkdir()
    retriever.model.save(folders[0])
    tagger._model.save_pretrained(folders[1])
    tagger._pieces._tokenizer.save_pretrained(folders[1])
    loaded = search_model.load(*folders)
    assert loaded.fingerprint() == model.fingerprint()
    assert loaded.tag(SENTENCES) == model.tag(SENTENCES)
    untagged = search_model.load(folders[0])
    assert (untagged.fingerprint(), untagged.has_tagger) == (model.fingerprint(), False)
    with pytest.raises(UserError, match="is not a saved encoder"):
        search_model.load(tmp_path / "nowhere", folders[1])
    with pytest.raises(UserError, match="no tagger"):
        search_model.load(folders[0], tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("side", "batch", "least_side"), [(64, 64, 128), (128, 18, 256), (320, 2, 640), (999, 1, 1998)]
)
def test_batches_and_reduced_photographs_fit_the_encoder_s_input(side, batch, least_side):
    paired = PairedEncoder(GivenFeatures(8), WordLSTM(["mug"], 8, 0.0))
    paired.images.image_size = (side, side)
    model = model_of(paired)
    assert (model.batch_size, model.least_side) == (batch, least_side)


def test_words_alone_need_one_space_for_texts_and_images(tagger):
    paired = PairedEncoder(GivenFeatures(8), WordLSTM(["mug"], 8, 0.0))
    composer = create({"name": "tirg", "text": "sentence"}, 8, 8).eval()
    model = model_of(paired, tagger, composer)
    with pytest.raises(UserError, match="by words alone"):
        model.encode_texts(["mug"])
    features = np.ones((1, 8), np.float32)
    assert model.compose(features, [Edit("mug")], [1.0]).shape == (1, 8)
