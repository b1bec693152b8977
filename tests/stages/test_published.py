"""The stage of the published experiments: every experiment is complete; runs on miniature data."""

import copy
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from cir.commands.main import main
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.published.datasets import DATASETS
from cir.published.experiment.training import PairBatches
from stages.params import load
from stages.published import train as benchmark
from tests.helpers import ROOT, tiny_bert
from tests.helpers import miniature_datasets as mini
from tests.helpers.compositions import composed, composed_values

# A GPU does not always sum in the same order.
ROUNDING = 0 if DEVICE == "cpu" else 1e-2
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
# Composer, texts, whether the target's caption is read, criterion, weight decay, steps, period.
PUBLISHED = {
    "tirg_mit_states": ("tirg", "words", False, "soft_triplet", 5e-5, 160_000, 50_000),
    "tirg_bert_mit_states": ("tirg", "bert", False, "soft_triplet", 5e-5, 160_000, 50_000),
    "tirg_complete_text_mit_states":
        ("tirg", "words", True, "soft_triplet", 5e-5, 160_000, 50_000),
    "composeae_mit_states": ("composeae", "bert", True, "soft_triplet", 5e-5, 160_000, 50_000),
    "realspace_mit_states":
        ("real_space_concat_ae", "bert", True, "soft_triplet", 5e-5, 160_000, 50_000),
    "tirg_fashion200k": ("tirg", "words", False, "batch_classification", 1e-6, 160_000, 50_000),
    "composeae_fashion200k":
        ("composeae", "bert", True, "batch_classification", 5e-5, 160_000, 50_000),
    "tirg_fashioniq": ("tirg", "words", None, "batch_classification", 1e-6, 100_000, 8_000),
    "composeae_fashioniq":
        ("composeae", "bert", None, "batch_classification", 1e-6, 100_000, 8_000),
    "realspace_fashioniq":
        ("real_space_concat_ae", "bert", None, "batch_classification", 1e-6, 100_000, 8_000),
}  # fmt: skip
DRAWN = {
    "tirg_attributes": "tirg",
    "composeae_attributes": "composeae",
    "realspace_attributes": "real_space_concat_ae",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder to run the stage in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_CHECKPOINTS", raising=False)
    return tmp_path


def params_of(*overrides):
    """params.yaml as `dvc exp run -S` writes it, read by the stage."""
    Path("params.yaml").write_text(composed(*overrides), encoding="utf-8")
    return load(benchmark.Params)


def test_every_experiment_is_told_of_here():
    assert set(EXPERIMENTS) == {*PUBLISHED, *DRAWN, "none"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_experiments_have_the_published_settings(name, project):
    params = params_of(f"experiment={name}").benchmark
    dataset, optimiser = params.dataset, params.optimiser
    text = getattr(dataset, "text", None)
    complete = None if text is None else text == "the target's caption"
    assert PUBLISHED[name] == (
        params.composer.name,
        params.texts.reader,
        complete,
        params.criterion.name,
        optimiser.weight_decay,
        params.steps,
        optimiser.period,
    )
    assert name.endswith(dataset.name)
    assert (optimiser.kind, optimiser.momentum, optimiser.factor) == ("sgd", 0.9, 0.1)
    assert (optimiser.learning_rate, optimiser.backbone_share) == (0.01, 0.1)
    assert (params.batch_size, params.composer.text) == (32, "sentence")
    assert (params.images.tower, params.images.pretrained) == ("resnet18", "IMAGENET1K_V1")
    assert (params.images.dim, params.images.resize, params.images.crop) == (512, 224, 224)
    if dataset.name == "mit_states":
        assert params.criterion.halved
    if dataset.name == "fashioniq":
        assert (dataset.gallery, dataset.captions, dataset.reference_kept) == (
            "pooled",
            "composeae",
            True,
        )
    assert dataset.create() == DATASETS[dataset.name](
        **{k: v for k, v in dataset.model_dump().items() if k not in ("name", "absent")}
    )
    assert params.schedule().gradient_clip is None


@pytest.mark.parametrize("name", [*DRAWN, "none"])
def test_drawn_experiments_differ_in_the_composer(name, project):
    params = params_of(f"experiment={name}")
    assert params.benchmark.composer.name == DRAWN.get(name, "tirg")
    same = params.benchmark.model_dump(exclude={"composer"})
    assert same == params_of().benchmark.model_dump(exclude={"composer"})
    assert params.benchmark.dataset.create() == DATASETS["drawn_attributes"](
        **params.benchmark.dataset.model_dump(exclude={"name", "absent"})
    )


def tiny(name, root, *overrides, texts="texts.dim=8"):
    """A published experiment for four steps on miniature data, a ResNet of tiny images."""
    mini.noisy(mini.WRITERS[name](Path(root)))
    sizes = ["images.pretrained=null", "images.dim=8", "images.resize=16", "images.crop=16"]
    sizes += ["steps=4", "batch_size=6", "evaluate_every=2", "workers=0", texts]
    return [f"benchmark.{size}" for size in (*sizes, f"dataset.root={root}")] + list(overrides)


def rows(path="metrics/benchmark.json"):
    return json.loads(Path(path).read_text())


@pytest.mark.parametrize(
    ("experiment", "dataset", "queries", "recalls"),
    [
        ("tirg_mit_states", "mit_states", [7], {1, 5, 10, 50, 100}),
        ("tirg_fashion200k", "fashion200k", [2], {1, 10, 50}),
        ("tirg_fashioniq", "fashioniq", [3, 3, 3, 9], {10, 50}),
    ],
)
def test_published_experiments_run_on_miniature_data(
    experiment, dataset, queries, recalls, project
):
    options = tiny(dataset, "data")
    before = params_of(f"experiment={experiment}", *options)
    benchmark.main()
    metrics, curve = rows(), pd.read_csv("metrics/curves/benchmark.csv")
    assert [row["queries"] for row in metrics["results"]] == queries
    for row in metrics["results"]:
        assert {f"recall@{k}" for k in recalls} <= row.keys()
        assert row["protocol"]["query"] == "image and sentence"
    assert metrics["benchmark_step"] == 4
    assert "benchmark_val_recall@1" not in metrics  # nothing but the split that is scored
    assert 0 <= metrics["benchmark_recall@1"] <= metrics["benchmark_recall@10"] <= 1
    assert curve["step"].tolist() == [2, 4]
    model = EncodedComposer.load("models/benchmark")
    assert metrics["benchmark_weights"] > sum(
        w.numel() for w in model.parameters()
    )  # and the scale
    assert model.encoder.text_dim == before.benchmark.texts.dim
    assert not list(Path(".checkpoints").iterdir())


def test_the_same_run_gives_the_same_figures_and_another_seed_others(project):
    options = tiny("mit_states", "data", "experiment=tirg_mit_states")
    found = []
    for seed in (1, 1, 2):
        params_of(*options, f"seed={seed}")
        benchmark.main()
        found.append(pd.read_csv("metrics/curves/benchmark.csv")["loss"].tolist())
    assert found[0] == pytest.approx(found[1], rel=ROUNDING, abs=0)
    assert found[0] != found[2]


def test_an_interrupted_run_goes_on_to_the_same_model(project, monkeypatch):
    options = tiny("fashion200k", "data", "experiment=tirg_fashion200k")
    params_of(*options)
    benchmark.main()
    expected = Path("metrics/benchmark.json").read_text(), model_weights()
    batch = PairBatches.__getitem__

    def stopped(self, step):
        if step == 3:
            raise KeyboardInterrupt
        return batch(self, step)

    monkeypatch.setattr(PairBatches, "__getitem__", stopped)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main()
    asked = []
    resumed = lambda self, step: asked.append(step) or batch(self, step)  # noqa: E731
    monkeypatch.setattr(PairBatches, "__getitem__", resumed)
    benchmark.main()
    assert asked == [2, 3]
    torch.testing.assert_close(model_weights(), expected[1], rtol=0, atol=ROUNDING)
    if DEVICE == "cpu":
        assert Path("metrics/benchmark.json").read_text() == expected[0]


def model_weights():
    return EncodedComposer.load("models/benchmark").state_dict()


def test_bert_reads_the_texts_and_is_kept_with_the_model(project):
    (project / "bert").mkdir()
    checkpoint = tiny_bert.write(project / "bert")
    texts = f"texts.checkpoint={checkpoint}"
    params_of(*tiny("mit_states", "data", "experiment=composeae_mit_states", texts=texts))
    benchmark.main()
    columns = pd.read_csv("metrics/curves/benchmark.csv").dropna(axis=1).columns
    assert {"composition", "image_decoding", "text_decoding", "rotation"} <= set(columns)
    model = EncodedComposer.load("models/benchmark")
    assert (model.encoder.dim, model.encoder.text_dim) == (8, 16)
    assert rows()["results"][0]["protocol"]["text"] == "the target's caption"


@pytest.fixture
def base(project):
    """An untrained micro encoder as models/encoder_base."""
    torch.manual_seed(0)
    Path("models/encoder_base").mkdir(parents=True)
    Encoder.create("ViTamin-Micro-64", None, "{}").save("models/encoder_base")
    return project


def test_drawn_scenes_train_on_our_own_encoder_standing_still(base):
    params_of("benchmark=smoke")
    benchmark.main()
    metrics, curve = rows(), pd.read_csv("metrics/curves/benchmark.csv")
    (result,) = metrics["results"]
    assert (result["queries"], result["gallery_size"]) == (8, 10)
    best = curve.loc[curve["recall_at_1"] == curve["recall_at_1"].max()].iloc[-1]
    assert (metrics["benchmark_val_recall@1"], metrics["benchmark_step"]) == (
        best["recall_at_1"],
        best["step"],
    )
    model = EncodedComposer.load("models/benchmark")
    before = Encoder.load("models/encoder_base")
    assert model.encoder.images.fingerprint() == before.fingerprint()
    in_encoder = sum(w.numel() for w in before.parameters())
    assert (
        metrics["benchmark_weights"] == 1 + sum(w.numel() for w in model.parameters()) - in_encoder
    )


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("dataset", {"root": "nowhere"}, "nowhere"),
        ("dataset", {"rot": "x"}, r'unknown key "benchmark\.dataset\.rot"; did you mean "root"'),
        ("dataset", {"name": "mitstates"}, r"benchmark\.dataset\.name must be one of 'mit_states'"),
        ("texts", {"reader": "gpt"}, r"texts\.reader must be one of 'words', 'bert', got 'gpt'"),
        ("composer", {"text": "edit"}, r"composer\.text must be 'sentence'.*got 'edit'"),
        ("composer", {"name": "arithmetic"}, r"composer\.name must be one of 'concatenation'"),
        ("images", {"pretrained": "lost.pth"}, r'IMAGENET1K_V1\), got "lost\.pth"'),
        ("images", {"crop": 99}, r"images\.crop must be at most images\.resize"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is(section, values, sentence, project):
    options = tiny("mit_states", "data", "experiment=tirg_mit_states")
    params = copy.deepcopy(composed_values(*options))
    params["benchmark"][section].update(values)
    Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        benchmark.main()
    assert not Path("models").exists()


def test_absent_images_are_refused_with_counts_or_left_out_with_a_note(project, capsys):
    options = tiny("fashion200k", "data", "experiment=tirg_fashion200k")
    (project / "data/women/a/3.jpeg").unlink()
    params_of(*options)
    with pytest.raises(UserError, match=r"Fashion200k train: 1 of 5 images are not there"):
        benchmark.main()
    (project / "data/women/c/4.jpeg").unlink()
    params_of(*options, "benchmark.dataset.absent=leave out")
    capsys.readouterr()
    benchmark.main()
    assert rows()["results"][0]["queries"] == 2
    told = capsys.readouterr().err
    assert "Fashion200k train: 1 of 5 images are absent or broken and left out\n" in told
    left_out = "0 of 2 queries and 1 of 4 gallery images"
    assert f"Fashion200k test: {left_out} are left out: their images are absent or broken\n" in told


def test_a_model_of_cirr_answers_circo(project, capsys):
    """CIRCO has nothing to train on: what its server gets was trained on other data."""
    options = tiny("cirr", "cirr_data", "benchmark=cirr")
    params_of(*options)
    benchmark.main()
    root = str(mini.circo(project / "circo_data"))
    capsys.readouterr()
    assert main(["data", "answers", "circo", "--root", root, "--out", "out"]) == 0
    assert capsys.readouterr().out == "out/circo.json\n"
    assert main(["data", "check-answers", "circo", "out/circo.json", "--root", root]) == 0
