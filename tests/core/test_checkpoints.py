"""Whose checkpoints a stage takes up: its own recipe's, and no other writer's."""

import shutil
from pathlib import Path

import pytest

from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.errors import UserError
from stages import (
    embed_gallery,
    expand_templates,
    export_submission,
    finetune_encoder,
    prepare_data,
    pretrain_encoder,
    train_tagger,
)
from stages.params import load
from stages.run import code_of
from stages.text_search import finetune as finetune_text_search
from stages.text_search import prepare as prepare_text_search
from stages.text_search import score as score_text_search
from stages.text_search import train_captioner
from tests.helpers import ROOT

pytestmark = pytest.mark.recipes  # it needs the smoke pipeline's data and models


@pytest.fixture
def inputs(made, tmp_path, monkeypatch):
    """The current folder: a copy of what the stages read, and of the code."""
    project, _ = made
    for name in ("data", "models", "cir", "stages"):
        shutil.copytree(project / name, tmp_path / name)
    for name in ("params.yaml", "prompt_templates.json"):
        shutil.copy(project / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class FoundError(Exception):
    """The folder that a stage would keep its checkpoints in."""


@pytest.mark.parametrize(
    ("stage", "read"),
    [
        (train_tagger, ("data/tagging", "data/edit_words.json", "data/edit_clauses.json")),
        (pretrain_encoder, ("data/retrieval/train",)),
        (
            finetune_encoder,
            ("data/retrieval/train", "data/retrieval/val", "models/encoder_base"),
        ),
        (embed_gallery, ("models/encoder", "data/retrieval/test")),
        (train_captioner, ("models/encoder", "data/text_search/train", "data/text_search/val")),
        (
            finetune_text_search,
            (
                "models/encoder",
                "data/captions.csv",
                "data/text_search/train",
                "data/text_search/val",
            ),
        ),
        (score_text_search, ("models/encoder", "data/text_search/test")),
    ],
)
def test_other_params_inputs_or_code_start_anew(inputs, monkeypatch, stage, read):
    real = checkpoint_folder

    def tell(name, *parts):
        raise FoundError(real(name, *parts).name)

    def folder():
        with pytest.raises(FoundError) as found:
            stage.main()
        return str(found.value)

    def changed(path):
        file = path / "another" if path.is_dir() else path
        before = file.read_bytes() if file.exists() else None
        file.write_bytes((before or b"") + b"\n")
        name = folder()
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)
        return name

    monkeypatch.setattr(stage, "checkpoint_folder", tell)
    script = inputs / Path(stage.__file__).relative_to(ROOT)
    monkeypatch.setattr(stage, "__file__", str(script))
    first = folder()
    code = ("cir/core/files.py", script.relative_to(inputs))
    names = [changed(inputs / name) for name in (*read, *code)]
    assert folder() == first, "the same recipe finds its checkpoints"
    for other in ("cir/report/page.py", "cir/app/api.py", "stages/report.py"):
        assert changed(inputs / other) == first, "code that the stage does not run"
    if stage not in (embed_gallery, score_text_search):  # whose params do not change the vectors
        params = (inputs / "params.yaml").read_text()
        (inputs / "params.yaml").write_text(params.replace("seed: 17", "seed: 18"))
        names.append(folder())
    assert len({first, *names}) == 1 + len(names)


@pytest.mark.parametrize(
    ("stage", "output"),
    [
        (expand_templates, "data/tagging"),
        (train_tagger, "models/tagger"),
        (prepare_data, "data/retrieval"),
        (pretrain_encoder, "models/encoder_base"),
        (finetune_encoder, "models/encoder"),
        (embed_gallery, "data/embeddings"),
        (export_submission, "export/submission"),
        (prepare_text_search, "data/text_search"),
        (train_captioner, "models/captioner"),
        (finetune_text_search, "models/text_search"),
    ],
)
def test_every_stage_that_writes_long_refuses_a_second_writer(inputs, stage, output):
    with (
        files.exclusive(output),
        pytest.raises(UserError, match=f"another process is writing {output};"),
    ):
        stage.main()


def test_two_folders_with_one_place_for_checkpoints_do_not_share_them(inputs, monkeypatch):
    monkeypatch.setenv("CIR_CHECKPOINTS", str(inputs / "kept"))
    recipe = load(train_tagger.Params).model_dump(exclude={"tensorboard"})
    sources = (train_tagger.DATA, train_tagger.WORDS, train_tagger.CLAUSES)
    used = checkpoint_folder("tagger", recipe, *code_of(train_tagger.__file__), *sources)
    with files.exclusive(used), pytest.raises(UserError, match=r"writing .*kept/tagger-"):
        train_tagger.main()
