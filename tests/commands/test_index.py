"""Index folders with cir index, and read what it prints."""

import argparse
import json
import os
from pathlib import Path

import pytest

from cir.app import indexing, libraries, search_model, serving
from cir.app.stores import open_store, read_info
from cir.commands import index as index_command
from cir.core.errors import UserError
from cir.images import decoding as images
from cir.images import shards
from tests.helpers.fake_search_model import FakeSearchModel, plain


@pytest.fixture(autouse=True)
def model(monkeypatch, tmp_path):
    """Replace the model by a fake one, and work in a folder that holds only models."""
    model = FakeSearchModel()

    def load(folder):
        model.loaded.append(str(folder))
        return model

    monkeypatch.setattr(search_model, "load", load)
    monkeypatch.delenv("CIR_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    model.loaded = []
    for name in ("text_search", "photos"):
        (tmp_path / "models" / name).mkdir(parents=True)
    return model


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        plain(colour).save(folder / f"{colour}.png")
    return folder


def answer(*arguments):
    parser = argparse.ArgumentParser()
    index_command.add_command(parser.add_subparsers(required=True))
    options = parser.parse_args(["index", *map(str, arguments)])
    return options.run(options)


def test_each_folder_has_a_store_of_its_own(photos, tmp_path, capsys):
    holiday, other = tmp_path / "my holiday", tmp_path / "else" / "my holiday"
    for number, folder in enumerate((holiday, other)):
        folder.mkdir(parents=True)
        plain((9, 9, number)).save(folder / "a.png")
    answer(photos)
    assert "note" not in capsys.readouterr().err
    assert answer(holiday).startswith(".search-my-holiday: 1 indexed")
    assert f"note: .search holds the images of folder:{photos}" in capsys.readouterr().err
    assert answer(other).startswith(".search-my-holiday-2: 1 indexed")
    assert answer(photos).startswith(".search: 0 indexed, 3 unchanged")
    assert answer(holiday).startswith(".search-my-holiday: 0 indexed, 1 unchanged")
    sources = {place: info.source for place, info in libraries.stores_here().items()}
    assert sources == {
        ".search": f"folder:{photos}",
        ".search-my-holiday": f"folder:{holiday}",
        ".search-my-holiday-2": f"folder:{other}",
    }
    other.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"several stores here \(.*say by --store"):
        answer(tmp_path / "moved", "--moved")


def test_a_folder_is_watched(photos, monkeypatch, capsys):
    def looks(source, stopping):
        yield
        plain("yellow").save(photos / "yellow.png")
        yield
        for image in photos.iterdir():
            image.unlink()
        yield
        assert next(iter(source().listed()), None) is None
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing, "changes", looks)
    assert answer(photos, "--watch") == "stopped watching after 3 runs"
    told = capsys.readouterr().err
    assert ".search: 3 indexed" in told
    assert f"watching {photos} (stop with Ctrl-C)" in told
    assert ".search: 1 indexed, 3 unchanged" in told
    assert f"not indexed: there are no images in folder:{photos}" in told
    with open_store(".search", None) as store:
        assert store.count() == 4
    with pytest.raises(UserError, match="there are no images in"):
        answer(photos, "--watch")


def test_what_is_no_store_is_left_alone(photos, tmp_path, capsys):
    Path(".search").mkdir()
    Path(".search", "notes.txt").write_text("mine")
    assert answer(photos).startswith(".search-photos: 3 indexed")
    assert "note: .search is not a store" in capsys.readouterr().err
    assert [path.name for path in Path(".search").iterdir()] == ["notes.txt"]


def test_a_folder_is_indexed_into_the_default_store(photos, model):
    said = answer(photos)
    assert said == (".search: 3 indexed, 0 unchanged, 0 moved, 0 removed; 3 images can be searched")
    with open_store(".search", None) as store:
        assert store.info.fingerprint == model.fingerprint()
        assert store.info.source == f"folder:{photos}"
        (hits,) = store.search(model.encode_texts(["green"]), 1)
        assert hits[0].image.paths == ("green.png",)
    assert "0 indexed, 3 unchanged" in answer(photos)


def test_a_library_that_moved_is_not_encoded_again(photos, model):
    answer(photos, "--tags", tags_of(photos))
    encoded = model.encoded_images
    there = photos.parent / "disk" / "library"
    there.parent.mkdir()
    photos.rename(there)
    (there / "blue.png").rename(there / "sea.png")
    plain("yellow").save(there / "yellow.png")
    with pytest.raises(UserError, match="if it is the same folder in a new place, give --moved"):
        answer(there)
    said = answer(there, "--moved")
    assert said.startswith(".search: 1 indexed, 2 unchanged, 1 moved, 0 removed; 4 images")
    assert model.encoded_images == encoded + 1
    with open_store(".search", None) as store:
        assert store.info.source == f"folder:{there}"
        found = {image.paths[0]: image.tags for image in store.images()}
    assert found == {"red.png": ("warm",), "green.png": (), "sea.png": (), "yellow.png": ()}
    assert "0 indexed, 4 unchanged" in answer(there)


def tags_of(photos):
    path = photos.parent / "tags.csv"
    path.write_text("file,tag\nred.png,warm\n")
    return path


def test_a_store_within_the_folder_is_none_of_its_images(photos, monkeypatch):
    monkeypatch.setenv("CIR_MODELS", str(photos.parent / "models"))
    monkeypatch.chdir(photos)
    answer(".")
    assert "0 indexed, 3 unchanged, 0 moved, 0 removed;" in answer(".")


