"""Where the images of a search are: a user's folder with all that may lie in it, or shards."""

import io
import os
import struct
import threading
from pathlib import Path

import pytest

from cir.core.errors import UserError
from cir.core.tables import printable
from cir.datasets.exif_dates import taken
from cir.datasets.folder import LARGEST
from cir.datasets.sources import FolderSource, Listed, ShardSource, find_source, open_source
from cir.images import decoding as images
from cir.images import shards
from tests.helpers import encoders
from tests.helpers.fake_search_model import plain


def put(folder, *names, data=b"an image"):
    for name in names:
        path = Path(folder, os.fsdecode(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def paths(source):
    return [image.path for image in source.listed()]


def test_images_are_listed_by_suffix_at_any_depth_sorted_by_path(tmp_path):
    names = ["b.jpg", "a.JPEG", "a/z.Png", "a-b.webp", "a/deep/er/x.gif", "y.bmp", "ü 北 .jpg"]
    names += ["c.jfif", "d.tiff", "e.jp2", "thumbs/f.jpg"]
    others = [".hidden.jpg", ".git/a.jpg", "a/.b/c.png", "d.svg", "e.txt", "jpg", "f.jpg.txt", "g."]
    others += [
        "h.DNG",
        "a/@eaDir/z.Png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/i.jpg",
        "Thumbs/j.jpg",
    ]
    others += [".Trash-1000/k.jpg", "Thumbs.db"]
    put(tmp_path, *names, *others)
    (tmp_path / "folder.jpg").mkdir()
    source = FolderSource(tmp_path)
    found = {image.path: image for image in source.listed()}
    assert list(found) == sorted(names)
    assert source.problems == ()
    assert source.left_out == (
        "left out: 4 hidden (.Trash-1000, .git, .hidden.jpg and 1 more); 4 of a system, such as "
        "thumbnails and bins ($RECYCLE.BIN, Thumbs, Thumbs.db and 1 more); 4 without the suffix of "
        "an image (e.txt, f.jpg.txt, g. and 1 more); 2 of a format that is not read (d.svg, h.DNG)"
    )
    status = (tmp_path / "b.jpg").stat()
    assert found["b.jpg"] == Listed("b.jpg", status.st_size, status.st_mtime)
    assert source.read("a/deep/er/x.gif") == b"an image"
    assert source.name == f"folder:{tmp_path}"
    assert paths(open_source(source.name)) == sorted(names)


def test_names_that_are_no_utf8_are_listed_and_read(tmp_path):
    put(tmp_path, b"caf\xe9/\xff\xfe.jpg", b"new\nline.jpg")
    source = FolderSource(tmp_path)
    assert paths(source) == [os.fsdecode(b"caf\xe9/\xff\xfe.jpg"), "new\nline.jpg"]
    assert [source.read(path) for path in paths(source)] == [b"an image"] * 2
    assert printable(paths(source)[0]) == r"caf\udce9/\udcff\udcfe.jpg"
    assert printable("new\nline\x1b[2J.jpg") == r"new\nline\x1b[2J.jpg"


def test_links_inside_count_and_links_outside_are_refused(tmp_path):
    inside, outside = tmp_path / "photos", tmp_path / "private"
    put(inside, "a.jpg", "sub/b.jpg")
    put(outside, "secret.jpg")
    put(tmp_path, "photos-next-door/c.jpg")
    (inside / "copy.jpg").symlink_to("a.jpg")
    (inside / "sub" / "up.jpg").symlink_to("../a.jpg")
    (inside / "again").symlink_to("sub")
    (inside / "out.jpg").symlink_to(outside / "secret.jpg")
    (inside / "passwd.png").symlink_to("/etc/passwd")
    (inside / "out").symlink_to(outside)
    (inside / "sub" / "next").symlink_to("../../photos-next-door")
    (inside / "nothing.jpg").symlink_to("gone.jpg")
    source = FolderSource(inside)
    assert paths(source) == ["a.jpg", "copy.jpg", "sub/b.jpg", "sub/up.jpg"]
    assert source.read("sub/up.jpg") == b"an image"
    told = {problem.path: problem.sentence for problem in source.problems}
    assert told.keys() == {"out.jpg", "passwd.png", "out", "sub/next", "nothing.jpg"}
    assert told["nothing.jpg"] == "nothing.jpg is a link to nothing"
    assert all("leads out of the folder" in told[path] for path in told.keys() - {"nothing.jpg"})
    assert not any(problem.may_return for problem in source.problems)
    assert source.left_out == "left out: 1 links to folders (again)"
    for path in ("out.jpg", "passwd.png", "out/secret.jpg", "sub/next/c.jpg"):
        with pytest.raises(UserError, match="leads out of the folder and is refused"):
            source.read(path)


def test_links_that_lead_out_are_followed_if_asked(tmp_path):
    """As in a folder that DVC tracks with links into its cache."""
    inside, outside = tmp_path / "photos", tmp_path / "cache"
    put(inside, "a.jpg")
    put(outside, "0f/1234", "album/b.jpg", "album/deep/c.jpg")
    (inside / "tracked.jpg").symlink_to(outside / "0f" / "1234")
    (inside / "album").symlink_to(outside / "album")
    (inside / "again").symlink_to(outside / "album" / "deep")
    (inside / "above").symlink_to(tmp_path)
    (outside / "album" / "ring").symlink_to(outside / "album")
    (inside / "nothing.jpg").symlink_to(outside / "gone.jpg")
    source = find_source(inside, follow_links=True)
    assert source.name == f"links:{inside}"
    expected = ["a.jpg", "again/c.jpg", "album/b.jpg", "album/deep/c.jpg", "tracked.jpg"]
    assert paths(source) == expected
    assert [problem.path for problem in source.problems] == ["nothing.jpg"]
    assert open_source(source.name).read("album/deep/c.jpg") == b"an image"
    assert source.read("tracked.jpg") == b"an image"
    with pytest.raises(UserError, match="is not an image of the folder"):
        source.read("../cache/album/b.jpg")


def test_links_in_a_ring_are_survived(tmp_path):
    put(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "a" / "root").symlink_to("..")
    (tmp_path / "a" / "b").symlink_to("../b")
    (tmp_path / "b" / "a").symlink_to("../a")
    (tmp_path / "one.jpg").symlink_to("two.jpg")
    (tmp_path / "two.jpg").symlink_to("one.jpg")
    source = FolderSource(tmp_path)
    assert paths(source) == ["a/x.jpg", "b/y.jpg"]
    assert {problem.path for problem in source.problems} == {"one.jpg", "two.jpg"}
    with pytest.raises(UserError, match=r"one\.jpg"):
        source.read("one.jpg")


@pytest.mark.parametrize(
    "path",
    [
        "../private/secret.jpg",
        "sub/../../private/secret.jpg",
        "{outside}/secret.jpg",
        "/etc/passwd",
        "sub/./a.jpg",
        "sub//a.jpg",
        "./a.jpg",
        "",
        ".",
        "..",
        "a.jpg\0",
        "a.jpg/..",
        ".hidden/a.jpg",
        "notes.txt",
        "sub",
    ],
)
def test_a_path_that_was_not_listed_is_refused(tmp_path, path):
    inside, outside = tmp_path / "photos", tmp_path / "private"
    put(inside, "a.jpg", "sub/a.jpg", ".hidden/a.jpg", "notes.txt")
    put(outside, "secret.jpg")
    with pytest.raises(UserError, match="is not an image of the folder"):
        FolderSource(inside).read(path.format(outside=outside))


def test_a_folder_swapped_for_a_link_after_the_check_is_not_followed(tmp_path, monkeypatch):
    """Between resolving the path and opening the file, someone puts a link in its way."""
    inside, outside = tmp_path / "photos", tmp_path / "private"
    put(inside, "sub/a.jpg")
    put(outside, "a.jpg", data=b"secret")
    (inside / "link.jpg").symlink_to("sub/a.jpg")
    source = FolderSource(inside)
    assert source.read("link.jpg") == b"an image"
    real_inside = FolderSource._inside

    def swapping(self, path):
        found = real_inside(self, path)
        if not (inside / "sub").is_symlink():
            (inside / "sub").rename(inside / "old")
            (inside / "sub").symlink_to(outside)
        return found

    monkeypatch.setattr(FolderSource, "_inside", swapping)
    for path in ("link.jpg", "sub/a.jpg"):
        with pytest.raises(UserError, match=r"cannot be read: Not a dir|leads out of the folder"):
            source.read(path)


def test_what_is_no_file_or_too_large_or_gone(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    put(tmp_path, "a.jpg", "large.jpg")
    os.truncate(tmp_path / "large.jpg", LARGEST + 1)  # takes no room on the disk
    source = FolderSource(tmp_path)
    assert paths(source) == ["a.jpg", "large.jpg"]
    for name, reason in (
        ("pipe.jpg", "is not a file"),
        ("folder.jpg", "cannot be read: Is a directory"),
        ("large.jpg", "is larger than 256 MiB"),
        ("gone.jpg", "cannot be read: No such file"),
        ("a.jpg/b.jpg", "cannot be read: Not a directory"),
    ):
        with pytest.raises(UserError, match=reason):
            source.read(name)


def test_a_file_is_read_to_its_end_or_refused(tmp_path, monkeypatch):
    """The system may give less at a time than was asked for."""

    class Few(io.FileIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    put(tmp_path, "a.jpg", data=b"0123456789")
    monkeypatch.setattr(os, "fdopen", lambda opened, mode, buffering: Few(opened, mode))
    assert FolderSource(tmp_path).read("a.jpg") == b"0123456789"
    monkeypatch.setattr(Few, "read", lambda self, size: b"")
    with pytest.raises(UserError, match=r"a\.jpg became 10 bytes shorter while it was read"):
        FolderSource(tmp_path).read("a.jpg")


def test_a_folder_that_cannot_be_looked_into_is_told_and_may_return(tmp_path, monkeypatch):
    put(tmp_path, "a.jpg", "locked/b.jpg")
    scan = os.scandir

    def refusing(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)  # the suite may run as root, who sees all
    source = FolderSource(tmp_path)
    assert paths(source) == ["a.jpg"]
    (problem,) = source.problems
    assert problem.sentence == "locked cannot be read: Permission denied"
    assert problem.path == "locked"
    assert problem.may_return


def test_no_folder_and_no_such_kind(tmp_path):
    put(tmp_path, "a.jpg")
    for place in (tmp_path / "gone", tmp_path / "a.jpg"):
        with pytest.raises(UserError, match="is not a folder of images"):
            FolderSource(place)
    source = FolderSource(tmp_path)
    (tmp_path / "a.jpg").unlink()
    tmp_path.rmdir()
    with pytest.raises(UserError, match="cannot be read: No such file"):
        paths(source)
    for name in ("ftp:/a", "folder", "folder:", "/a"):
        with pytest.raises(
            UserError, match="expected images in folder:PLACE or links:PLACE or shards"
        ):
            open_source(name)


def test_tags_come_from_a_csv(tmp_path, capsys):
    put(tmp_path / "photos", "a.jpg", "sub/b.jpg", "c d.jpg")
    table = tmp_path / "tags.csv"
    rows = b'\xef\xbb\xbffile,tag\na.jpg,dog\n"c d.jpg","snow, night"\na.jpg, cat \na.jpg,dog\n'
    table.write_bytes(rows + b"gone.jpg,dog\ncaf\xe9.jpg,dog\n")
    source = FolderSource(tmp_path / "photos", table)
    assert {image.path: image.tags for image in source.listed()} == {
        "a.jpg": ("cat", "dog"),
        "c d.jpg": ("snow, night",),
        "sub/b.jpg": (),
    }
    said = capsys.readouterr().err
    assert "has tags of 2 files that are not images of the folder: caf\\udce9.jpg, gone.jpg" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no column file, tag: expected file, tag, got an empty file"),
        ("name,tag\na.jpg,dog\n", "has no column file: expected file, tag, got name, tag"),
        ("file,tag\na.jpg,dog\nb.jpg\n", "1 of 2 rows do not have the 2 values .*: 3"),
        ("file,tag\na.jpg, \n", "row 2: expected a file and a tag, got 'a.jpg, '"),
        ("file,tag\n,dog\n", "row 2: expected a file and a tag, got ',dog'"),
        ("file,tag\na.jpg,dog,cat\n", "1 of 1 rows do not .*: 2"),
        (None, "tags.csv does not exist"),
    ],
)
def test_a_bad_csv_of_tags_is_told(tmp_path, text, sentence):
    put(tmp_path / "photos", "a.jpg")
    if text is not None:
        (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(UserError, match=sentence):
        list(FolderSource(tmp_path / "photos", tmp_path / "tags.csv").listed())


@pytest.fixture
def folder_of_shards(tmp_path):
    rows = [
        (f"{colour}-{number}", images.encode(plain(colour)), ("red mug", "hat")[: number % 3])
        for number, colour in enumerate(("red", "blue", "green", "black"))
    ]
    shards.write(tmp_path / "test", rows, [], {})
    return tmp_path / "test"


def test_shards_are_a_source_with_ids_for_paths_and_objects_for_tags(folder_of_shards):
    source = ShardSource(folder_of_shards)
    found = {image.path: image for image in source.listed()}
    assert list(found) == ["black-3", "blue-1", "green-2", "red-0"]
    assert [image.tags for image in found.values()] == [(), ("red mug",), ("hat", "red mug"), ()]
    assert source.read("red-0") == images.encode(plain("red"))
    assert found["red-0"].bytes == len(source.read("red-0"))
    assert found["red-0"].date == (folder_of_shards / "images-00000.parquet").stat().st_mtime
    assert source.name == f"shards:{folder_of_shards}"
    for path in ("white-9", "../red-0", ""):
        with pytest.raises(UserError, match="the shards contain no image"):
            source.read(path)


def test_threads_may_share_shards(folder_of_shards):
    source = ShardSource(folder_of_shards)
    right = {image.path: source.read(image.path) for image in source.listed()}
    wrong = []

    def reading():
        wrong.extend(path for _ in range(20) for path in right if source.read(path) != right[path])

    threads = [threading.Thread(target=reading) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_folder_is_taken_for_what_it_holds(folder_of_shards, tmp_path):
    put(tmp_path / "photos", "a.jpg")
    assert isinstance(find_source(folder_of_shards), ShardSource)
    assert isinstance(find_source(tmp_path / "photos"), FolderSource)
    assert isinstance(open_source(f"shards:{folder_of_shards}"), ShardSource)
    with pytest.raises(UserError, match="leave --tags out"):
        find_source(folder_of_shards, tmp_path / "tags.csv")
    with pytest.raises(UserError, match="is not a folder of images"):
        find_source(tmp_path / "gone")


def with_exif(date, offset=None, form="JPEG"):
    image = plain("red")
    exif = image.getexif()
    exif[0x010F] = "a maker"  # without any of its own, Pillow leaves it out of a PNG
    inner = exif.get_ifd(0x8769)
    if date is not None:
        inner[0x9003] = date
    if offset is not None:
        inner[0x9011] = offset
    buffer = io.BytesIO()
    image.save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("date", "offset", "seconds"),
    [
        ("1970:01:02 00:00:01", None, 86_401.0),
        ("2001:09:09 01:46:40", "+00:00", 1e9),
        ("2001:09:09 03:46:40", "+02:00", 1e9),
        ("2001:09:08 20:16:40", "-05:30", 1e9),
        ("2001:09:09 01:46:40", "nonsense", 1e9),
        ("2001-09-09 01:46:40", None, 1e9),
        ("2001/09/09 01:46:40", None, 1e9),
        ("2001-09-09T01:46:40Z", "+05:00", 1e9),
        ("2001-09-09T03:46:40.25+02:00", None, 1e9),
        ("2001:09:09 01:46:40.750", None, 1e9),
        ("2001:09:09 03:46:40", "+0200", 1e9),
        ("2001: 9: 9  1:46:40", None, 1e9),
        ("2001.09.09 01.46.40 UTC", None, 1e9),
        ("0000:00:00 00:00:00", None, None),
        ("2001:13:09 01:46:40", None, None),
        ("2001:09:09", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", None, None),
        (None, None, None),
    ],
)
def test_the_date_is_when_the_picture_was_taken(date, offset, seconds):
    for form in ("JPEG", "PNG", "WEBP"):
        assert taken(with_exif(date, offset, form)) == seconds


def test_exif_is_found_behind_other_segments():
    """As JPEG files have it: after JFIF, a comment and filling bytes."""
    whole = with_exif("2001:09:09 01:46:40")
    others = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + b"\xff\xfe\x00\x06Exif" + b"\xff\xff"
    assert taken(whole[:2] + others + whole[2:]) == 1e9
    assert taken(images.encode(plain("red"))) is None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_date_survives_odd_entries_and_broken_metadata(form, order):
    odd = {0x011A: (10, struct.pack(f"{order}ii", -1, 0)), 0x0128: (2, b"inches\0")}
    date = {0x9003: (2, b"2001-09-09 03:46:40\0"), 0x9011: (2, b"+02:00\0"), 0x9000: (2, b"x\0")}
    exif = b"Exif\0\0" + encoders.exif(odd, date, order)
    buffer = io.BytesIO()
    plain("red").save(buffer, form, exif=exif)
    assert taken(buffer.getvalue()) == 1e9
    if form == "PNG":
        start, rest = buffer.getvalue()[:33], buffer.getvalue()[33:]
        assert taken(start + encoders.png_chunk(b"tEXt", b"a", 0) + rest) == 1e9


def test_broken_files_have_no_date():
    whole = with_exif("2001:09:09 01:46:40")
    for end in range(0, len(whole), 7):
        assert taken(whole[:end]) in (None, 1e9)
    assert taken(b"no image") is None
