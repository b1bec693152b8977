"""The commands of docs/full-size.md, with random weights from a model hub on loopback."""

import json
import os
import shutil
import subprocess
import sys

import open_clip
import pytest
import torch

from cir.core.weights import weights_digest
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from tests.helpers import ROOT, TAGGING_DATA, tiny_bert, tiny_distilbert
from tests.helpers.hub import Hub
from tests.helpers.smoke_project import dvc
from tools import smoke
from tools.compose_params import compose

DISTILBERT = "distilbert-base-uncased"
SHORT = ("expand_templates.fillings=3", "train_tagger.steps=2", "train_tagger.evaluations=1")
FAULTS = {"lab/private": "401", "lab/busy": "503", "lab/never": "cut always", "lab/gated": "gated"}
# Runs the two stages, and then calls everything else that loads a model of transformers by name.
CHILD = """
import json, sys, time
from stages import expand_templates, train_tagger
expand_templates.main()
train_tagger.main()

time.sleep = lambda seconds: None
from cir.core.errors import UserError
from cir.edits.models import pretrained_model
from cir.encoders.bert import FrozenBert
from cir.text_search.scoring.blip import BlipEncoder

told = {}
for name in sys.argv[1:]:
    for load in (lambda: pretrained_model(name, 0), lambda: FrozenBert.create(name, 20),
                 lambda: BlipEncoder.load(name)):
        try:
            load()
            told.setdefault(name, []).append(None)
        except UserError as error:
            told.setdefault(name, []).append(str(error))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    base = tmp_path_factory.mktemp("hub")
    folders = {}
    for name, module in ((DISTILBERT, tiny_distilbert), ("lab/bert", tiny_bert)):
        folders[name] = base / name
        folders[name].mkdir(parents=True)
        module.write(folders[name])
    return {**folders, "lab/never": folders["lab/bert"]}


@pytest.fixture(scope="module")
def ran(repositories, tmp_path_factory):
    """(The folder in which the stages ran, what each name of the hub gave, what the hub saw.)"""
    project = tmp_path_factory.mktemp("project")
    (project / "data").mkdir()
    for name in TAGGING_DATA:
        shutil.copy(ROOT / "data" / name, project / "data" / name)
    shutil.copy(ROOT / "prompt_templates.json", project)
    compose(project / "params.yaml", ["tagger=distilbert_base", *SHORT])
    with Hub(repositories, FAULTS) as hub:
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **hub.variables(project / "home")}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *FAULTS, "lab/missing", "lab/bert"],
            cwd=project,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return project, json.loads(done.stdout.splitlines()[-1]), hub.seen


def test_the_tagger_starts_from_the_hub(ran):
    project, _, seen = ran
    assert [path for _, path, _ in seen if path.startswith(f"/{DISTILBERT}/resolve/")]
    assert Tagger.load(project / "models" / "tagger").tag(["add a red hat"])
    assert json.loads((project / "metrics" / "tagger.json").read_text())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lab/private", "members only (401): check the name, or log in with hf auth login"),
        ("lab/gated", "accepted its terms (403): accept them on its page"),
        ("lab/busy", "answers with the status 503: run again later, or name a mirror"),
        ("lab/never", "broke off"),
        ("lab/missing", "members only (404): check the name"),
    ],
)
def test_every_loader_of_transformers_gives_a_sentence(ran, name, sentence):
    for told in ran[1][name]:
        assert sentence in told
        assert name in told
        assert "\n" not in told


def test_a_text_encoder_comes_from_the_hub(ran):
    assert ran[1]["lab/bert"][1] is None


@pytest.mark.recipes
def test_the_published_names_run_through_dvc_and_the_command_line(made, repositories, tmp_path):
    """The smallest data, DistilBERT from the hub (tiny), and ViTamin-S from the hub (whole)."""
    project, _ = made
    clip = open_clip.create_model("ViTamin-S")
    (tmp_path / "repository").mkdir()
    torch.save(clip.state_dict(), tmp_path / "repository" / "pytorch_model.bin")
    weights = {"jienengchen/ViTamin-S": tmp_path / "repository"}
    groups = [*smoke.CHOICES, "tagger=distilbert_base", "encoder=vitamin_s", *SHORT]
    overrides = [word for group in groups for word in ("-S", group)]
    with Hub({**repositories, **weights}) as hub:
        variables = hub.variables(tmp_path / "home")
        dvc(project, "exp", "run", *overrides, "pretrain_encoder", **variables)
        assert cir(project, "models", "get", "vitamin-s", **variables) == 0
    trained = Encoder.load(project / "models" / "encoder_base")
    assert weights_digest(trained.clip) == weights_digest(clip)
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "none")}
    assert cir(project, "models", "check", "vitamin-s", **nowhere) == 0
    kept = Encoder.load(project / "models" / "vitamin-s")
    assert kept.fingerprint() == trained.fingerprint()


def cir(project, *words, **variables):
    """Run a command of `cir` in the project, with environment variables; return its status."""
    command = [sys.executable, "-m", "cir", *words]
    return subprocess.run(command, cwd=project, env={**smoke.environment(), **variables}).returncode
