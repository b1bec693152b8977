"""The walk through a folder: what counts as an image, and how the rest is counted."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.images import walk
from cir.images.decoding import FORMATS, decode


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")


def test_a_folder_is_sorted_as_a_tree_and_the_rest_has_its_reason(tmp_path):
    put(tmp_path, "a-b/x.jpg", "a/y.PNG", "a/@eaDir/y.PNG/SYNOPHOTO_THUMB_M.jpg", "z.jfif")
    put(tmp_path, "a/._y.PNG", "SYNOPHOTO_THUMB_S.jpg", "a/data.csv", "notes.txt", "b.DnG")
    put(tmp_path, "~snapshot/y.PNG", "a/TrashBox/y.PNG")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "lost.png").symlink_to("nowhere")
    found = walk.walk(tmp_path, known=("a/data.csv",))
    assert found.images == ["a/y.PNG", "a-b/x.jpg", "z.jfif"]
    assert found.left_out == {
        walk.HIDDEN: ["a/._y.PNG"],
        walk.SYSTEM: ["SYNOPHOTO_THUMB_S.jpg", "~snapshot", "a/@eaDir", "a/TrashBox"],
        walk.NO_IMAGE: ["notes.txt"],
        walk.FORMAT: ["b.DnG"],
        walk.NO_FILE: ["pipe.jpg"],
        walk.NOTHING: ["lost.png"],
    }
    assert found.named(walk.NOTHING, walk.HIDDEN) == ["lost.png", "a/._y.PNG"]
    assert found.sentence((walk.HIDDEN, walk.SYSTEM)) == (
        "left out: 1 links to nothing (lost.png); 1 neither a file nor a folder (pipe.jpg); 1 of a "
        "format that is not read (b.DnG); 1 without the suffix of an image (notes.txt)"
    )
    assert walk.Found(images=["a.jpg"]).sentence() is None


def test_a_flat_walk_counts_folders(tmp_path):
    put(tmp_path, "a.jpg", "inner/b.jpg")
    found = walk.walk(tmp_path, deep=False)
    assert (found.images, found.left_out) == (["a.jpg"], {walk.BELOW: ["inner"]})


def test_links_are_followed_as_far_as_is_asked(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    put(inside, "a.jpg", "sub/b.jpg")
    put(outside, "c.jpg", "deep/d.jpg")
    (inside / "file.jpg").symlink_to(outside / "c.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "same").symlink_to("sub")
    (outside / "back").symlink_to(inside)
    images = {beyond: walk.walk(inside, beyond).images for beyond in ("none", "files", "all")}
    assert images == {
        "none": ["a.jpg", "sub/b.jpg"],
        "files": ["a.jpg", "file.jpg", "sub/b.jpg"],
        "all": ["a.jpg", "file.jpg", "folder/c.jpg", "folder/deep/d.jpg", "sub/b.jpg"],
    }
    assert walk.walk(inside, "none").named(walk.OUTSIDE) == ["file.jpg", "folder"]
    assert walk.walk(inside, "none").named(walk.FOLDER_LINK) == ["same"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = walk.walk(tmp_path)
    assert (found.images, found.errors) == (["a.jpg"], {"locked": "Permission denied"})


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="gone cannot be read: No such file or directory"):
        walk.walk(tmp_path / "gone")


def test_every_suffix_of_a_decodable_format_is_taken(tmp_path):
    suffixes = {s for s, form in Image.registered_extensions().items() if form in FORMATS}
    assert {".jpg", ".jfif", ".tiff", ".webp", ".pgm", ".jp2", ".bmp", ".gif"} <= suffixes
    for suffix in suffixes - {".pfm"}:
        path = Path(tmp_path, f"a{suffix}")
        grey = suffix in (".pgm", ".pbm")
        Image.new("L" if grey else "RGB", (9, 7), 200).save(path, Image.EXTENSION[suffix])
        assert walk.is_image_name(path.name)
        assert decode(path, path.name).size == (9, 7)
    assert not any(map(walk.is_image_name, ("a.dng", "a.pfm", "a.pdf", "jpg", "a.jpg.txt")))
