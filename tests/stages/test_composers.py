"""The stages that compare composers, on a small drawn split: outputs, interruptions, refusals."""

import json
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from cir.core.errors import UserError
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from stages.composers import encode as encode_for_composers
from stages.composers import score as score_composers
from stages.composers import train as compare_composers
from tests.helpers import ROOT
from tests.helpers.drawn_split import write_drawn_split

RATES = {"corrected_arithmetic": 0.01}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, encoder):
    """What the stages before have made, and the encoded triplets."""
    folder = tmp_path_factory.mktemp("composers")
    for part, queries in (("train", 16), ("val", 6), ("test", 6)):
        (folder / "data/retrieval" / part).mkdir(parents=True)
        write_drawn_split(folder / "data/retrieval" / part, queries, seed=queries + len(part))
    (folder / "models/encoder_base").mkdir(parents=True)
    encoder.save(folder / "models/encoder_base")
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    for part in fresh_model(size, ["replace", "the", "with", "a"], seed=0):
        part.save_pretrained(folder / "models/tagger")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params()
        encode_for_composers.main()
    return folder


@pytest.fixture
def project(inputs, tmp_path, monkeypatch):
    """A folder to run the later stages in."""
    for name in ("data", "models/encoder_base", "models/tagger"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(inputs / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_CHECKPOINTS", raising=False)
    write_params()
    return tmp_path


def write_params(**changes):
    """The default params, with two composers of a few steps."""
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    few = ("arithmetic", "corrected_arithmetic")
    params["composers"] = {name: params["composers"][name] for name in few}
    section = {"trainings": 2, "steps": 4, "batch_size": 6, "evaluate_every": 2}
    params["compare_composers"].update({**section, "learning_rates": RATES, **changes})
    params["score_composers"]["resamples"] = 50
    with Path("params.yaml").open("w") as file:
        yaml.dump(params, file)


@pytest.fixture
def compare(monkeypatch):
    def compared(*names):
        monkeypatch.setattr("sys.argv", ["compare_composers", *names])
        compare_composers.main()

    return compared


def weights(number):
    return load_file(f"models/composers/corrected_arithmetic/{number}.safetensors")


def test_composers_become_figures(project, compare, capsys):
    compare("corrected_arithmetic")
    compare("arithmetic")
    score_composers.main()
    found = json.loads(Path("metrics/composers.json").read_text())
    rows = {row["composer"]: row for row in found["composers"]}
    assert {name: row["trainings"] for name, row in rows.items()} == {
        "arithmetic": 1,
        "corrected_arithmetic": 2,
    }
    assert len(rows["corrected_arithmetic"]["by_seed"]) == 2
    assert rows["arithmetic"]["parameters"] == 0 < rows["corrected_arithmetic"]["parameters"]
    best = max(row["accuracy"] for row in rows.values())
    assert found["best_composer_accuracy"] == rows[found["best_composer"]]["accuracy"] == best
    assert Path("metrics/pictures/composers.png").stat().st_size > 1000
    assert not list(Path(".checkpoints").glob("compare-*[!k]"))
    assert "corrected_arithmetic: " in capsys.readouterr().out
    assert any(not torch.equal(weights(0)[name], weights(1)[name]) for name in weights(0))


def test_a_finished_training_outlives_an_interruption(project, compare, monkeypatch):
    compare("corrected_arithmetic")
    whole = [weights(0), weights(1)]
    train, seeds = compare_composers.train_composer, []

    def interrupted(settings, train_split, val, recipe, seed, checkpoints):
        seeds.append(seed)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return train(settings, train_split, val, recipe, seed, checkpoints)

    monkeypatch.setattr(compare_composers, "train_composer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare("corrected_arithmetic")
    compare("corrected_arithmetic")
    first, second, again = seeds
    assert again == second != first, "the first training was finished"
    for before, number in zip(whole, (0, 1), strict=True):
        assert all(torch.equal(value, before[name]) for name, value in weights(number).items())


def test_the_learning_rate_is_the_composers_own(project, compare, monkeypatch):
    asked = []

    def seen(settings, train, val, recipe, seed, checkpoints):
        asked.append(recipe.learning_rate)
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_composers, "train_composer", seen)
    for name in ("arithmetic", "corrected_arithmetic"):
        with pytest.raises(KeyboardInterrupt):
            compare(name)
    assert asked == [0.001, 0.01]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], r"expected the name of one composer \(arithmetic, corrected_arithmetic\), got \[\]"),
        (["tirgg"], r"expected the name of one composer .*, got \['tirgg'\]"),
    ],
)
def test_another_composer_is_refused(project, compare, names, sentence):
    with pytest.raises(UserError, match=sentence):
        compare(*names)


def test_a_rate_of_no_composer_is_refused(project, compare):
    write_params(learning_rates={"tirgg": 0.1})
    with pytest.raises(UserError, match=r"learning_rates must name .*\(arith.*\), got tirgg"):
        compare("arithmetic")


def test_a_text_that_cannot_be_added_to_an_image_is_refused(project, compare):
    params = YAML().load(Path("params.yaml").read_text())
    params["composers"]["sum"] = {"name": "sum", "text": "objects", "normalise": False}
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    with pytest.raises(UserError, match=r"'sentence', 'edit' or 'difference'"):
        compare("arithmetic")
