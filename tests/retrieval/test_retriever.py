"""Tagger, encoder and composer as one thing."""

import numpy as np
import pytest
import torch

from cir.composers import COMPOSERS, create
from cir.composers.base import edit_in_words
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.encoders import Encoder
from cir.encoders.texts import encode_each_once
from cir.images.shards import ImageShards, read_triplets
from cir.retrieval.retriever import Retriever
from cir.retrieval.submission.weights_file import assemble, take_apart
from tests.helpers.composers import arithmetic, params
from tests.helpers.drawn_split import write_drawn_split


class TaggerOfOnePattern:
    """Reads "replace the A with a B" and nothing else."""

    def tag(self, texts):
        edits = []
        for text in texts:
            removed, added = text.removeprefix("replace the ").split(" with a ")
            edits.append(Edit(text, (added,), (removed,)))
        return edits


@pytest.fixture(scope="module")
def retriever(encoder):
    composer = arithmetic(added_weight=0.5, removed_weight=2.0)
    return Retriever(EncodedComposer(encoder, composer), TaggerOfOnePattern(), batch_size=4)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_drawn_split(folder, queries=6, seed=1)
    images, triplets = ImageShards(folder), read_triplets(folder)
    return [images.image(t.reference) for t in triplets], triplets


@torch.inference_mode()
def test_queries_are_those_of_one_at_a_time_with_a_call_per_object(retriever, drawn):
    images, triplets = drawn
    encoder, slow = retriever.encoder, []
    for image, triplet in zip(images, triplets, strict=True):
        pixels = torch.from_numpy(encoder.preprocess(image).copy())[None]
        query = encoder.encode_images(pixels)[0]
        for name in triplet.add:
            query = query + 0.5 * encoder.encode_names([name])[0]
        for name in triplet.remove:
            query = query - 2.0 * encoder.encode_names([name])[0]
        slow.append((query / query.norm()).numpy())
    fast = retriever.encode_queries(images, [t.text for t in triplets])
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, np.stack(slow), atol=2e-6)


def test_gallery_vectors_have_length_one_and_keep_their_order(retriever, drawn):
    images, _ = drawn
    vectors = retriever.encode_gallery(images)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[4:5], retriever.encode_gallery(images[4:5]), atol=2e-6)


def test_nothing_in_gives_nothing_out(retriever):
    assert retriever.encode_gallery([]).shape == (0, retriever.encoder.dim)
    assert retriever.encode_queries([], []).shape == (0, retriever.encoder.dim)


def test_an_edit_of_nothing_asks_for_the_image_itself(retriever, drawn):
    images, _ = drawn
    query = retriever.encode_edits(images[:1], [Edit("as it is")])
    np.testing.assert_allclose(query, retriever.encode_gallery(images[:1]), atol=2e-6)


def test_images_and_edits_come_in_pairs(retriever, drawn):
    with pytest.raises(AssertionError, match="6 images, 1 edits"):
        retriever.encode_edits(drawn[0], [Edit("one")])


def trained(name, encoder, text="sentence"):
    """A composer whose weights and running means are no longer those of a fresh one."""
    changes = {"arithmetic": {"normalise_image": True}, "corrected_arithmetic": {"hidden": 8}}
    section = params(name, **changes.get(name, {}))
    if "text" in section:
        section["text"] = text
    torch.manual_seed(4)
    composer = create(section, encoder.dim, encoder.dim)
    with torch.no_grad():
        for value in composer.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    return composer.eval()


@torch.inference_mode()
@pytest.mark.parametrize("text", ["sentence", "edit"])
def test_queries_with_texts_are_those_of_one_text_call_each(text, encoder, drawn):
    images, triplets = drawn
    composer = trained("tirg", encoder, text)
    model = EncodedComposer(encoder, composer)
    slow = []
    for image, triplet in zip(images, triplets, strict=True):
        read = triplet.text if text == "sentence" else edit_in_words(triplet.edit)
        pixels = torch.from_numpy(encoder.preprocess(image).copy())[None]
        edit = model.encode_edits([])  # no objects: TIRG reads the text alone
        edit = type(edit)(edit.objects, edit.owner, edit.sign, encoder.encode_texts([read]))
        query = composer(encoder.encode_images(pixels), edit)[0]
        slow.append((query / query.norm()).numpy())
    retriever = Retriever(model, TaggerOfOnePattern(), batch_size=4)
    fast = retriever.encode_queries(images, [t.text for t in triplets])
    np.testing.assert_allclose(fast, np.stack(slow), atol=2e-6)


