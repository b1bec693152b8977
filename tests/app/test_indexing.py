"""Test indexing: nothing is encoded twice, lost, or left behind in the store."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cir.app.indexing import index
from cir.app.stores import Filter, StoreInfo, content_id
from cir.app.stores.edge import EdgeStore
from cir.core.errors import UserError
from cir.datasets.sources import FolderSource, Problem
from cir.images import decoding as images
from tests.helpers import ROOT
from tests.helpers.fake_search_model import COLOURS, DIM, FakeSearchModel, plain

pytestmark = pytest.mark.recipes


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path, photos):
    with open_store(tmp_path, photos) as opened:
        yield opened


def open_store(tmp_path, photos):
    info = StoreInfo(FakeSearchModel().fingerprint(), DIM, FolderSource(photos).name)
    return EdgeStore.open(tmp_path / "store", info)


def save(path, number, form=None, **options):
    """Return an image that differs for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (number * 37 % 256, number * 91 % 256, number % 256)
    plain(colour, (20, 10)).save(path, form, **options)
    return path


def run(photos, store, model=None, tags=None, **options):
    return index(FolderSource(photos, tags), model or FakeSearchModel(), store, **options)


def counts(report):
    return report.indexed, report.unchanged, report.moved, report.removed, len(report.unreadable)


def by_path(store):
    """Map each path to its image; fail if two images have the same path."""
    found = {}
    for image in store.images():
        for path in image.paths:
            assert path not in found, f"{path} is indexed twice"
            found[path] = image
    return found


def assert_holds_exactly(store, photos):
    """Assert that the store has each image of the folder once, with the right vector."""
    found, model = by_path(store), FakeSearchModel()
    assert sorted(found) == [image.path for image in FolderSource(photos).listed()]
    assert store.count() == len(set(found.values()))
    for path, image in found.items():
        data = (photos / path).read_bytes()
        picture = images.decode(data, path)
        assert image.id == content_id(data)
        assert (image.bytes, image.width, image.height) == (len(data), *picture.size)
        expected = model.encode_pixels(model.preprocess(picture)[None])[0]
        np.testing.assert_allclose(store.vectors([image.id])[image.id], expected, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (4, 3), (100, 2)])
def test_all_formats_are_indexed_and_a_second_run_does_nothing(photos, store, batch_size, workers):
    names = ("a.jpg", "b.PNG", "sub/c.bmp", "sub/d.webp", "e.gif", "sub/er/f.jpeg", "g.jpg")
    for number, name in enumerate(names):
        save(photos / name, number)
    (photos / "notes.txt").write_text("no image")
    model = FakeSearchModel()
    report = run(photos, store, model, batch_size=batch_size, workers=workers)
    assert counts(report) == (7, 0, 0, 0, 0)
    assert model.encoded_images == 7
    assert max(model.batches) <= batch_size
    assert_holds_exactly(store, photos)
    again = FakeSearchModel()
    assert counts(run(photos, store, again)) == (0, 7, 0, 0, 0)
    assert again.encoded_images == 0
    assert store.count(Filter(folder="sub")) == 3


def test_orientation_first_frame_and_dates(photos, store):
    turned = plain("red", (40, 20))
    exif = turned.getexif()
    exif[0x0112] = 6  # the picture is turned by 90 degrees
    exif.get_ifd(0x8769)[0x9003] = "2001:09:09 01:46:40"
    turned.save(photos / "turned.jpg", exif=exif)
    frames = [plain("blue"), plain("yellow")]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    os.utime(photos / "moving.gif", (5e8, 5e8))
    run(photos, store)
    found = by_path(store)
    assert (found["turned.jpg"].width, found["turned.jpg"].height) == (20, 40)
    assert found["turned.jpg"].date == 1e9
    assert found["moving.gif"].date == 5e8
    (hits,) = store.search(FakeSearchModel().encode_texts(["blue"]), 1)
    assert hits[0].image.paths == ("moving.gif",)
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    os.utime(photos / "moving.gif", (6e8, 6e8))
    os.utime(photos / "turned.jpg", (6e8, 6e8))
    model = FakeSearchModel()
    assert counts(run(photos, store, model)) == (0, 2, 0, 0, 0)
    assert model.encoded_images == 0
    found = by_path(store)
    assert (found["turned.jpg"].date, found["moving.gif"].date) == (1e9, 6e8)


