"""Test cir models get against a hub on loopback: each fault, and what stays afterwards."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from cir.composers.model import EncodedComposer
from tests.helpers import ROOT
from tests.helpers.hub import Hub, publish

WEIGHTS = "open_clip_model.safetensors"
# What each repository of the hub does; lab/missing is on no hub.
FAULTS = {
    "lab/private": "401",
    "lab/gated": "gated",
    "lab/busy": "503",
    "lab/cut": "cut",
    "lab/anew": "cut, no ranges",
    "lab/never": "cut always",
    "lab/proxy": "no hub",
    "lab/damaged": "wrong hash",
}
# Runs commands in one process, whose waits between two tries take no time. Before the command
# "full disk" the disk is full; before "warm" and all later ones, HF_HUB_OFFLINE is set.
CHILD = """
import contextlib, errno, io, json, sys, time
time.sleep = lambda seconds: None
from huggingface_hub import constants, file_download
from cir.commands.main import main

def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")

told = []
for name, *words in json.loads(sys.argv[1]):
    whole, out, err = file_download.http_get, io.StringIO(), io.StringIO()
    if name == "full disk":
        file_download.http_get = full
    if name == "warm":
        constants.HF_HUB_OFFLINE = True
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["models", *words])
    file_download.http_get = whole
    told.append([name, [status, out.getvalue(), err.getvalue()]])
print(json.dumps(told))
"""


def run(commands, variables):
    """Run named commands in a process of its own: {name: (status, output, error output)}."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "CIR_MODELS", *offline):
        environment.pop(name, None)
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(commands)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(json.loads(ran.stdout))


@pytest.fixture(scope="module")
def published(encoder, tmp_path_factory):
    """The micro encoder in the layout of a repository of the hub."""
    return publish(encoder, tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def hub(published):
    without = published.parent / "without"
    without.mkdir()
    shutil.copy(published / "open_clip_config.json", without)
    repositories = {f"lab/{name}": published for name in ("tiny", "cut", "anew", "never")}
    repositories |= {"lab/damaged": published, "lab/full": published, "lab/config": without}
    with Hub(repositories, FAULTS) as hub:
        yield hub


@pytest.fixture(scope="module")
def told(hub, place):
    """What the commands say, by the last name of the repository or by a name of their own."""
    names = ["tiny", *(name.partition("/")[2] for name in FAULTS), "missing", "config"]
    commands = [(name, "get", f"hf-hub:lab/{name}") for name in names]
    commands += [("full disk", "get", "hf-hub:lab/full"), ("check", "check", "tiny")]
    commands += [("warm", "get", "hf-hub:lab/tiny"), ("cold", "get", "hf-hub:lab/cold")]
    models = ("--models", str(place / "models"))
    return run([(*command, *models) for command in commands], hub.variables(place / "home"))


def test_a_model_of_the_hub_is_fetched_verified_and_kept(told, place, encoder):
    status, out, err = told["tiny"]
    assert status == 0, err
    assert out.endswith("use it with cir index FOLDER --model tiny\n")
    assert "open_clip_model.safetensors" in err  # the progress of the download
    model = EncodedComposer.load(place / "models" / "tiny")
    assert model.encoder.fingerprint() == encoder.fingerprint()
    record = json.loads((place / "models" / "tiny" / "model.json").read_text())
    assert record["source"] == "hf-hub:lab/tiny"
    written = {path.name for path in (place / "models" / "tiny").iterdir()} - {"model.json"}
    assert set(record["files"]) == written
    assert told["check"][0] == 0
    assert "is whole" in told["check"][1]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("private", "shows it to its members only (401): check the name, or log in with hf auth"),
        ("gated", "users who accepted its terms (403): accept them on its page, then log in"),
        ("busy", "answers with the status 503: run again later, or name a mirror with HF_ENDPOINT"),
        ("never", "broke off"),
        ("proxy", "is not a model hub: check HF_ENDPOINT"),
        ("damaged", "came damaged from http://127.0.0.1"),
        ("missing", "has no such model, or shows it to its members only (404): check the name"),
        ("config", "does not have the file open_clip_pytorch_model.bin of this model (404)"),
        ("full disk", "is full: make room there, or name another folder with HF_HOME"),
    ],
)
def test_a_fault_is_one_sentence_and_leaves_nothing(told, place, name, sentence):
    status, out, err = told[name]
    assert status == 1
    assert out == ""
    *progress, last = err.splitlines()
    assert last.startswith("error: ")
    assert sentence in last
    assert not [line for line in progress if not line.startswith("(…)")]
    repository = "full" if name == "full disk" else name
    assert not (place / "models" / repository).exists()
    assert not list((place / "models").glob(".*.partial"))
    assert not list((place / "home").rglob("*.incomplete"))


def test_a_damaged_file_does_not_stay_in_the_cache(told, place):
    folder = place / "home" / "hub" / "models--lab--damaged"
    assert not list(folder.rglob(WEIGHTS))
    assert not [path for path in (folder / "blobs").iterdir() if path.stat().st_size > 10_000]


@pytest.mark.parametrize("name", ["cut", "anew"])
def test_a_download_that_was_cut_is_resumed_or_begun_anew(told, hub, place, name):
    status, _, err = told[name]
    assert status == 0, err
    got = [asked for method, path, asked in hub.seen if method == "GET" and f"/{name}/" in path]
    assert [asked for asked in got if asked is not None]  # the client asked for the rest
    one, other = (load_file(place / "models" / folder / WEIGHTS) for folder in (name, "tiny"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_offline_the_cache_is_enough_and_without_it_there_is_a_sentence(told, hub):
    assert told["warm"][0] == 0
    assert told["cold"][0] == 1
    (sentence,) = told["cold"][2].splitlines()
    assert "HF_HUB_OFFLINE is set" in sentence
    assert "name a cache that has it with HF_HOME" in sentence
    assert not [path for _, path, _ in hub.seen if "lab/cold" in path]
