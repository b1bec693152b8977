"""The stage that measures photographs, and search by words with their towers, on noise."""

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
from cir.core.records import Edit
from cir.datasets import contest
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.images import shards
from cir.retrieval.measuring import Measure
from cir.retrieval.results import PhotoMetrics
from cir.text_search.data import captions_file
from cir.text_search.scoring.results import TextSearchMetrics
from stages import photos
from stages.text_search import caption, finetune, prepare, score, train_captioner
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.drawn_split import write_drawn_split
from tests.helpers.tiny_conse import tiny_conse
from tools.compose_params import compose


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


class NoEdits:
    """Stands in for the tagger: reads no edit in any sentence."""

    @staticmethod
    def load(folder, device):
        return NoEdits()

    def tag(self, texts):
        return [Edit(text, (), ()) for text in texts]


@pytest.fixture
def captioned(tmp_path, monkeypatch):
    """A project whose encoder is a tiny one of encoder=photos; 9 of its 12 photos have captions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finetune, "Tagger", NoEdits)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    said = ["a dog", "a red boat", "a boat on water"]
    lines = [{"image": f"{n}.png", "captions": [said[n % 3]]} for n in range(9)]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Path("data/retrieval").mkdir(parents=True)
    Path("models/encoder").mkdir(parents=True)
    write_drawn_split(Path("data/retrieval/val"), queries=4, seed=2)
    EncodedComposer(tiny_conse(), arithmetic()).save(Path("models/encoder"))
    compose(
        Path("params.yaml"),
        [
            *("encoder=photos", "text_data=captioned_folder", f"text_data.root={folder}"),
            *("text_data.workers=1", "finetune_text_search.steps=2"),
            *("finetune_text_search.evaluate_every=1", "score_text_search.resamples=20"),
        ],
    )
    return tmp_path


def test_towers_without_tokens_learn_from_captions_by_people_alone(captioned, capsys):
    for stage in (prepare, train_captioner, caption, finetune, score):
        stage.main()
    said = "".join(capsys.readouterr())
    assert "captioner.kind is none: images that people have not captioned stay without" in said
    assert "6 images with captions by people, 0 with the captioner's, 3 without" in said
    assert {by for _, _, by in captions_file.read(Path("data/captions.csv"))} == {"people"}
    before = EncodedComposer.load("models/encoder").encoder.state_dict()
    after = EncodedComposer.load("models/text_search").encoder.state_dict()
    learned = {name for name in after if not before[name].equal(after[name])}
    head = "clip.visual.head."
    assert {f"{head}class_vectors", f"{head}scalars", f"{head}projection.weight"} == learned
    found = TextSearchMetrics.read(Path("metrics/text_search.json"))
    assert [row.what for row in found.results] == ["before", "after"]


def test_captions_by_no_captioner_are_refused_in_a_sentence(captioned):
    prepare.main()
    train_captioner.main()
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    params["caption_images"]["each"] = 1
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    with pytest.raises(UserError, match=r"models/captioner holds no captioner.*kind is none"):
        caption.main()


def test_a_micro_captioner_on_such_towers_is_refused_with_the_way_out(captioned):
    prepare.main()
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    params["captioner"] = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["captioner"]
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    with pytest.raises(UserError, match="text_search=photos"):
        train_captioner.main()