def test_copies_moves_changes_and_removals_cost_no_embedding_but_of_what_is_new(photos, store):
    for number in range(6):
        save(photos / f"{number}.png", number)
    (photos / "copies").mkdir()
    (photos / "copies" / "zero.png").write_bytes((photos / "0.png").read_bytes())
    model = FakeSearchModel()
    assert counts(run(photos, store, model)) == (6, 0, 0, 0, 0)
    assert model.encoded_images == 6
    assert by_path(store)["0.png"].paths == ("0.png", "copies/zero.png")

    (photos / "0.png").unlink()  # its copy remains
    (photos / "1.png").rename(photos / "copies" / "one.png")
    (photos / "another.png").write_bytes((photos / "2.png").read_bytes())
    save(photos / "3.png", 33)  # the content is new
    (photos / "4.png").unlink()
    model = FakeSearchModel()
    assert counts(run(photos, store, model)) == (1, 1, 3, 2, 0)
    assert model.encoded_images == 1
    assert_holds_exactly(store, photos)
    assert by_path(store)["2.png"].paths == ("2.png", "another.png")


def test_tags_are_brought_up_to_date(photos, store, tmp_path):
    save(photos / "a.png", 1)
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes())
    save(photos / "c.png", 2)
    tags = tmp_path / "tags.csv"
    tags.write_text("file,tag\na.png,dog\nb.png,cat\nc.png,dog\n")
    run(photos, store, tags=tags)
    assert store.tags(5) == [("dog", 2), ("cat", 1)]
    tags.write_text("file,tag\nc.png,bird\n")
    model = FakeSearchModel()
    assert counts(run(photos, store, model, tags=tags)) == (0, 2, 0, 0, 0)
    assert model.encoded_images == 0
    assert store.tags(5) == [("bird", 1)]


def test_a_source_that_knows_no_tags_leaves_them_as_they_are(photos, store, tmp_path):
    save(photos / "a.png", 1)
    tags = tmp_path / "tags.csv"
    tags.write_text("file,tag\na.png,dog\n")
    run(photos, store, tags=tags)
    (photos / "a.png").rename(photos / "moved.png")
    save(photos / "b.png", 2)
    assert counts(run(photos, store)) == (1, 0, 1, 0, 0)
    found = by_path(store)
    assert (found["moved.png"].tags, found["b.png"].tags) == (("dog",), ())
    tags.write_text("file,tag\n")
    run(photos, store, tags=tags)
    assert store.tags(5) == []


def test_an_image_that_takes_more_memory_than_there_is(photos, store):
    class Small(FakeSearchModel):
        def preprocess(self, image):
            if image.width > 100:
                raise MemoryError
            return super().preprocess(image)

    save(photos / "a.png", 1)
    plain("red", (101, 10)).save(photos / "b.png")
    report = run(photos, store, Small())
    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.unreadable == ("image b.png needs more memory to decode than there is",)


def test_every_unreadable_file_is_named_and_the_others_are_indexed(photos, store):
    save(photos / "fine.png", 1)
    broken = {
        "cut.png": (photos / "fine.png").read_bytes()[:40],
        "empty.jpg": b"",
        "text.jpg": b"dear diary",
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "sub/text again.jpg": b"dear diary",
    }
    (photos / "sub").mkdir()
    for name, data in broken.items():
        (photos / name).write_bytes(data)
    Image.new("1", (20_000, 20_000)).save(photos / "bomb.png")
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"\xff\xd8\xff broken")
    (photos / "out.jpg").symlink_to("/etc/passwd")
    model = FakeSearchModel()
    report = run(photos, store, model, batch_size=3)
    assert (report.indexed, store.count(), model.encoded_images) == (1, 1, 1)
    named = {*broken, "bomb.png", r"caf\udce9.jpg", "out.jpg"}
    assert len(report.unreadable) == len(named)
    for name in named:
        told = [s for s in report.unreadable if name in s.split(" has the content of ")[0]]
        assert len(told) == 1, name
    assert any("bomb.png is too large" in sentence for sentence in report.unreadable)
    assert counts(run(photos, store)) == (0, 1, 0, 0, len(named))


