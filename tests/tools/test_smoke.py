"""The short training of the main job, without the training."""

import pytest
from ruamel.yaml import YAML

from cir.core import files
from cir.core.errors import UserError
from tools import smoke


@pytest.fixture
def trained(monkeypatch):
    """In place of training, the committed metrics stay, with the accuracy that a test sets."""
    accuracy = {}

    def repro(project, *targets):
        assert targets == ("score", "export_submission")
        metrics = files.read_json(project / "metrics/retrieval.json")
        files.write_json(project / "metrics/retrieval.json", metrics | accuracy)
        return smoke.Reproduction({"score": 2.5}, 3.0, 2.0, "")

    monkeypatch.setattr(smoke, "repro", repro)
    return accuracy


def test_a_short_training_takes_fewer_steps_and_prints_its_times(trained, tmp_path, capfd):
    smoke.short(tmp_path / "project")
    params = YAML(typ="safe").load((tmp_path / "project/params.yaml").read_text())
    assert params["train_tagger"]["steps"] == 200
    assert params["data"]["train_queries"] == 4000
    told = capfd.readouterr().out
    assert "score                                      2.5 s" in told
    assert "tagger_people_exact_edit" in told


def test_a_model_that_learned_too_little_is_an_error(trained, tmp_path, capfd):
    trained["accuracy"] = 0.1
    with pytest.raises(UserError, match="learned too little"):
        smoke.short(tmp_path / "project")
    assert "accuracy must be at least 0.25, got 0.1" in capfd.readouterr().err
