"""Shards from folders, tar files and lists: every image once, in order, whatever happens."""

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cir.commands.main import main
from cir.core import files
from cir.core.errors import UserError
from cir.datasets.sharding import Member, _divided, write_shards
from cir.images import decoding
from cir.images.shards import ImageShards
from tests.helpers import ROOT


def picture(number):
    pixels = np.random.default_rng(number).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return decoding.encode(Image.fromarray(pixels))


def write_folder(folder, count=7):
    folder.mkdir()
    written = {}
    for number in range(count):
        path = folder / ("a" if number % 2 else "b") / f"{number:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(number))
        written[path.relative_to(folder).as_posix()] = path.read_bytes()
    return written


def write_tar(path, members):
    """Write a tar file as WebDataset does: the parts of a sample beside each other."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def stored(folder):
    shards = ImageShards(folder)
    return {name: shards.encoded(name) for name in shards.ids}


def test_a_folder_becomes_shards_of_bounded_size_with_all_files_unchanged(tmp_path):
    written = write_folder(tmp_path / "photos")
    (tmp_path / "photos" / "a" / "notes.txt").write_text("no image")
    report = write_shards(tmp_path / "photos", tmp_path / "out", images_per_shard=3, workers=2)
    assert stored(tmp_path / "out") == written
    assert list(ImageShards(tmp_path / "out").ids) == sorted(written)
    assert [len(shard.ids) for shard in ImageShards(tmp_path / "out").shards()] == [3, 3, 1]
    assert (report.images, report.files, report.bad) == (7, 3, ())
    assert "notes.txt" in report.left_out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


def test_shards_are_bounded_in_bytes_too():
    sizes = [40, 40, 40, 150, 10, 90, 1]
    members = [Member(str(size), "", size, 0.0) for size in sizes]
    plan = [[member.bytes for member in shard] for shard in _divided(members, 2, 100)]
    assert plan == [[40, 40], [40], [150], [10, 90], [1]]


def test_tar_files_of_webdataset_and_of_img2dataset(tmp_path):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    expected = {}
    for number in range(2):
        parts = []
        for key in (f"{number:05d}{image:04d}" for image in range(3)):
            data = picture(int(key))
            expected[f"{number:05d}.tar/{key}.jpg"] = data
            parts += [(f"{key}.jpg", data), (f"{key}.txt", b"words"), (f"{key}.json", b"{}")]
        write_tar(folder / f"{number:05d}.tar", parts)
        (folder / f"{number:05d}.parquet").write_bytes(b"the table of img2dataset")
        (folder / f"{number:05d}_stats.json").write_text("{}")
    write_shards(folder, tmp_path / "out", workers=1)
    assert stored(tmp_path / "out") == expected
    write_shards(folder / "00001.tar", tmp_path / "one", workers=1)
    assert stored(tmp_path / "one") == {n: d for n, d in expected.items() if n.startswith("00001")}


def test_a_list_of_files_and_tar_files(tmp_path):
    written = write_folder(tmp_path / "photos", 3)
    write_tar(tmp_path / "some.tar", [("x.jpg", picture(9))])
    names = ["photos/b/0002.jpg", "some.tar", "photos/a/0001.jpg", "photos/gone.jpg"]
    (tmp_path / "list.txt").write_text("\n".join([*names, names[0], ""]))
    report = write_shards(tmp_path / "list.txt", tmp_path / "out", workers=1)
    found = stored(tmp_path / "out")
    assert list(found) == ["photos/b/0002.jpg", "some.tar/x.jpg", "photos/a/0001.jpg"]
    assert found["photos/a/0001.jpg"] == written["a/0001.jpg"]
    assert len(report.bad) == 1
    assert report.bad[0].startswith("photos/gone.jpg cannot be read")


def test_bad_images_and_a_torn_tar_file_are_counted_and_named(tmp_path, capsys):
    folder = tmp_path / "photos"
    write_folder(folder, 3)
    (folder / "b" / "torn.jpg").write_bytes(picture(0)[:200])
    write_tar(folder / "torn.tar", [("1.jpg", picture(1)), ("2.jpg", picture(2))])
    whole = (folder / "torn.tar").read_bytes()
    (folder / "torn.tar").write_bytes(whole[:1800])  # within the second image or its header
    write_tar(folder / "twice.tar", [("1.jpg", picture(1)), ("1.jpg", picture(2))])
    out = tmp_path / "out"
    assert main(["shards", str(folder), "--out", str(out), "--workers", "1"]) == 0
    said = capsys.readouterr()
    bad = files.read_json(out / "info.json")["bad"]
    assert f"5 images in 1 shards; {len(bad)} bad images were left out" in said.out
    told = [sentence.split(" ")[:2] for sentence in bad]
    assert all(f"left out: {sentence}" in said.err for sentence in bad)
    assert ["image", "b/torn.jpg"] in told
    assert ["twice.tar", "holds"] in told
    assert any(sentence.startswith("torn.tar") for sentence in bad)
    assert {"torn.tar/1.jpg", "twice.tar/1.jpg"} < stored(out).keys()


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    write_folder(tmp_path / "photos", 400)
    command = ["shards", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--images", "8"]
    running = subprocess.Popen(
        [sys.executable, "-m", "cir", *command, "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    finished = []
    while not finished and running.poll() is None:
        finished = sorted(tmp_path.glob(".out.*.shards/*.parquet.json"))
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (tmp_path / "out").exists()
    shard = Path(str(finished[0]).removesuffix(".json"))
    before = shard.stat().st_mtime_ns
    assert main([*command, "--workers", "2"]) == 0
    assert (tmp_path / "out" / shard.name).stat().st_mtime_ns == before
    write_shards(tmp_path / "photos", tmp_path / "whole", images_per_shard=8, workers=2)
    assert files.fingerprint(tmp_path / "out") == files.fingerprint(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos", "whole"]


def test_other_files_are_never_replaced_and_nothing_is_not_written(tmp_path):
    write_folder(tmp_path / "photos", 1)
    with pytest.raises(UserError, match="holds other files than shards, such as b"):
        write_shards(tmp_path / "photos", tmp_path / "photos")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(UserError, match=r"there is no good image in .*x\.jpg"):
        write_shards(tmp_path / "bad", tmp_path / "out", workers=1)
    with pytest.raises(UserError, match="neither a folder nor a file"):
        write_shards(tmp_path / "gone", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "photos"]