def test_an_image_that_breaks_is_removed_and_told(photos, store):
    for number in range(3):
        save(photos / f"{number}.png", number)
    run(photos, store)
    (photos / "1.png").write_bytes(b"broken now")
    assert counts(run(photos, store)) == (0, 2, 0, 1, 1)
    assert sorted(by_path(store)) == ["0.png", "2.png"]


class Hiding(FolderSource):
    """A folder with a part that cannot be read this time."""

    def listed(self):
        shown = [image for image in super().listed() if not image.path.startswith("away/")]
        self.problems = (Problem("away", "away cannot be read: Input/output error", True),)
        yield from shown

    def read(self, path):
        if path == "locked.png":
            raise UserError("locked.png cannot be read: Permission denied")
        return super().read(path)


def test_what_cannot_be_looked_at_this_time_stays(photos, store):
    for number, name in enumerate(("a.png", "away/b.png", "away/deep/c.png", "locked.png")):
        save(photos / name, number)
    (photos / "d.png").write_bytes((photos / "away" / "b.png").read_bytes())
    run(photos, store)
    (photos / "a.png").unlink()
    report = index(Hiding(photos), FakeSearchModel(), store)
    assert counts(report) == (0, 3, 0, 1, 2)
    kept = ["away/b.png", "away/deep/c.png", "d.png", "locked.png"]
    assert sorted(by_path(store)) == kept
    assert counts(run(photos, store)) == (0, 3, 0, 0, 0)


def test_an_empty_folder_empties_the_store_only_if_told(photos, store):
    with pytest.raises(UserError, match=r"there are no images in folder:\S+$"):
        run(photos, store)
    for number in range(3):
        save(photos / f"{number}.png", number)
    run(photos, store)
    for path in photos.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="the store has 3 from there: if a disk is missing"):
        run(photos, store)
    assert store.count() == 3
    assert counts(run(photos, store, allow_empty=True)) == (0, 0, 0, 3, 0)
    assert store.count() == 0


class Directionless(FakeSearchModel):
    """Encodes black images as zeros and white images as NaN."""

    def encode_pixels(self, pixels):
        vectors = super().encode_pixels(pixels)
        vectors[pixels.max(axis=(1, 2, 3)) == 0] = 0
        vectors[pixels.min(axis=(1, 2, 3)) == 255] = np.nan
        return vectors


def test_images_without_a_direction_are_named(photos, store):
    for colour in ("black", "white", "red"):
        plain(colour).save(photos / f"{colour}.png")
    report = run(photos, store, Directionless())
    assert counts(report) == (1, 0, 0, 0, 2)
    assert [sentence.split()[1] for sentence in report.unreadable] == ["black.png", "white.png"]
    assert "without a direction" in report.unreadable[0]


def test_batches_are_of_the_model_s_size_unless_one_is_given(photos, store):
    for number in range(7):
        save(photos / f"{number}.png", number)
    model = FakeSearchModel()
    model.batch_size = 3
    run(photos, store, model)
    assert sorted(model.batches) == [1, 3, 3]


def test_a_large_photograph_is_decoded_smaller_and_recorded_as_it_is(photos, store, monkeypatch):
    halves = Image.new("RGB", (400, 300), (200, 40, 90))
    halves.paste((20, 160, 60), (0, 150, 400, 300))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    halves.save(photos / "large.jpg", exif=exif, quality=95)
    model, seen = FakeSearchModel(), []
    prepare = model.preprocess
    model.preprocess = lambda image: seen.append(image.size) or prepare(image)
    assert run(photos, store, model).indexed == 1
    (image,) = store.images()
    assert seen == [(38, 50)]  # the shorter side keeps the 32 pixels that the model asks for
    assert (image.width, image.height) == (300, 400)
    whole = images.decode(photos / "large.jpg", "large.jpg")
    (vector,) = model.encode_pixels(prepare(whole)[None])
    assert store.vectors([image.id])[image.id] @ vector > 0.999