def test_unreadable_files_are_named_at_the_end(photos, capsys):
    (photos / "broken.jpg").write_bytes(b"none")
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes(b"neither")
    said = answer(photos, "--store", "mine", "--batch-size", "2")
    assert said.startswith("mine: 3 indexed")
    assert "2 unreadable; 3 images can be searched" in said
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" has ")[0] for line in lines[-2:]] == [
        "not indexed: image broken.jpg",
        r"not indexed: image caf\udce9.png",
    ]


def test_tags_and_another_model(photos, monkeypatch):
    (photos / "tags.csv").write_text("file,tag\nred.png,warm\n")
    answer(photos, "--tags", photos / "tags.csv")
    with open_store(".search", None) as store:
        assert store.tags(5) == [("warm", 1)]
    monkeypatch.setattr(search_model, "load", lambda folder: FakeSearchModel("other"))
    with pytest.raises(UserError, match=r"the store \.search holds .*fake-colours.*fake-other"):
        answer(photos)
    with pytest.raises(UserError, match=r"the file none\.csv, which does not exist"):
        answer(photos, "--tags", "none.csv")


def test_a_store_remembers_its_model(photos, model, tmp_path):
    answer(photos)
    answer(photos, "--store", "mine", "--model", "photos")
    answer(photos)
    answer(photos, "--store", "mine")
    text_search, named = str(tmp_path / "models" / "text_search"), "models/photos"
    assert model.loaded == ["models/text_search", named, text_search, str(tmp_path / named)]
    with open_store("mine", None) as store:
        assert store.info.model == str(tmp_path / "models" / "photos")


def test_a_model_that_was_moved_is_found_by_its_name_and_noted(photos, model, tmp_path):
    answer(photos, "--model", "photos")
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    answer(photos, "--models", tmp_path / "elsewhere")
    assert read_info(".search").model == str(tmp_path / "elsewhere" / "photos")
    answer(photos)
    assert model.loaded[1:] == [str(tmp_path / "elsewhere" / "photos")] * 2


def test_a_model_that_is_gone_is_a_sentence(photos, tmp_path):
    answer(photos, "--model", "photos")
    (tmp_path / "models" / "photos").rmdir()
    gone = rf"the store \.search was made with the model in {tmp_path}/models/photos, which is gone"
    with pytest.raises(UserError, match=f"{gone}: get it again with cir models get photos, or"):
        answer(photos)
    answer(photos, "--store", "mine")
    (tmp_path / "models" / "text_search").rmdir()
    with pytest.raises(UserError, match="text_search, which is gone: index the images again"):
        answer(photos, "--store", "mine")


def test_a_store_from_before_names_no_model(photos, model):
    answer(photos)
    written = json.loads(Path(".search", "store.json").read_text())
    del written["model"]
    Path(".search", "store.json").write_text(json.dumps(written))
    answer(photos)
    assert model.loaded == ["models/text_search"] * 2
    assert Path(read_info(".search").model).name == "text_search"


def test_shards_are_indexed_by_their_ids(tmp_path):
    rows = [
        (colour, images.encode(plain(colour)), (f"{colour} mug",)) for colour in ("red", "blue")
    ]
    shards.write(tmp_path / "test", rows, [], {})
    assert "2 indexed" in answer(tmp_path / "test")
    with open_store(".search", None) as store:
        assert store.info.source == f"shards:{tmp_path / 'test'}"
        assert sorted(image.paths for image in store.images()) == [("blue",), ("red",)]
        assert store.tags(5) == [("blue mug", 1), ("red mug", 1)]


def test_an_emptied_folder(photos):
    answer(photos)
    for path in photos.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="--allow-empty"):
        answer(photos)
    assert "3 removed; 0 images can be searched" in answer(photos, "--allow-empty")


def test_what_was_left_out_is_counted_in_one_sentence(photos, capsys):
    (photos / "red.png").rename(photos / "red.jfif")
    for name in ("a.DNG", ".DS_Store", "notes.txt"):
        (photos / name).touch()
    assert "3 indexed" in answer(photos)
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert told == [
        "left out: 1 hidden (.DS_Store); 1 of a format that is not read (a.DNG); 1 without the "
        "suffix of an image (notes.txt)"
    ]


def test_links_out_of_the_folder_are_followed_on_request(photos, capsys, model):
    """As in a folder that DVC tracks with links into its cache."""
    links = photos.parent / "links"
    links.mkdir()
    for path in photos.iterdir():
        (links / path.name).symlink_to(path)
    plain("black").save(links / "black.png")
    assert "1 indexed" in answer(links)
    assert (
        "red.png is a link that leads out of the folder and is refused" in capsys.readouterr().err
    )
    assert "3 indexed, 1 unchanged" in answer(links, "--follow-links")
    with open_store(".search", None) as store:
        assert store.info.source == f"links:{links}"
    with serving._store_and_source(".search", model, Path("models"), links, None) as (
        store,
        source,
    ):
        assert (store.count(), source.name) == (4, f"links:{links}")  # as --index of cir serve
    assert "3 removed, 3 unreadable; 1 images" in answer(links)


def test_a_folder_without_images_says_what_it_holds(tmp_path, photos):
    (tmp_path / "phone").mkdir()
    for name in ("a.DNG", ".nomedia"):
        (tmp_path / "phone" / name).write_bytes(b"")
    (tmp_path / "phone" / "red.png").symlink_to(photos / "red.png")
    sentence = (
        r"red.png is a link .* refused \(--follow-links follows such links\); "
        r"left out: 1 hidden \(.nomedia\); 1 of a format that is not read \(a.DNG\)$"
    )
    with pytest.raises(UserError, match=sentence):
        answer(tmp_path / "phone")


def test_wrong_options(photos, capsys):
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(SystemExit):
            answer(photos, "--batch-size", wrong)
        assert "expected a whole number from 1 upwards" in capsys.readouterr().err
    with pytest.raises(UserError, match="is not a folder of images"):
        answer(photos / "red.png")
