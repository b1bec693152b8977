"""Tagger, encoder and composer as one thing."""

import numpy as np
import pytest
import torch
from conftest import write_drawn_split

from cir.composers import ArithmeticComposer
from cir.datasets.shards import ImageShards, read_triplets
from cir.records import Edit
from cir.retriever import EncodedComposer, Retriever


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
    composer = ArithmeticComposer(False, False, 1.0, 0.5, 2.0)
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
