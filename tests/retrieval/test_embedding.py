import json

import numpy as np
import pytest
import torch
from PIL import Image

from cir.core import files
from cir.core.errors import UserError
from cir.images import decoding as images
from cir.images import shards
from cir.retrieval.ranking.embedding import (
    Embeddings,
    _share_of_a_batch,
    embed,
    images_at_once,
    unit_rows,
)

IMAGES = 23
PER_SHARD = 8


class TinyEncoder:
    """A fixed random projection of 8×8 pixels, which counts the images that it sees."""

    device = torch.device("cpu")
    image_size = (8, 8)

    def __init__(self, seed=0, fail_after=None):
        self.seed, self.fail_after, self.seen = seed, fail_after, 0
        self.weight = torch.randn(3 * 64, 16, generator=torch.Generator().manual_seed(seed))

    def fingerprint(self):
        return f"tiny {self.seed}"

    def preprocess(self, image):
        return np.asarray(image.resize((8, 8)), dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels):
        self.seen += len(pixels)
        if self.fail_after is not None and self.seen > self.fail_after:
            raise KeyboardInterrupt
        return pixels.float().flatten(1) @ self.weight


def pictures(count):
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        yield f"image {number}", Image.fromarray(pixels)


def write_gallery(folder, rows=None):
    rows = rows or [(name, images.encode(image), ()) for name, image in pictures(IMAGES)]
    shards.write(folder, rows, [], {}, rows_per_shard=PER_SHARD)
    return shards.ImageShards(folder).shards()


@pytest.fixture
def gallery(tmp_path):
    return write_gallery(tmp_path / "data")


def test_vectors_are_those_of_one_image_at_a_time(gallery, tmp_path):
    encoder = TinyEncoder()
    embed(encoder, gallery, tmp_path / "out", tmp_path / "work", batch_size=3)
    embeddings = Embeddings.load(tmp_path / "out", "tiny 0")
    assert embeddings.ids == tuple(f"image {number}" for number in range(IMAGES))
    assert embeddings.vectors.dtype == np.float32
    for row, (name, encoded) in enumerate(pair for shard in gallery for pair in shard.encoded()):
        pixels = encoder.preprocess(images.decode(encoded, name))
        vector = encoder.encode_images(torch.from_numpy(pixels[None].copy()))[0].numpy()
        expected = vector / np.linalg.norm(vector)
        np.testing.assert_allclose(embeddings.vectors[row], expected, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (8, 4), (100, 2)])
def test_any_batch_and_any_number_of_threads_give_the_same(gallery, tmp_path, batch_size, workers):
    for folder, sizes in (("one", (5, 1)), ("other", (batch_size, workers))):
        embed(TinyEncoder(), gallery, tmp_path / folder, tmp_path / "work", *sizes)
    one, other = (Embeddings.load(tmp_path / folder, "tiny 0") for folder in ("one", "other"))
    assert one.ids == other.ids
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def test_threads_are_as_before_afterwards(gallery, tmp_path):
    before = torch.get_num_threads()
    embed(TinyEncoder(), gallery, tmp_path / "out", tmp_path / "work", workers=3)
    assert torch.get_num_threads() == before


