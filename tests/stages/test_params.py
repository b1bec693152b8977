"""Read params.yaml as YAML 1.2, check each key, and name a problem in one sentence."""

import os
import signal
import subprocess
import sys
import time
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt, model_validator

from cir.core.errors import UserError
from cir.core.params import Section
from stages.params import StageParams, load
from tests.helpers import ROOT


class Training(Section):
    learning_rate: float = 1e-3
    batch_size: PositiveInt = 4
    trained: Literal["head", "all"] = "head"
    warmup: Literal["none"] | int = "none"

    @model_validator(mode="after")
    def _head_is_small(self):
        if self.trained == "head" and self.batch_size > 1000:
            raise ValueError("a head takes batches of at most 1000")
        return self


class Drawn(Section):
    source: Literal["drawn"]
    size: int


class Files(Section):
    source: Literal["files"]
    root: str


class Params(StageParams):
    seed: int
    training: Training
    data: Annotated[Drawn | Files, Field(discriminator="source")]


def read(tmp_path, training="{}", data="{source: drawn, size: 1}", rest="seed: 1"):
    path = tmp_path / "params.yaml"
    path.write_text(f"{rest}\ntraining: {training}\ndata: {data}\n")
    return load(Params, path)


def test_only_the_stages_own_keys_are_read(tmp_path):
    params = read(tmp_path, rest="seed: 3\nother: {anything: 1}")
    assert params == Params(seed=3, training=Training(), data=Drawn(source="drawn", size=1))


@pytest.mark.parametrize("number", ["5e-5", "5e-05", "5.0e-05", "0.00005", "'5e-05'"])
def test_every_way_of_writing_a_small_number_is_a_number(tmp_path, number):
    assert read(tmp_path, f"{{learning_rate: {number}}}").training.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ("{larning_rate: 1}", 'unknown key "training.larning_rate"; did you mean "learning_rate"?'),
        ("{zzz: 1}", 'unknown key "training.zzz"'),
        ("{batch_size: -4}", "training.batch_size must be greater than 0, got -4"),
        ("{learning_rate: .nan}", "training.learning_rate must be a finite number, got nan"),
        ("{trained: haed}", "training.trained must be 'head' or 'all', got 'haed'"),
        ("{batch_size: -4, trained: haed}", "training.batch_size must be greater than 0, got -4 (and 1 more)"),  # noqa: E501
        ("{batch_size: 2000}", "training: a head takes batches of at most 1000"),
        ("{warmup: x}", "training.warmup must be 'none', got 'x' (and 1 more)"),
        ("3", "training must be a section with keys, got 3"),
    ],
)  # fmt: skip
def test_a_bad_key_or_value_is_named(tmp_path, training, sentence):
    with pytest.raises(UserError) as caught:
        read(tmp_path, training)
    assert str(caught.value).split(": ", 1)[1] == sentence


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{source: files, rot: x, root: y}", 'unknown key "data.rot"; did you mean "root"?'),
        ("{source: drawn, sise: 1}", 'unknown key "data.sise"; did you mean "size"? (and 1 more)'),
        ("{source: fils}", "data.source must be one of 'drawn', 'files', got 'fils'"),
        ("{size: 3}", '"data.source" is missing'),
        ("{source: drawn}", '"data.size" is missing'),
        ("{source: drawn, size: x}", "data.size must be a valid integer, unable to parse string as an integer, got 'x'"),  # noqa: E501
    ],
)  # fmt: skip
def test_alternatives_are_named_by_the_keys_of_the_file(tmp_path, data, sentence):
    with pytest.raises(UserError) as caught:
        read(tmp_path, data=data)
    assert str(caught.value).split(": ", 1)[1] == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 1\ntrainng: {}\ndata: {source: drawn, size: 1}", '"training" is missing; is it written as "trainng"?'),  # noqa: E501
        ("seed: 1\nseed: 2", 'line 2 is not valid YAML: found duplicate key "seed"'),
        ("seed: [", "line 1 is not valid YAML"),
        ("", "must hold sections with keys, got None"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_of(tmp_path, text, sentence):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(Params, path)
    assert sentence in str(caught.value)


def test_no_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml does not exist.*root of the repository"):
        load(Params, tmp_path / "params.yaml")


IMPORTS = """import time
from pathlib import Path
from cir.core import errors, files
from stages.run import run
"""


def start(body):
    script = f"{IMPORTS}def main():\n{body}\nrun(main)\n"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell lets its background jobs ignore Ctrl-C, and their children inherit that.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, **pipes, **heed)


def test_a_user_error_is_one_line_and_status_1():
    process = start("    raise errors.UserError('no such thing')")
    out, err = process.communicate()
    assert (process.returncode, out, err) == (1, "", "error: no such thing\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_stage_leaves_nothing_half_written(tmp_path, number, status):
    target = str(tmp_path / "model")
    process = start(
        f"    with files.whole_folder({target!r}) as unfinished:\n"
        "        (unfinished / 'half').touch()\n"
        "        print('writing', flush=True)\n"
        "        time.sleep(60)"
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == status
    assert err.count("\n") == 1
    assert "nothing half-written" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot ask for this")
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path):
    body = (
        "    with files.whole_file('out'):\n        Path('began').touch()\n        time.sleep(60)"
    )
    script = f"{IMPORTS}def main():\n{body}\n    Path('finished').touch()\nrun(main)\n"
    (tmp_path / "stage.py").write_text(script)
    starter = "import subprocess, sys; subprocess.run([sys.executable, 'stage.py'])"
    environment = {**os.environ, "DVC_STAGE": "stage", "PYTHONPATH": str(ROOT)}
    dvc = subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path, env=environment)
    wait_for(lambda: (tmp_path / "began").exists())
    assert [path for path in tmp_path.iterdir() if path.suffix == ".partial"]
    dvc.kill()
    dvc.wait()
    wait_for(lambda: {path.name for path in tmp_path.iterdir()} == {"stage.py", "began"})


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
