"""The whole pipeline at its smallest: it runs, and after a change only what must run runs."""

import json
import shutil

import pytest

from cir.core.errors import UserError
from tests.helpers.smoke_project import dvc, git
from tools import check_metrics, smoke
from tools.pipeline import dvc_files, read_stages

pytestmark = pytest.mark.recipes  # it shares its pipeline with the other recipes

LAST = ("embed_gallery", "score", "export_submission", "report")
ON_THE_ENCODER = tuple(
    f"stages/text_search/dvc.yaml:{name}" for name in ("train_captioner", "finetune", "score")
)

# What runs for each change, in any order. A stage that writes the same bytes as before ends it:
# nothing behind it runs.
CHANGES = {
    "data.workers=2": {"prepare_data"},
    "expand_templates.both_unseen=0.6": {"expand_templates", "train_tagger", "report"},
}


def test_it_runs_every_stage(made):
    project, reproduction = made
    ran = {name.partition("@")[0] for name in reproduction.stages}
    assert ran == {stage.address for stage in read_stages(project)}


def test_run_again_it_has_nothing_to_do(made):
    again = smoke.repro(made[0])
    assert again.stages == {}
    assert "up to date" in again.output


def test_every_metrics_file_fits_its_schema(made):
    project, _ = made
    said = smoke.check_metrics(project)
    listed = check_metrics.metrics_files(project)
    assert {name for name, _ in listed} >= {
        "stages.train_tagger",
        "stages.finetune_encoder",
        "stages.score",
        "stages.classes.train",
        "stages.classes.score",
        "stages.text_search.finetune",
        "stages.text_search.score",
    }
    assert all(path in said for _, path in listed)


def test_a_metrics_file_that_does_not_fit_is_named(made, tmp_path):
    shutil.copytree(made[0] / "metrics", tmp_path / "metrics")
    for path in dvc_files(made[0]):
        copy = tmp_path / path.relative_to(made[0])
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert list(check_metrics.problems(tmp_path)) == []
    path = tmp_path / "metrics" / "finetune.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "val_accuracy": 1.5}))
    (misfit,) = check_metrics.problems(tmp_path)
    assert misfit.startswith("metrics/finetune.json does not fit stages.finetune_encoder.Metrics")
    assert "val_accuracy" in misfit
    path.unlink()
    assert list(check_metrics.problems(tmp_path)) == ["metrics/finetune.json does not exist"]


@pytest.fixture
def project(made):
    """The project, afterwards put back to what is committed."""
    yield made[0]
    git(made[0], "checkout", "--", ".")
    dvc(made[0], "checkout", "--quiet")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_the_stages_that_it_must(project, change):
    smoke.choose(project, [change])
    assert set(smoke.repro(project).stages) == CHANGES[change]


def test_each_change_of_a_section_is_seen_by_its_stage(project):
    stage_of = {
        "score.rows=3": "score",
        "export_submission.batch_size=64": "export_submission",
        "embed_classes.flip=false": "stages/classes/dvc.yaml:embed",
        "score_composers.resamples=100": "stages/composers/dvc.yaml:score",
        "finetune_text_search.share=0.5": "stages/text_search/dvc.yaml:finetune",
    }
    smoke.choose(project, list(stage_of))
    seen = json.loads(dvc(project, "status", "--json"))
    assert seen.keys() == set(stage_of.values())


def test_another_encoder_runs_all_that_is_behind_it(project):
    """What searches by words is behind it, too, and takes as long again: it is only asked for."""
    smoke.choose(project, ["finetune_encoder.learning_rate=0.0005"])
    ran = smoke.repro(project, "score", "export_submission").stages
    assert set(ran) == {"finetune_encoder", *LAST[:-1]}
    changed = json.loads(dvc(project, "status", "--json"))
    assert {
        *ON_THE_ENCODER,
        "stages/text_search/dvc.yaml:compare_encoders",
        "report",
    } <= changed.keys()
    assert (
        not {
            "stages/text_search/dvc.yaml:prepare",
            "pretrain_encoder",
            "stages/classes/dvc.yaml:embed",
        }
        & changed.keys()
    )


def test_a_failing_stage_is_told_of(project):
    smoke.choose(project, ["expand_templates.fillings=-1"])
    with pytest.raises(UserError, match=r"expand_templates\.fillings must be greater than 0"):
        smoke.repro(project)


def test_the_outputs_are_few_files(made):
    project, _ = made
    folders = ("data/tagging", "data/retrieval", "data/embeddings", "models", "export")
    count = sum(path.is_file() for folder in folders for path in (project / folder).rglob("*"))
    assert 50 < count < 300
