"""Splits on disk: what was written is what is read, by id, as a stream, and by `datasets`."""

import pickle
import random
import tracemalloc
from io import BytesIO

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from cir.core.errors import UserError
from cir.core.records import Triplet
from cir.images import shards


def picture(number):
    buffer = BytesIO()
    Image.new("RGB", (4, 3), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def rows(count):
    for number in range(count):
        yield f"image {number}", picture(number), [f"thing {number}"] * (number % 3)


TRIPLETS = [
    Triplet("a", "image 0", "Add a hat.", "image 1", ("hat",), (), ("image 2",), True),
    Triplet("b", "image 1", "Ohne Hut, bitte \u2013 \u5e3d\u5b50", "image 0"),
]


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 3 * len(picture(0)))


@pytest.fixture
def folder(tmp_path, small_groups):
    shards.write(tmp_path / "split", rows(25), TRIPLETS, {"source": "test"}, rows_per_shard=10)
    return tmp_path / "split"


def test_files_are_few_and_hold_what_they_should(folder):
    found = sorted(path.name for path in folder.iterdir())
    assert found == [
        "images-00000.parquet",
        "images-00001.parquet",
        "images-00002.parquet",
        "info.json",
        "triplets.parquet",
    ]
    groups = pq.read_metadata(folder / "images-00000.parquet")
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 3, 3, 1]
    assert shards.read_info(folder) == {"source": "test", "images": 25, "triplets": 2}


@pytest.mark.parametrize("cache_bytes", [shards.CACHE_BYTES, 0])
def test_random_access_gives_every_image_its_own_pixels(folder, cache_bytes):
    split = shards.ImageShards(folder, cache_bytes)
    assert len(split) == 25
    assert split.ids == tuple(f"image {number}" for number in range(25))
    numbers = list(range(25)) * 2
    random.Random(0).shuffle(numbers)
    for number in numbers:
        name = f"image {number}"
        assert name in split
        assert split.image(name).getpixel((2, 1)) == (number, 0, 7)
        assert split.encoded(name) == picture(number)
        assert split.objects(name) == (f"thing {number}",) * (number % 3)
    assert "image 25" not in split
    with pytest.raises(KeyError):
        split.image("image 25")


def test_streaming_goes_over_all_images_in_order(folder):
    split = shards.ImageShards(folder)
    assert [len(shard.ids) for shard in split.shards()] == [10, 10, 5]
    streamed = [pair for shard in split.shards() for pair in shard.images()]
    assert [name for name, _ in streamed] == list(split.ids)
    assert [image.getpixel((0, 0))[0] for _, image in streamed] == list(range(25))


def test_triplets_come_back_equal(folder):
    assert shards.read_triplets(folder) == TRIPLETS


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (10, [10]), (11, [10, 1])])
def test_shard_bounds(tmp_path, small_groups, count, sizes):
    shards.write(tmp_path / "s", rows(count), [], {}, rows_per_shard=10)
    split = shards.ImageShards(tmp_path / "s")
    assert [len(shard.ids) for shard in split.shards()] == sizes
    assert [data for shard in split.shards() for _, data in shard.encoded()] == [
        picture(number) for number in range(count)
    ]


def test_hugging_face_datasets_sees_an_image_column(folder, tmp_path):
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(folder / "images-*.parquet"),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.features["objects"] == datasets.List(datasets.Value("string"))
    assert loaded[11]["image"].getpixel((0, 0)) == (11, 0, 7)
    assert loaded[11]["objects"] == ["thing 11", "thing 11"]


class Pixels:
    """The smallest map-style data set over shards."""

    def __init__(self, split):
        self.split = split

    def __len__(self):
        return len(self.split)

    def __getitem__(self, row):
        return np.asarray(self.split.image(self.split.ids[row]))[0, 0]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_it(folder, start):
    split = shards.ImageShards(folder)
    split.image("image 3")  # files are open and the cache is warm before the workers start
    loader = DataLoader(Pixels(split), batch_size=5, num_workers=2, multiprocessing_context=start)
    assert [int(red) for batch in loader for red in batch[:, 0]] == list(range(25))


def test_pickle_leaves_the_cache_behind(folder):
    split = shards.ImageShards(folder)
    cold = len(pickle.dumps(split))
    for name in split.ids:
        split.image(name), split.objects(name)
    assert len(pickle.dumps(split)) == cold
    assert pickle.loads(pickle.dumps(split)).objects("image 4") == ("thing 4",)


def test_cache_keeps_to_its_bytes(tmp_path):
    data = np.random.default_rng(0).bytes(1 << 18)  # 4 to a row group
    shards.write(tmp_path / "s", ((f"{i}", data, ()) for i in range(40)), [], {})
    split = shards.ImageShards(tmp_path / "s", cache_bytes=3 << 20)
    before = pa.total_allocated_bytes()
    for name in split.ids:
        assert split.encoded(name) == data
        assert pa.total_allocated_bytes() - before < 5 << 20


def test_writing_consumes_its_rows_as_a_stream(tmp_path):
    """Memory does not grow with the rows: 64 MiB pass, and a few stay."""

    def many():
        for number in range(64):
            yield f"{number}", bytes([number]) * (1 << 20), ()

    tracemalloc.start()
    before = pa.total_allocated_bytes()
    shards.write(tmp_path / "s", many(), [], {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert pa.total_allocated_bytes() - before < 8 << 20


def test_same_rows_same_bytes(tmp_path, small_groups):
    for name in "ab":
        shards.write(tmp_path / name, rows(25), TRIPLETS, {"seed": 1}, rows_per_shard=10)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_failed_write_leaves_the_old_split(folder):
    def failing():
        yield from rows(12)
        raise UserError("image 12 is empty")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="image 12"):
        shards.write(folder, failing(), [], {}, rows_per_shard=10)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_caller_that_mixes_up_ids_is_stopped(tmp_path):
    with pytest.raises(AssertionError, match="comes twice"):
        shards.write(tmp_path / "s", [*rows(2), *rows(1)], [], {})
    with pytest.raises(AssertionError, match="triplet a"):
        shards.write(tmp_path / "s", rows(2), TRIPLETS, {})
    assert not (tmp_path / "s").exists()


def test_triplets_of_other_images_are_refused(folder, tmp_path):
    shards.write(tmp_path / "fewer", rows(1), [], {})
    (folder / "triplets.parquet").replace(tmp_path / "fewer" / "triplets.parquet")
    with pytest.raises(UserError, match=r"names 2 images .* image 1, image 2"):
        shards.read_triplets(tmp_path / "fewer")


def test_what_is_no_split_is_a_sentence(folder, tmp_path):
    with pytest.raises(UserError, match=r"no images in .*nowhere"):
        shards.ImageShards(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no triplets in .*nowhere"):
        shards.read_triplets(tmp_path / "nowhere")
    path = folder / "images-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"images-00001\.parquet cannot be read"):
        shards.ImageShards(folder)
    pq.write_table(pa.table({"name": ["x"]}), path)
    with pytest.raises(UserError, match=r"images-00001\.parquet has no column id"):
        shards.ImageShards(folder)
