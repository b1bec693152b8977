"""Files appear whole or not at all, whatever interrupts their writing."""

import errno
import hashlib
import math
import os
import signal
import subprocess
import sys

import pytest

from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.errors import UserError
from tests.helpers import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_folder_replaces_the_old_one(tmp_path):
    target = tmp_path / "deep" / "model"
    for content in ("first", "second"):
        with files.whole_folder(target) as unfinished:
            assert list(unfinished.iterdir()) == []
            (unfinished / content).write_text(content)
    assert names(target) == ["second"]
    assert names(target.parent) == ["model"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_folder_and_nothing_else(tmp_path, interruption):
    target = tmp_path / "model"
    with files.whole_folder(target) as unfinished:
        (unfinished / "old").touch()

    def write_half():
        with files.whole_folder(target) as unfinished:
            (unfinished / "new").touch()
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["model"]


def test_whole_file_keeps_the_name_and_replaces(tmp_path):
    target = tmp_path / "vectors.npy"
    target.write_text("old")
    with files.whole_file(target) as unfinished:
        assert unfinished.name == "vectors.npy"
        unfinished.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["vectors.npy"]


def write_half_a_file(target, error):
    with files.whole_file(target) as unfinished:
        unfinished.write_text("half")
        raise error


def test_a_failed_file_leaves_the_old_one(tmp_path):
    target = tmp_path / "metrics.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="midway"):
        write_half_a_file(target, RuntimeError("midway"))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


KILLED = """
import sys, time
from cir.core import files
with files.{writer}(sys.argv[1]) as unfinished:
    if {inside}:
        (unfinished / "half").write_text("half")
    else:
        unfinished.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("writer", ["whole_folder", "whole_file"])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, writer):
    target = tmp_path / "model"
    script = KILLED.format(writer=writer, inside=writer == "whole_folder")
    process = subprocess.Popen(
        [sys.executable, "-c", script, target], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"writing\n"
    (alive,) = names(tmp_path)
    with files.whole_file(target) as unfinished:  # a living writer's folder is not touched
        assert alive in names(tmp_path)
        unfinished.touch()
    target.unlink()
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and a zombie
    assert names(tmp_path) == [alive]
    with files.whole_file(target) as unfinished:
        unfinished.touch()
    assert names(tmp_path) == ["model"]
    process.wait()
    process.stdout.close()


def test_two_writers_in_one_process_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "model"
    with files.whole_file(target) as first, files.whole_file(target) as second:
        second.write_text("second")
        first.write_text("first")
    assert target.read_text() == "first"
    assert names(tmp_path) == ["model"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    workshop = tmp_path / ".model.abc.partial"
    (workshop / ".previous").mkdir(parents=True)
    (workshop / ".lock").touch()
    (workshop / ".previous" / "old").touch()
    target = tmp_path / "model"

    def fail():
        with files.whole_folder(target):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_sentence(tmp_path, error):
    target = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match=r"disk is full.*model\.safetensors.*MiB were left"):
        write_half_a_file(target, error)
    assert names(tmp_path) == []


def test_json_round_trip_and_order(tmp_path):
    value = {"b": 1 / 3, "a": [1, None, "é"]}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    assert list(files.read_json(tmp_path / "x.json")) == ["b", "a"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_json_refuses_what_is_no_number(tmp_path, bad):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"accuracy": bad})
    assert names(tmp_path) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_every_utf(tmp_path, encoding):
    (tmp_path / "x.json").write_bytes('{"caf\u00e9": 1}'.encode(encoding))
    assert files.read_json(tmp_path / "x.json") == {"caf\u00e9": 1}


def test_read_json_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json does not exist"):
        files.read_json(tmp_path / "gone.json")
    (tmp_path / "torn.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"torn\.json is not a JSON file"):
        files.read_json(tmp_path / "torn.json")


def test_fingerprint_is_stable_and_tells_apart(tmp_path):
    texts = ['"a"', '{"x": [2.5, null], "y": 1}']
    parts = b"".join(b"json" + hashlib.sha256(text.encode()).digest() for text in texts)
    expected = hashlib.sha256(parts).hexdigest()[:16]
    assert files.fingerprint("a", {"y": 1, "x": [2.5, None]}) == expected
    assert files.fingerprint({"x": 1, "y": 2}) == files.fingerprint({"y": 2, "x": 1})
    different = [("ab", "c"), ("a", "bc"), ("abc",), (1,), ("1",), (1.0,), (True,), (None,), ()]
    assert len({files.fingerprint(*parts) for parts in different}) == len(different)


def test_fingerprint_of_paths_is_of_their_content(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "inner").mkdir(parents=True)
        (tmp_path / place / "inner" / "a").write_text("a")
        (tmp_path / place / "b").write_text("b")
    one, two = tmp_path / "one", tmp_path / "two"
    assert files.fingerprint(one) == files.fingerprint(two)
    assert files.fingerprint(one / "b") == files.fingerprint(two / "b")
    assert files.fingerprint(one / "b") != files.fingerprint(one / "inner" / "a")
    before = files.fingerprint(two)
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "b.pyc").write_text("differs on every machine")
    assert files.fingerprint(two) == before
    (two / "b").rename(two / "c")
    renamed = files.fingerprint(two)
    (two / "c").write_text("c")
    assert len({before, renamed, files.fingerprint(two)}) == 3
    with pytest.raises(UserError, match="gone does not exist"):
        files.fingerprint(tmp_path / "gone")


def test_checkpoint_folder_is_found_again_for_the_same_recipe_only(tmp_path, monkeypatch):
    monkeypatch.setenv("CIR_CHECKPOINTS", str(tmp_path / "kept"))
    (tmp_path / "data").write_text("a")
    folder = checkpoint_folder("train", {"steps": 3}, tmp_path / "data")
    assert folder.parent == tmp_path / "kept"
    assert folder.is_dir()
    assert folder == checkpoint_folder("train", {"steps": 3}, tmp_path / "data")
    others = {checkpoint_folder("train", {"steps": 4}, tmp_path / "data")}
    (tmp_path / "data").write_text("b")
    others.add(checkpoint_folder("train", {"steps": 3}, tmp_path / "data"))
    assert folder not in others
    assert len(others) == 2


def take(path):
    with files.exclusive(path):
        return "held"


def test_exclusive_refuses_a_second_holder_in_this_process(tmp_path):
    path = tmp_path / "models" / "tagger"
    with files.exclusive(path), pytest.raises(UserError, match=r"writing .*tagger"):
        take(path)
    assert take(path) == "held"


HOLDER = """
import sys, time
from cir.core import files
with files.exclusive(sys.argv[1]):
    print("holding", flush=True)
    time.sleep(60)
"""


def test_exclusive_refuses_another_process_until_it_is_killed(tmp_path, monkeypatch):
    path = tmp_path / "tagger"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"holding\n"
    with monkeypatch.context() as patched:
        patched.setattr(files, "_PATIENCE", 0.2)
        with pytest.raises(UserError, match="another process"):
            take(path)
    holder.kill()
    assert take(path) == "held"  # waits for the end of a holder that is about to end
    holder.wait()
    holder.stdout.close()


def test_exclusive_of_several_paths_leaves_nothing_behind(tmp_path):
    with files.exclusive(tmp_path / "model", tmp_path / "checkpoints"):
        with pytest.raises(UserError, match=r"writing .*checkpoints"):
            take(tmp_path / "checkpoints")
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == []


COUNTER = """
import sys
from pathlib import Path
from cir.core import files
counter = Path(sys.argv[1])
for _ in range(25):
    with files.exclusive(counter):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_exclusive_lets_one_in_at_a_time(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNTER, counter]
    writers = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert counter.read_text() == "75"
    assert names(tmp_path) == ["counter"]
