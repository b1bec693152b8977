"""The stages of the class-level retriever, from drawn images to a submission, at smoke size."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import Augmentation
from cir.classes.scoring import ranking_file as class_submission
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.images.shards import ImageShards
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.ranking.metrics import class_figures
from cir.retrieval.ranking.ranking import cosine, rank_by_class
from cir.training.shared.optimisers import muon_with_cosine
from stages.classes import embed as embed_classes
from stages.classes import prepare as prepare_classes
from stages.classes import score as score_classes
from stages.classes import train as train_class_embedder
from tests.helpers.copied_project import work_in_copy
from tools.compose_params import compose

CHOICES = ["class_data=smoke", "class_embedder=smoke"]
STAGES = (prepare_classes, train_class_embedder, embed_classes, score_classes)
KINDS = {"plain", "flip", "untrained", "colours"}
AUGMENTED = {"smallest_crop": 0.6, "flip": True, "brightness": 0.2, "contrast": 0.2}
AUGMENTED |= {"saturation": 0.1, "hue": 0.0, "erase": 0.0}  # of conf/class_embedder/smoke.yaml
JOINT, ALONE = "joint query-gallery graph", "gallery-only graph"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which every stage has run once."""
    project = tmp_path_factory.mktemp("classes")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(project)
        patched.delenv("CIR_CHECKPOINTS", raising=False)
        compose(Path("params.yaml"), CHOICES)
        for stage in STAGES:
            stage.main()
    return project


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, to change."""
    return work_in_copy(made, tmp_path, monkeypatch)


def read(path):
    return json.loads(Path(path).read_text())


def change(section, **values):
    """Set params of the project; a dotted name goes into a section of the section."""
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    for name, value in values.items():
        *inner, last = name.split("__")
        into = params[section]
        for key in inner:
            into = into[key]
        into[last] = value
    yaml.dump(params, Path("params.yaml"))


def test_every_output_is_there_and_whole(made):
    found = {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    embedded = {f"data/class_embeddings/{k}/{p}" for k in KINDS for p in ("query", "gallery")}
    expected = {f"{folder}/vectors-00000.npy" for folder in embedded} | {
        "export/class_ranking.json",
        "metrics/class_embedder.json",
        "metrics/class_retrieval.json",
        "metrics/curves/class_embedder.csv",
        "metrics/curves/class_recall_at_k.csv",
        "metrics/pictures/class_retrieval.jpg",
        "metrics/pictures/class_retrieval.png",
        "models/class_embedder/class_embedder.json",
        "models/class_embedder/class_embedder.safetensors",
    }
    assert expected <= found
    assert not [name for name in found if ".partial" in name or name.endswith(".lock")]
    assert list((made / ".checkpoints").iterdir()) == []


def test_metrics_fit_their_schemas(made):
    training = read(made / "metrics/class_embedder.json")
    train_class_embedder.Metrics.model_validate(training)
    assert training["class_gem_exponent"] == pytest.approx(3, abs=0.1)
    embedder = ClassEmbedder.load(made / "models/class_embedder")
    assert training["class_weights"] == sum(p.numel() for p in embedder.parameters())
    curve = pd.read_csv(made / "metrics/curves/class_embedder.csv")
    assert tuple(curve.columns) == train_class_embedder.COLUMNS
    assert curve["step"].tolist() == [3, 6]
    best = curve.sort_values(["map", "step"]).iloc[-1]
    assert training["class_val_map"] == pytest.approx(best["map"], abs=1e-4)
    assert training["class_step"] == best["step"]
    score_classes.Metrics.model_validate(read(made / "metrics/class_retrieval.json"))


def vectors(made, kind):
    """Read without the fingerprints: what is on the disk."""
    for part in ("query", "gallery"):
        folder = made / "data/class_embeddings" / kind / part
        yield Embeddings.load(folder, read(folder / "info.json")["fingerprint"])


def test_the_plain_row_is_the_ranking_by_cosine(made):
    """From pixels to figures again, with the saved model."""
    embedder = ClassEmbedder.load(made / "models/class_embedder").to(DEVICE).eval()
    found = []
    for part in ("query", "gallery"):
        images = ImageShards(made / "data/classes" / part)
        pixels = np.stack([embedder.preprocess(images.image(name)) for name in images.ids])
        with torch.inference_mode():
            features = embedder.encode_images(torch.from_numpy(pixels))
        unit = torch.nn.functional.normalize(features, dim=1).cpu().numpy()
        found.append((images.ids, [images.objects(n)[0] for n in images.ids], unit))
    for (ids, _, unit), stored in zip(found, vectors(made, "plain"), strict=True):
        assert stored.ids == ids
        np.testing.assert_allclose(stored.vectors, unit, atol=1e-5)
        assert stored.fingerprint == embedder.fingerprint()
    (_, classes, queries), (_, of_gallery, gallery) = found
    expected = class_figures(rank_by_class(cosine(queries, gallery), classes, of_gallery).hit_ranks)
    metrics = read(made / "metrics/class_retrieval.json")
    row = metrics["results"][0]
    assert row["what"] == "plain"
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=0.02), name
    assert metrics["class_map"] == row["map"]
    assert (metrics["class_recall@1"], metrics["class_map@r"]) == (row["recall@1"], row["map@r"])


def test_every_way_has_its_row_and_protocol(made):
    metrics = read(made / "metrics/class_retrieval.json")
    assert [row["what"] for row in metrics["results"]] == [
        "plain",
        "flip-averaged",
        "tower before training",
        "colour histograms",
        "average query expansion",
        "α query expansion",
        f"re-ranked, {JOINT}",
        f"re-ranked, {ALONE}",
    ]
    for row in metrics["results"]:
        assert (row["queries"], row["gallery_size"]) == (20, 40)
        assert row["protocol"]["gallery"] == "held-out images"
        assert row["protocol"]["classes"] == "never trained on"
        low, high = row["map_interval95"]
        assert low <= row["map"] <= high
    assert [row["protocol"].get("graph") for row in metrics["results"][-2:]] == [JOINT, ALONE]
    assert "k1 4, k2 2" in metrics["results"][-1]["protocol"]["refinement"]
    (model,) = metrics["fingerprints"]
    assert model["fingerprint"] == ClassEmbedder.load(made / "models/class_embedder").fingerprint()


def test_classes_and_curve_agree_with_the_plain_row(made):
    metrics = read(made / "metrics/class_retrieval.json")
    of_classes = metrics["by_class"]
    assert len({row["class"] for row in of_classes}) == 20
    assert all(row["gallery_images"] == 2 for row in of_classes)
    scores = [row["map"] for row in of_classes]
    assert scores == sorted(scores)
    assert np.mean(scores) == pytest.approx(metrics["class_map"])
    curve = pd.read_csv(made / "metrics/curves/class_recall_at_k.csv").set_index("k")["recall"]
    assert curve.index.tolist() == [1, 2, 3, 5, 7, 10, 15, 20, 30]
    assert curve.is_monotonic_increasing
    for k in (1, 5, 10):
        assert curve[k] == pytest.approx(metrics["results"][0][f"recall@{k}"])


def test_the_tower_before_training_is_the_one_that_training_began_with(project):
    params = score_classes.load(train_class_embedder.Params)
    torch.manual_seed(params.seed)
    start = params.class_embedder.create().backbone
    for stored in vectors(project, "untrained"):
        assert stored.fingerprint == start.fingerprint()
        assert stored.vectors.shape[1] == 128
    trained = ClassEmbedder.load(project / "models/class_embedder").backbone
    assert trained.fingerprint() != start.fingerprint()


def test_the_submission_is_of_the_plain_ranking(made):
    queries, gallery = (ImageShards(made / "data/classes" / p) for p in ("query", "gallery"))
    path = made / "export/class_ranking.json"
    said = class_submission.check(path, queries.ids, gallery.ids, 10)
    assert said.endswith("answers 20 queries with 10 gallery ids each")
    ranked = read(path)
    right = [gallery.objects(ranked[name][0]) == queries.objects(name) for name in queries.ids]
    metrics = read(made / "metrics/class_retrieval.json")
    assert np.mean(right) <= metrics["class_recall@1"] + 1e-9  # ties count against the hits


def test_the_sheet_shows_as_many_rows_as_asked_for(made):
    with Image.open(made / "metrics/pictures/class_retrieval.jpg") as sheet:
        assert sheet.size == (10 + 11 * 82 + 10, 22 + 10 + 2 * 98)


def test_a_second_run_changes_no_byte(project):
    names = ["metrics/class_embedder.json", "metrics/class_retrieval.json"]
    names += ["export/class_ranking.json", "models/class_embedder/class_embedder.safetensors"]
    before = [Path(name).read_bytes() for name in names]
    for stage in STAGES[1:]:
        stage.main()
    assert [Path(name).read_bytes() for name in names] == before


def test_an_interrupted_embedding_goes_on_where_it_was(project, monkeypatch):
    before = {kind: [own.vectors for own in vectors(project, kind)] for kind in KINDS}
    whole, begun = embed_classes.embed, []

    def embed(encoder, shards, folder, *rest):
        begun.append(folder.parent.name)
        if len(begun) == 4:
            raise KeyboardInterrupt
        whole(encoder, shards, folder, *rest)

    monkeypatch.setattr(embed_classes, "embed", embed)
    shutil.rmtree("data/class_embeddings")
    with pytest.raises(KeyboardInterrupt):
        embed_classes.main()
    assert not Path("data/class_embeddings").exists()
    embed_classes.main()
    # The fourth was stopped and begun again; the three before it were not.
    assert begun == [*["plain"] * 2, *["flip"] * 3, *["untrained"] * 2, *["colours"] * 2]
    for kind, stored in before.items():
        for own, again in zip(stored, vectors(project, kind), strict=True):
            np.testing.assert_array_equal(own, again.vectors)


def test_params_leave_rows_out(project):
    before = read("metrics/class_retrieval.json")
    change("embed_classes", flip=False, baselines=False)
    change("score_classes", average_expansion=None, reranking__graphs=[ALONE], answers=3)
    embed_classes.main()
    assert {path.name for path in Path("data/class_embeddings").iterdir()} == {"plain"}
    score_classes.main()
    metrics = read("metrics/class_retrieval.json")
    assert [row["what"] for row in metrics["results"]] == [
        "plain",
        "α query expansion",
        f"re-ranked, {ALONE}",
    ]
    assert metrics["results"][0] == before["results"][0]
    assert {len(ids) for ids in read("export/class_ranking.json").values()} == {3}
    change("score_classes", alpha_expansion=None, reranking=None)
    score_classes.main()
    assert read("metrics/class_retrieval.json")["results"] == before["results"][:1]


def refused(stage, sentence):
    before = Path("metrics/class_retrieval.json").read_bytes()
    with pytest.raises(UserError, match=sentence) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert Path("metrics/class_retrieval.json").read_bytes() == before


def test_vectors_of_another_embedder_are_refused(project):
    torch.manual_seed(1)
    ClassEmbedder.create("vitamin_micro_64", None, "gem", 512, 0.1).save("models/class_embedder")
    refused(score_classes, r"class_embeddings/plain/query holds vectors of the model .* again$")


def test_vectors_of_other_images_are_refused(project):
    change("class_data", gallery_per_class=3)
    prepare_classes.main()
    refused(score_classes, r"class_embeddings/plain holds vectors of other images than data/cla")


def test_vectors_that_are_not_there_are_told_of(project):
    shutil.rmtree("data/class_embeddings/plain")
    refused(score_classes, r"class_embeddings/plain/query/info\.json does not exist")


@pytest.mark.parametrize(
    ("stage", "section", "values", "sentence"),
    [
        (train_class_embedder, "class_embedder", {"pooling": "median"}, r"class_embedder\.pooling must be 'gem', 'average', 'max' or 'class_token', got 'median'"),  # noqa: E501
        (train_class_embedder, "class_embedder", {"tower": "resnet18"}, r"\"resnet18\" is a ResNet"),  # noqa: E501
        (train_class_embedder, "class_embedder", {"dropout": 1.0}, r"dropout must be less than 1"),
        (train_class_embedder, "train_class_embedder", {"images": 1}, r"images must be greater than or equal to 2, got 1"),  # noqa: E501
        (train_class_embedder, "train_class_embedder", {"classes": 400}, r"got 400 classes x 2 images, and it has 390 classes"),  # noqa: E501
        (train_class_embedder, "train_class_embedder", {"augmentation__hue": 0.7}, r"augmentation\.hue must be less than or equal to 0\.5"),  # noqa: E501
        (train_class_embedder, "train_class_embedder", {"augmentation__flop": True}, r'unknown key "train_class_embedder\.augmentation\.flop"; did you mean "flip"'),  # noqa: E501
        (embed_classes, "embed_classes", {"batch_size": 0}, r"batch_size must be greater than 0"),
        (score_classes, "score_classes", {"reranking__k2": 5}, r"reranking: k2 must be at most k1, got 5 and 4"),  # noqa: E501
        (score_classes, "score_classes", {"reranking__k1": 60}, r"score_classes\.reranking\.k1 must be less than the 40 images of the gallery, got 60; or"),  # noqa: E501
        (score_classes, "score_classes", {"reranking__graphs": [ALONE, ALONE]}, r"graphs must differ"),  # noqa: E501
        (score_classes, "score_classes", {"reranking__graphs": ["mine"]}, r"graphs.0 must be 'joint"),  # noqa: E501
        (score_classes, "score_classes", {"alpha_expansion__alpha": -1.0}, r"alpha must be greater than or equal to 0"),  # noqa: E501
    ],
)  # fmt: skip
def test_bad_params_are_one_sentence(project, stage, section, values, sentence):
    change(section, **values)
    refused(stage, sentence)


def test_launched_processes_must_share_a_batch_evenly(project, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    refused(
        train_class_embedder, r"3 processes cannot share .* evenly, two or more for each: 4 x 2$"
    )


def test_training_gets_what_the_params_say(project, monkeypatch):
    """Params arrive where they belong, and the untrained tower is the one that it began with."""
    change(
        "train_class_embedder",
        mining_from=2,
        optimiser="muon",
        learning_rate=0.01,
        layer_decay=0.5,
        weight_decay=0.03,
        warmup=0.35,
        margin=0.3,
        scale=20.0,
        mining_margin=0.2,
        gradient_clip=3.0,
        evaluate_every=2,
        gradient_checkpointing=True,
        augmentation__smallest_crop=0.45,
        augmentation__erase=0.5,
    )
    given = {}

    def fit(objective, groups, batches, validate, schedule, seed, *rest):
        given.update(objective=objective, groups=groups, batches=batches)
        given.update(schedule=schedule, seed=seed, optimiser=rest[-1])
        given["start"] = objective.embedder.backbone.fingerprint()
        return [{"step": 1, "score": 0.5, "map": 0.5, "recall_at_1": 0.5, **validate()}]

    monkeypatch.setattr(train_class_embedder, "fit", fit)
    train_class_embedder.main()
    embed_classes.main()
    start = read("data/class_embeddings/untrained/query/info.json")["fingerprint"]
    assert start == given["start"]
    assert given["optimiser"] is muon_with_cosine
    schedule = given["schedule"]
    assert (schedule.steps, schedule.evaluate_every, given["seed"]) == (6, 2, 17)
    assert (schedule.warmup, schedule.gradient_clip) == (0.35, 3.0)
    losses = given["objective"]
    assert (losses._loss.m, losses._loss.gamma, losses._miner.epsilon) == (0.3, 20.0, 0.2)
    assert losses.embedder.backbone.tower.grad_checkpointing
    rates = {round(group["lr"], 9) for group in given["groups"]}
    assert rates == {round(0.01 * 0.5**depth, 9) for depth in range(4)}
    assert {group["weight_decay"] for group in given["groups"]} == {0.0, 0.03}
    images = ImageShards(Path("data/classes/train"))
    epoch = -(-len(images.ids) // (4 * 2))
    assert given["batches"]._mined_from == 2 * epoch
    expected = Augmentation(**{**AUGMENTED, "smallest_crop": 0.45, "erase": 0.5})
    assert given["batches"]._augmentation == expected
    assert sorted(given["batches"][0].labels.unique(return_counts=True)[1].tolist()) == [2] * 4
