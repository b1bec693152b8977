"""The stages that train the encoder, on a small drawn split: outputs, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.encoders import Encoder
from cir.images.shards import read_triplets
from stages import finetune_encoder, pretrain_encoder
from tests.helpers import ROOT
from tests.helpers.drawn_split import write_drawn_split


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for part, queries in (("train", 16), ("val", 6)):
        (folder / "data/retrieval" / part).mkdir(parents=True)
        write_drawn_split(folder / "data/retrieval" / part, queries, seed=queries)
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    model, tokenizer = fresh_model(size, ["replace", "the", "with", "a"], seed=0)
    for part in (model, tokenizer):
        part.save_pretrained(folder / "models/tagger")
    return folder


@pytest.fixture
def project(inputs, tmp_path, monkeypatch):
    """A folder to run stages in: the inputs, and params.yaml of a few steps."""
    for name in ("data", "models/tagger"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(inputs / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_CHECKPOINTS", raising=False)
    change(lambda params: params)
    return tmp_path


def change(how, source=ROOT / "params.yaml"):
    """Write params.yaml: the default, cut to a few steps, and changed by `how`."""
    yaml = YAML()
    params = yaml.load(source.read_text())
    for section in ("pretrain_encoder", "finetune_encoder"):
        params[section].update({"steps": 4, "batch_size": 6, "evaluate_every": 2})
    how(params)
    with Path("params.yaml").open("w") as file:
        yaml.dump(params, file)


def weights(folder):
    return Encoder.load(folder).state_dict()


def triplets_of(part):
    return read_triplets(Path("data/retrieval") / part)


def without_edits(folder):
    return [replace(t, add=None, remove=None) for t in read_triplets(folder)]


def test_both_stages_write_whole_models_metrics_and_curves(project, capsys):
    pretrain_encoder.main()
    finetune_encoder.main()
    base, model = weights("models/encoder_base"), EncodedComposer.load("models/encoder")
    assert any(
        not torch.equal(value, base[name]) for name, value in model.encoder.state_dict().items()
    )
    figures = json.loads(Path("metrics/finetune.json").read_text())
    assert 0 <= figures["val_accuracy"] <= 1
    assert figures["best_step"] in (2, 4)
    for curve in ("pretrain", "finetune"):
        rows = Path(f"metrics/curves/{curve}.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["step", "2", "4"]
    assert not any(project.glob(".checkpoints/*"))
    assert not list(project.rglob("*.partial"))


def test_the_optimiser_is_the_one_of_the_params(project):
    made = []
    for pretraining, fine_tuning in (("adamw", "adamw"), ("muon", "muon"), ("muon", "adamw")):

        def choose(params, first=pretraining, second=fine_tuning):
            params["pretrain_encoder"]["optimiser"] = first
            params["finetune_encoder"]["optimiser"] = second

        change(choose)
        pretrain_encoder.main()
        finetune_encoder.main()
        made.append(
            [
                weights(f"models/{m}")["clip.text.text_projection"]
                for m in ("encoder_base", "encoder")
            ]
        )
    (by_adamw, _), (by_muon, muon_again), (same, adamw_after) = made
    assert not torch.equal(by_adamw, by_muon)
    assert torch.equal(by_muon, same)
    assert not torch.equal(muon_again, adamw_after)


def test_no_sentence_is_read_if_the_source_says_what_images_show_and_sentences_ask(project):
    (project / "models/tagger").unlink()
    pretrain_encoder.main()
    finetune_encoder.main()
    assert Path("models/encoder").is_dir()


def test_a_perfect_tagger_trains_what_the_true_edits_train(project, monkeypatch):
    pretrain_encoder.main()
    finetune_encoder.main()
    first = weights("models/encoder")
    true = {t.text: t.edit for part in ("train", "val") for t in triplets_of(part)}
    read = []

    def tag(_, texts):
        read.extend(texts)
        return [true[text] for text in texts]

    monkeypatch.setattr(finetune_encoder.Tagger, "tag", tag)
    monkeypatch.setattr(finetune_encoder, "read_triplets", without_edits)
    finetune_encoder.main()
    assert set(read) == set(true)
    again = weights("models/encoder")
    assert all(torch.equal(value, again[name]) for name, value in first.items())


@pytest.mark.parametrize("given", [True, False])
def test_the_tagger_names_the_checkpoints_only_where_it_reads(project, monkeypatch, given):
    pretrain_encoder.main()
    inputs = []

    def tell(*parts):
        inputs.extend(parts)
        raise LookupError

    monkeypatch.setattr(finetune_encoder, "checkpoint_folder", tell)
    if not given:
        monkeypatch.setattr(finetune_encoder, "read_triplets", without_edits)
    with pytest.raises(LookupError):
        finetune_encoder.main()
    assert (finetune_encoder.TAGGER in inputs) is not given


def test_event_files_are_written_where_they_are_asked_for(project):
    change(lambda params: params.update(tensorboard=str(project / "runs")))
    pretrain_encoder.main()
    finetune_encoder.main()
    names = sorted(path.name.partition("-")[0] for path in (project / "runs").iterdir())
    assert names == ["finetune", "pretrain"]
    for run in (project / "runs").iterdir():
        told = EventAccumulator(str(run)).Reload().Scalars("loss")
        name = run.name.partition("-")[0]
        rows = pd.read_csv(f"metrics/curves/{name}.csv")
        assert [event.step for event in told] == list(rows["step"])
        assert [event.value for event in told] == pytest.approx(list(rows["loss"]))


def test_the_same_seed_gives_the_same_bits(project):
    pretrain_encoder.main()
    first = weights("models/encoder_base")
    pretrain_encoder.main()
    again = weights("models/encoder_base")
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_no_steps_take_the_checkpoint_as_it_is(project, encoder):
    torch.save(encoder.clip.state_dict(), "mine.pt")
    change(
        lambda params: (
            params["pretrain_encoder"].update(steps=0),
            params["encoder"].update(pretrained="mine.pt"),
        )
    )
    pretrain_encoder.main()
    assert Encoder.load("models/encoder_base").fingerprint() == encoder.fingerprint()


@pytest.mark.parametrize(
    ("train", "moved", "still"),
    [
        ({"what": "head"}, "visual.head.proj.weight", "visual.trunk.blocks.2.norm1.weight"),
        (
            {"what": "last_blocks", "blocks": 1},
            "visual.trunk.blocks.2.mlp.w2.weight",
            "visual.trunk.blocks.1.mlp.w2.weight",
        ),
    ],
)
def test_only_what_is_to_be_trained_moves(project, encoder, train, moved, still):
    folder = Path("models/encoder_base")
    folder.mkdir()
    encoder.save(folder)
    change(lambda params: params["finetune_encoder"].update(train=train))
    finetune_encoder.main()
    after = EncodedComposer.load("models/encoder").encoder.clip.state_dict()
    before = encoder.clip.state_dict()
    assert not torch.equal(after[moved], before[moved])
    assert torch.equal(after[still], before[still])


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("finetune_encoder", "batch_size", -4, r"finetune_encoder\.batch_size .*-4"),
        ("finetune_encoder", "lerning_rate", 1, 'did you mean "learning_rate"'),
        ("composer", "name", "tirgg", r"composer\.name .*tirgg"),
    ],
)
def test_a_bad_key_or_value_is_named_before_any_work(project, section, key, value, sentence):
    change(lambda params: params[section].update({key: value}))
    with pytest.raises(UserError, match=sentence):
        finetune_encoder.main()
    assert not Path("models/encoder").exists()
