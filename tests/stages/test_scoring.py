"""The stages after training, one after the other, on a small drawn split."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.word_splitter import split_words
from cir.retrieval.submission import export as exporting
from stages import embed_gallery, export_submission, score
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.drawn_split import write_drawn_split
from tools.pipeline import read_stages


@pytest.fixture
def project(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_CHECKPOINTS", raising=False)
    test = tmp_path / "data/retrieval/test"
    test.mkdir(parents=True)
    write_drawn_split(test, queries=8, seed=3)
    (tmp_path / "models/encoder").mkdir(parents=True)
    composer = arithmetic()
    EncodedComposer(encoder, composer).save(tmp_path / "models/encoder")
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    for part in fresh_model(size, ["replace", "the", "with", "a"], seed=0):
        part.save_pretrained(tmp_path / "models/tagger")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "data/tagging").mkdir()
    swaps = [f"{word} <negative_object> for <positive_object>" for word in "abcdefg"]
    test = [{"template": swap, "style": "swap"} for swap in swaps]
    templates = {"train": [], "validation": [], "test": test}
    (tmp_path / "data/tagging/templates.json").write_text(json.dumps(templates))
    return tmp_path


def test_gallery_score_and_export(project, monkeypatch):
    """Without the trial of the export in a process of its own; tests of submissions have it."""
    tried = []
    monkeypatch.setattr(exporting, "_try", lambda folder, retriever: tried.append(folder))
    embed_gallery.main()
    score.main()
    metrics = json.loads(Path("metrics/retrieval.json").read_text())
    score.Metrics.model_validate(metrics)
    everything, swaps = metrics["paraphrases"]
    assert (everything["queries"], everything["ways"]) == (8, 7)
    assert [way["asked"][0] for way in swaps["by_way"]] == list("abcdefg")
    gap = metrics["composition"][0]
    assert (gap["k"], gap["queries"], gap["gap"]) == (1, 8, metrics["composition_gap"])
    assert [row["images"] for row in metrics["near_misses"]] == [8, 8]
    failures = pd.read_csv("metrics/failures.csv")
    headline = metrics["results"][0]
    assert (headline["queries"], headline["gallery_size"]) == (8, 24)
    assert headline["protocol"]["gallery"] == "hard"
    answers = pd.read_parquet("data/answers.parquet")
    assert (answers["rank"] == 1).mean() == metrics["accuracy"]
    for row in answers.itertuples():
        assert len(row.labels) == len(split_words(row.sentence))
        assert (row.answers[0] == row.target) is (row.rank == 1)
    assert len(failures) == round(8 * (1 - metrics["accuracy"]))
    ablation = pd.read_csv("metrics/ablation.csv").set_index("variant")["accuracy"]
    assert ablation["as trained"] == ablation["nothing normalised, weights 1"]
    assert ablation["as trained"] == pytest.approx(metrics["accuracy"], abs=1e-4)
    for picture in ("recall_at_k.png", "accuracy_by_kind.png", "successes.jpg", "failures.jpg"):
        assert Path("metrics/pictures", picture).stat().st_size > 0
    export_submission.main()
    assert (project / "export/submission/generate_embeds.py").is_file()
    assert len(tried) == 1
    assert not list(project.rglob("*.partial"))


def test_another_models_vectors_are_not_scored(project, encoder):
    embed_gallery.main()
    other = EncodedComposer(encoder, arithmetic())
    other.encoder.prompt, before = "{}", other.encoder.prompt
    try:
        other.save(Path("models/encoder"))
    finally:
        other.encoder.prompt = before
    with pytest.raises(UserError) as caught:
        score.main()
    assert "\n" not in str(caught.value)
    assert not Path("metrics/retrieval.json").exists()


def test_a_scoring_param_is_read_by_scoring_alone():
    stages = {stage.address: stage for stage in read_stages()}
    readers = [name for name, stage in stages.items() if "score" in stage.entry.get("params", [])]
    assert readers == ["score"]
    made = set(stages["score"].outputs)
    assert [n for n, stage in stages.items() if made & set(stage.entry["deps"])] == ["report"]