def test_goes_on_after_an_interruption_and_leaves_nothing_half_written(gallery, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        embed(TinyEncoder(fail_after=2 * PER_SHARD + 2), gallery, out, work, 4, workers=1)
    assert not out.exists()
    again = TinyEncoder()
    embed(again, gallery, out, work, batch_size=4)
    assert again.seen == IMAGES - 2 * PER_SHARD
    assert len(Embeddings.load(out, "tiny 0").ids) == IMAGES
    assert not list(work.iterdir())


def test_finished_shards_of_another_model_or_other_images_are_not_used(gallery, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        embed(TinyEncoder(fail_after=PER_SHARD + 1), gallery, out, work, 4, workers=1)
    other_model = TinyEncoder(seed=1)
    embed(other_model, gallery, out, work, batch_size=4)
    assert other_model.seen == IMAGES
    turned = [(name, images.encode(image.rotate(180)), ()) for name, image in pictures(IMAGES)]
    other_images = TinyEncoder()
    embed(other_images, write_gallery(tmp_path / "turned", turned), out, work, batch_size=4)
    assert other_images.seen == IMAGES


def test_a_broken_image_is_named_and_the_old_result_stays(gallery, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    embed(TinyEncoder(), gallery, out, work)
    rows = [("fine", images.encode(Image.new("RGB", (8, 8), "red")), ()), ("torn", b"\xff\xd8", ())]
    with pytest.raises(UserError, match="torn"):
        embed(TinyEncoder(seed=1), write_gallery(tmp_path / "torn", rows), out, work)
    assert len(Embeddings.load(out, "tiny 0").ids) == IMAGES


def test_an_empty_gallery_is_refused(tmp_path):
    shards.write(tmp_path / "data", [], [], {})
    empty = shards.ImageShards(tmp_path / "data").shards()
    with pytest.raises(UserError, match="no images"):
        embed(TinyEncoder(), empty, tmp_path / "out", tmp_path / "work")


def test_a_vector_without_direction_is_named():
    features = torch.tensor([[3, 4], [0, 0], [float("nan"), 1]])
    torch.testing.assert_close(unit_rows(features[:1], ["a"]), torch.tensor([[0.6, 0.8]]))
    with pytest.raises(UserError, match=r"2 vectors .* image b"):
        unit_rows(features, ["a", "b", "c"])


def test_mapped_vectors_are_the_same_and_stay_on_disk(gallery, tmp_path):
    embed(TinyEncoder(), gallery, tmp_path / "out", tmp_path / "work")
    loaded, mapped = (Embeddings.load(tmp_path / "out", "tiny 0", how) for how in (False, True))
    assert mapped.ids == loaded.ids
    np.testing.assert_array_equal(mapped.vectors[:], loaded.vectors)
    within_a_file = mapped.vectors[9:15]
    assert not within_a_file.flags.owndata
    assert not within_a_file.flags.writeable


def test_vectors_of_another_model_are_refused(gallery, tmp_path):
    embed(TinyEncoder(), gallery, tmp_path / "out", tmp_path / "work")
    with pytest.raises(UserError, match=r"tiny 0.*tiny 1.*embed them again"):
        Embeddings.load(tmp_path / "out", "tiny 1")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda vectors: vectors[1:], "8 images"),
        (lambda vectors: vectors.astype(np.float64), "float64"),
        (lambda vectors: vectors * 2, "length one"),
        (lambda vectors: np.where(np.arange(8)[:, None] == 3, np.nan, vectors), "image 3"),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_damaged_vectors_are_refused(gallery, tmp_path, damage, sentence, mapped):
    out = tmp_path / "out"
    embed(TinyEncoder(), gallery, out, tmp_path / "work")
    path = out / "vectors-00000.npy"
    np.save(path, damage(np.load(path)))
    with pytest.raises(UserError, match=sentence):
        Embeddings.load(out, "tiny 0", mapped)


def test_an_id_that_comes_twice_and_missing_files_are_refused(gallery, tmp_path):
    out = tmp_path / "out"
    embed(TinyEncoder(), gallery, out, tmp_path / "work")
    ids = json.loads((out / "ids-00001.json").read_text())
    files.write_json(out / "ids-00001.json", ["image 2", *ids[1:]])
    with pytest.raises(UserError, match="image 2 twice"):
        Embeddings.load(out, "tiny 0")
    (out / "vectors-00002.npy").unlink()
    with pytest.raises(UserError, match=r"vectors-00002\.npy"):
        Embeddings.load(out, "tiny 0")
    with pytest.raises(UserError, match=r"info\.json does not exist"):
        Embeddings.load(tmp_path / "nowhere", "tiny 0")


@pytest.mark.parametrize(
    ("side", "workers", "share"), [(384, 1, 64), (384, 4, 16), (384, 64, 2), (64, 16, 64)]
)
def test_more_threads_of_a_processor_share_the_images_of_one_batch(side, workers, share):
    encoder = TinyEncoder()
    encoder.image_size = (side, side)
    assert _share_of_a_batch(encoder, 64, workers) == share
    encoder.device = torch.device("cuda")
    assert _share_of_a_batch(encoder, 64, workers) == 64


@pytest.mark.parametrize(("side", "processor"), [(64, 64), (128, 18), (224, 5), (320, 2), (999, 1)])
def test_large_images_are_encoded_few_at_once_on_a_processor(side, processor):
    assert images_at_once((side, side), torch.device("cpu")) == processor
    assert images_at_once((side, side), torch.device("cuda")) == 64