def test_large_files_come_in_smaller_batches(photos, store, monkeypatch):
    monkeypatch.setattr("cir.app.indexing._BATCH_BYTES", 2_000)
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(photos / f"{number}.bmp")
    model = FakeSearchModel()
    run(photos, store, model)
    assert sorted(model.batches) == [2, 3, 3]  # each file has 822 bytes


KILLED = """
import json, os, sys
from pathlib import Path
from cir.datasets.sources import FolderSource
from cir.app.indexing import index
from cir.app.stores import StoreInfo
from cir.app.stores.edge import EdgeStore
from tests.helpers.fake_search_model import DIM, FakeSearchModel

def run(folder, photos, method, number):
    model = FakeSearchModel(seconds=0.01)
    source = FolderSource(photos)
    store = EdgeStore.open(Path(folder), StoreInfo(model.fingerprint(), DIM, source.name))
    calls = 0

    def counted(*arguments, write=getattr(store, method)):
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), 9)
        write(*arguments)

    setattr(store, method, counted)
    index(source, model, store, batch_size=4)

for arguments in json.loads(sys.argv[1]):
    child = os.fork()  # the library takes seconds to import
    if child == 0:
        run(*arguments)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def grow_and_change(photos):
    """Index ten images, move one, remove three, and add 31."""
    for image in range(3):
        (photos / f"old/{image}.png").unlink()
    (photos / "old/3.png").rename(photos / "moved.png")
    for image in range(20, 50):
        save(photos / f"new/{image}.png", image)
    (photos / "copy.png").write_bytes((photos / "new/20.png").read_bytes())


# The process is killed after half of the new images, before it updates the moved image, or before
# it removes images. The last number of each is the count of images in the store at that time.
KILLS = [("upsert", 4, 10 + 12), ("update", 1, 10 + 30), ("delete", 1, 10 + 30)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return folders in which an indexing process was killed."""
    places, arguments = {}, []
    for method, number, _ in KILLS:
        place = tmp_path_factory.mktemp(method)
        for image in range(10):
            save(place / f"photos/old/{image}.png", image)
        with open_store(place, place / "photos") as store:
            run(place / "photos", store)
        grow_and_change(place / "photos")
        places[method] = place
        arguments.append([str(place / "store"), str(place / "photos"), method, number])
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ran.stdout.split() == [str(-signal.SIGKILL)] * len(KILLS), ran.stderr
    return places


@pytest.mark.parametrize(("method", "number", "written"), KILLS)
def test_a_killed_run_is_continued_with_nothing_twice_or_lost(killed, method, number, written):
    photos = killed[method] / "photos"
    with open_store(killed[method], photos) as store:
        assert store.count() == written
        model = FakeSearchModel()
        report = run(photos, store, model)
        assert model.encoded_images == report.indexed == 40 - written
        assert report.removed == 3
        assert_holds_exactly(store, photos)
        assert counts(run(photos, store)) == (0, 37, 0, 0, 0)


def test_a_store_that_fails_ends_the_run_with_a_sentence(photos, tmp_path):
    for number in range(20):
        save(photos / f"{number}.png", number)
    store = open_store(tmp_path, photos)
    write = store.upsert

    def failing(found, vectors):
        write(found, vectors)
        store.close()

    store.upsert = failing
    with pytest.raises(UserError, match="fails: "):
        run(photos, store, batch_size=4)
    with open_store(tmp_path, photos) as again:
        assert again.count() == 4
        assert run(photos, again).indexed == 16


def test_the_fake_model_finds_colours_by_name(photos, store):
    """Other tests need an image of a colour to be nearest to the colour's name."""
    for colour in COLOURS:
        plain(colour).save(photos / f"{colour}.png")
    model = FakeSearchModel()
    run(photos, store, model)
    for colour, hits in zip(
        COLOURS, store.search(model.encode_texts(list(COLOURS)), 2), strict=True
    ):
        names = [hit.image.paths[0].removesuffix(".png") for hit in hits if hit.score > 0.999]
        assert colour in names
    image = next(store.images())
    assert replace(image, tags=("x",)) != image