def test_a_composer_that_reads_names_only_causes_no_text_call(drawn, encoder, monkeypatch):
    images, triplets = drawn
    encoded = []
    encode = Encoder.encode_texts
    monkeypatch.setattr(
        Encoder, "encode_texts", lambda self, texts: encoded.extend(texts) or encode(self, texts)
    )
    for name, sentences in [("arithmetic", 0), ("image_only", 0), ("tirg", len(triplets))]:
        encoded.clear()
        model = EncodedComposer(encoder, trained(name, encoder))
        Retriever(model, TaggerOfOnePattern()).encode_edits(images, [t.edit for t in triplets])
        assert sum(text in {t.text for t in triplets} for text in encoded) == sentences


def test_each_text_is_encoded_once_and_comes_back_in_its_place():
    seen = []

    def lengths(texts):
        seen.append(list(texts))
        return torch.tensor([[float(len(text))] for text in texts]).reshape(-1, 1)

    texts = ["three", "a", "three", "to", "a", ""]
    got = encode_each_once(texts, lengths, batch_size=2)
    assert got.flatten().tolist() == [5, 1, 5, 2, 1, 0]
    assert seen == [["", "a"], ["to", "three"]]
    assert encode_each_once([], lengths).shape == (0, 1)


@pytest.mark.parametrize("name", COMPOSERS)
def test_any_composer_is_kept_by_the_model_and_by_the_export(name, encoder, drawn, tmp_path):
    model = EncodedComposer(encoder, trained(name, encoder))
    (tmp_path / "encoder").mkdir()
    model.save(tmp_path / "encoder")
    size = FromScratch(layers=1, width=16, heads=2, hidden=16, dropout=0.0, longest=32)
    for part in fresh_model(size, ["add", "hat"], seed=0):
        part.save_pretrained(tmp_path / "tagger")
    (tmp_path / "export").mkdir()
    take_apart(tmp_path / "encoder", tmp_path / "tagger", 4, tmp_path / "export")
    again = Retriever(EncodedComposer.load(tmp_path / "encoder"), TaggerOfOnePattern(), 4)
    exported = Retriever(assemble(tmp_path / "export").model.cpu(), TaggerOfOnePattern(), 4)
    images, texts = drawn[0], [t.text for t in drawn[1]]
    expected = Retriever(model, TaggerOfOnePattern(), 4).encode_queries(images, texts)
    np.testing.assert_array_equal(again.encode_queries(images, texts), expected)
    np.testing.assert_array_equal(exported.encode_queries(images, texts), expected)


@pytest.fixture
def saved(encoder, tmp_path):
    EncodedComposer(encoder, trained("tirg", encoder)).save(tmp_path)
    return tmp_path


def test_a_composer_whose_weights_are_lost(saved):
    (saved / "composer.safetensors").unlink()
    with pytest.raises(UserError, match=r"composer\.safetensors does not exist"):
        EncodedComposer.load(saved)


def test_a_composer_whose_weights_are_cut_off(saved):
    path = saved / "composer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"composer\.safetensors is not a complete file of weights"):
        EncodedComposer.load(saved)


def test_a_composer_with_weights_of_another(saved, encoder):
    settings = files.read_json(saved / "composer.json")
    files.write_json(saved / "composer.json", {**settings, "text_dim": 100})
    sentence = r"of another composer: \d+ differ.*gate\.0\.bias, expected \(356,\), got \(512,\)"
    with pytest.raises(UserError, match=sentence):
        EncodedComposer.load(saved)
    other = {"name": "concatenation", "dropout": 0.1}
    files.write_json(saved / "composer.json", {**settings, **other})
    with pytest.raises(UserError, match=r"expected not at all, got \(512,\)"):
        EncodedComposer.load(saved)
    files.write_json(saved / "composer.json", {**settings, "name": "combiner"})
    with pytest.raises(UserError, match=r"combiner\.projection: field required"):
        EncodedComposer.load(saved)


def test_a_composer_for_another_encoder(encoder, tmp_path):
    composer = create(params("sum", text="sentence"), 512, 512)
    EncodedComposer(encoder, composer).save(tmp_path)
    with pytest.raises(UserError, match="dim 512, but the encoder beside it gives 256"):
        EncodedComposer.load(tmp_path)
