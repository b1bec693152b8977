"""The stage that measures photographs, on noise in place of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cir.classes.scoring.results import Metrics as ClassMetrics
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.datasets import contest
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.images import shards
from cir.retrieval.measuring import Measure
from cir.retrieval.results import PhotoMetrics
from stages import photos
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.drawn_split import write_drawn_split


@pytest.fixture
def project(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("encoder_base", "encoder"):
        (tmp_path / "models" / name).mkdir(parents=True)
    encoder.save(tmp_path / "models/encoder_base")
    EncodedComposer(encoder, arithmetic(image_weight=0.1)).save(tmp_path / "models/encoder")
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    for part in fresh_model(size, ["replace", "the", "with", "a"], seed=0):
        part.save_pretrained(tmp_path / "models/tagger")
    (tmp_path / "metrics").mkdir()
    metrics = (ROOT / "metrics/class_retrieval.json").read_text()
    (tmp_path / "metrics/class_retrieval.json").write_text(metrics)
    folder = tmp_path / "holiday"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number}.jpg")
    rows = [f"{n}.jpg,replace the hat with a cat,{(n + 1) % 6}.jpg" for n in range(6)]
    (folder / "data.csv").write_text("\n".join(["query_image,query_text,target_image", *rows]))
    queries = contest.read(folder)
    shards.write(tmp_path / "data/retrieval/test", queries.rows(512), queries.triplets, {}, 100)
    lines = [{"image": f"{n}.jpg", "captions": [f"number {n}", "a thing"]} for n in range(4)]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def choose(**changes):
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    params["photos"] |= changes
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)


def test_without_a_folder_the_figures_stay(project, capsys):
    choose()
    Path("metrics/photos.json").write_text("as it was")
    photos.main()
    assert Path("metrics/photos.json").read_text() == "as it was"
    assert "photos.folder is null" in capsys.readouterr().out


def test_a_folder_is_measured_before_and_after(project):
    choose(folder=str(project / "holiday"), classes=True)
    photos.main()
    found = PhotoMetrics.read(Path("metrics/photos.json"))
    results = {row.what: row for row in found.results}
    whole = results["image and edit, before fine-tuning"]
    assert (found.folder, whole.queries, whole.gallery_size) == ("holiday", 6, 6)
    captions = results["captions, before fine-tuning"]
    assert (captions.queries, captions.gallery_size) == (8, 4)
    assert captions.protocol["text"] == "the target's caption"
    before = results["image and edit, test part, before fine-tuning"]
    after = results["image and edit, test part, fine-tuned"]
    assert before.queries == after.queries == 6
    gains = {row.figure: row for row in found.gains}
    for figure in ("accuracy", "mrr"):
        difference = getattr(after, figure) - getattr(before, figure)
        assert gains[figure].difference == pytest.approx(difference)
    drawn = ClassMetrics.read(Path("metrics/class_retrieval.json"))
    assert next(iter(found.classes)).map == drawn.map


def test_a_folder_without_queries_is_told_of(project):
    choose(folder=str(project / "nowhere"))
    with pytest.raises(UserError, match="nowhere has no queries"):
        photos.main()
    assert not Path("metrics/photos.json").exists()


def test_a_test_part_of_other_images_is_refused(project):
    shutil.rmtree("data/retrieval/test")
    Path("data/retrieval/test").mkdir()
    write_drawn_split(Path("data/retrieval/test"), queries=8, seed=3)
    choose(folder=str(project / "holiday"))
    with pytest.raises(UserError, match=r"24 images of data/retrieval/test are not in it"):
        photos.main()


def test_gains_by_hand():
    """Ranks 1, 2, 20 become 1, 1, 10."""
    gains = Measure(seed=0).gains(np.array([1, 2, 20]), np.array([1, 1, 10]))
    by_figure = {gain.figure: gain for gain in gains}
    assert by_figure["accuracy"].difference == pytest.approx(1 / 3)
    assert by_figure["recall@5"].difference == 0
    assert by_figure["recall@10"].difference == pytest.approx(1 / 3)
    assert by_figure["mrr"].difference == pytest.approx((0 + 1 / 2 + 1 / 20) / 3)
    low, high = by_figure["mrr"].interval95
    assert low == pytest.approx(0)
    assert high == pytest.approx(1 / 2)
