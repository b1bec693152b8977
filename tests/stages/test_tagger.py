"""The stages that expand the templates and train the tagger, for a few steps."""

import shutil
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel

from cir.edits.augmentation import Material
from cir.edits.measuring import TESTED
from cir.edits.models import context_tokenizer
from cir.edits.params import Pretrained
from cir.edits.reading.tagger import Tagger
from cir.edits.results import Metrics
from stages import expand_templates, train_tagger
from tests.helpers import ROOT, TAGGING_DATA
from tools.compose_params import compose


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_CHECKPOINTS", raising=False)
    (tmp_path / "data").mkdir()
    for name in TAGGING_DATA:
        shutil.copy(ROOT / "data" / name, tmp_path / "data" / name)
    shutil.copy(ROOT / "prompt_templates.json", tmp_path)
    small = ["expand_templates.fillings=3", "train_tagger.steps=8", "train_tagger.evaluations=2"]
    compose(tmp_path / "params.yaml", ["tagger=micro", *small])
    return tmp_path


def test_templates_become_sentences_become_a_tagger(project, capsys):
    expand_templates.main()
    assert "1,905 sentences" in capsys.readouterr().out
    train_tagger.main()
    metrics = Metrics.model_validate_json(Path("metrics/tagger.json").read_text())
    by_name = {split.split: split for split in metrics.splits}
    assert list(by_name) == [name for name in TESTED if name in by_name]
    assert metrics.tagger_exact_edit == by_name["both_unseen"].exact_edit
    assert metrics.tagger_people_exact_edit == by_name["people"].exact_edit
    for split in metrics.splits:
        assert sum(row.count for row in split.by_objects) == split.count
    steps = [row.split(",")[0] for row in Path("metrics/curves/tagger.csv").read_text().split()]
    assert steps[0] == "step"
    assert steps[-1] == "8"
    assert len(Tagger.load("models/tagger").tag(["Add a hat.", "no cat"])) == 2
    assert not any(project.glob(".checkpoints/*"))
    assert not list(project.rglob("*.partial"))


def test_params_of_a_pretrained_encoder_arrive(tmp_path, monkeypatch):
    context_tokenizer(["add", "a", "hat"], longest=24).save_pretrained(tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=32)).save_pretrained(tmp_path)
    monkeypatch.setattr(train_tagger, "context_words", lambda *of_data: {"add"})
    chosen = Pretrained(checkpoint=str(tmp_path), layers=2, frozen=1)
    params = train_tagger.Params.model_construct(seed=3, tagger=chosen)
    model, _ = train_tagger._start(params, Material([], [], [], None, None))
    assert model.config.context_words == ["add"]
    assert [
        all(weight.requires_grad for weight in layer.parameters())
        for layer in model.bert.encoder.layer
    ] == [False, True]
