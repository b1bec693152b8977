"""The stages from captions to a fine-tuned encoder, from drawn scenes, at smoke size."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.datasets.scenes import all_names, draw_scene
from cir.encoders import Encoder
from cir.encoders.paired import GivenFeatures, PairedEncoder
from cir.encoders.words import WordLSTM
from cir.images import shards
from cir.images.shards import ImageShards, read_info, read_triplets
from cir.text_search.data import captions_file
from cir.text_search.data.queries import read_captions, read_queries, write_captions
from cir.text_search.training.caption_truth import share_naming_what_is_shown, share_true
from cir.text_search.training.captioner import Captioner
from cir.text_search.training.captioner_training import word_accuracy
from cir.text_search.training.finetuning import caption_score
from cir.training.composition import gallery_accuracy
from cir.training.shared.batches import Pixels
from cir.training.shared.optimisers import muon_with_cosine
from stages.text_search import caption as caption_images
from stages.text_search import finetune as finetune_text_search
from stages.text_search import prepare as prepare_text_search
from stages.text_search import train_captioner
from tests.helpers.composers import arithmetic
from tests.helpers.copied_project import work_in_copy
from tests.helpers.drawn_split import write_drawn_split
from tests.helpers.tiny_coca import TINY, registered
from tools.compose_params import compose

pytestmark = pytest.mark.recipes

CHOICES = ["text_data=smoke", "text_search=smoke"]
STAGES = (prepare_text_search, train_captioner, caption_images, finetune_text_search)
COLOURS, KINDS = ("red", "blue", "green", "yellow"), ("mug", "car", "fish", "hat", "key", "tree")
NAMES = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
SHOWN = [("red mug", "blue car"), ("green fish", "yellow hat", "red key"), ("blue tree",)]
CSV = Path("data/captions.csv")


def picture(names, seed, size=64):
    encoded = io.BytesIO()
    draw_scene(names, np.random.default_rng(seed), size).save(encoded, "PNG")
    return encoded.getvalue()


class LiteralTagger:
    """Reads "replace the red mug with a blue car" without a network."""

    @staticmethod
    def load(folder, device):
        assert (str(folder), device) == ("models/tagger", DEVICE)
        return LiteralTagger()

    def tag(self, texts):
        parts = [text.removeprefix("replace the ").split(" with a ") for text in texts]
        return [Edit(t, (new,), (old,)) for t, (old, new) in zip(texts, parts, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def tagger():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(finetune_text_search, "Tagger", LiteralTagger)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, tagger):
    """A project in which every stage has run once."""
    project = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(project)
        for name in ("CIR_CHECKPOINTS", "RANK", "WORLD_SIZE"):
            patched.delenv(name, raising=False)
        compose(Path("params.yaml"), CHOICES)
        images = [(f"i{n}", picture(names, n), names) for n, names in enumerate(SHOWN)]
        shards.write(Path("data/retrieval/train"), images, [], {"source": "scenes", "names": NAMES})
        write_drawn_split(Path("data/retrieval/val"), queries=12, seed=2)
        torch.manual_seed(8)
        model = EncodedComposer(
            Encoder.create("ViTamin-Micro-64", None, "a photo of a {}"),
            arithmetic(),
        )
        Path("models/encoder").mkdir(parents=True)
        model.save(Path("models/encoder"))
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
    """Set params of the project, or with `kind` a whole section anew."""
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    if "kind" in values or "source" in values:
        params[section] = values
    else:
        params[section].update(values)
    yaml.dump(params, Path("params.yaml"))


def split(project, part):
    return ImageShards(project / "data/text_search" / part)


def test_every_output_is_there_and_whole(made):
    found = {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    expected = {
        *(f"data/text_search/{part}/info.json" for part in ("train", "val", "test")),
        *(f"data/text_search/{part}/queries.parquet" for part in ("val", "test")),
        "data/text_search/train/images-00001.parquet",
        "data/captions.csv",
        "metrics/captioner.json",
        "metrics/captions.json",
        "metrics/text_finetune.json",
        "metrics/curves/captioner.csv",
        "metrics/curves/text_finetune.csv",
        "models/captioner/captioner.json",
        "models/captioner/captioner.safetensors",
        "models/text_search/open_clip_model.safetensors",
    }
    assert expected <= found
    assert not [name for name in found if ".partial" in name or name.endswith(".lock")]
    assert list((made / ".checkpoints").iterdir()) == []


def test_the_data_is_what_the_params_say(made):
    counts = {
        part: [
            read_info(made / "data/text_search" / part)[key]
            for key in ("images", "captions", "queries")
        ]
        for part in ("train", "val", "test")
    }
    assert counts == {"train": [40, 60, 0], "val": [40, 40, 10], "test": [40, 0, 10]}
    shown = {
        name
        for part in counts
        for i in split(made, part).ids
        for name in split(made, part).objects(i)
    }
    assert shown <= set(NAMES), "the names of the data before"
    test = split(made, "test")
    assert {query.kind for query in read_queries(test.folder, test.ids)} >= {"place", "count"}


def test_what_training_showed_before_is_asked_for_by_no_query(project, monkeypatch):
    given = []

    def load(params, names, seen, seed):
        given.append((params, names, seen, seed))
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_text_search.drawn, "load", load)
    before = Path("data/text_search/test/queries.parquet").read_bytes()
    change("text_data", described=7, captions_each=3, val_queries_each=1, image_size=48, workers=3)
    with pytest.raises(KeyboardInterrupt):
        prepare_text_search.main()
    assert Path("data/text_search/test/queries.parquet").read_bytes() == before
    ((params, names, seen, seed),) = given
    assert (params.described, params.val_queries_each, params.image_size) == (7, 1, 48)
    assert (names, seed, params.processes()) == (NAMES, 17, 3)
    pairs = ["red mug, blue car", "green fish, yellow hat", "green fish, red key"]
    pairs += ["yellow hat, red key"]
    assert seen == {frozenset(pair.split(", ")) for pair in pairs}


def test_of_other_data_all_names_are_drawn(project, monkeypatch):
    images = [("i0", picture(SHOWN[0], 0), ())]
    shards.write(Path("data/retrieval/train"), images, [], {"source": "coco"})
    given = []
    monkeypatch.setattr(prepare_text_search.drawn, "load", lambda *of: given.append(of) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_text_search.main()
    assert given[0][1:3] == (all_names(), set())


def test_the_captioner_is_the_one_that_its_metrics_tell_of(made):
    metrics = read(made / "metrics/captioner.json")
    train_captioner.Metrics.model_validate(metrics)
    curve = pd.read_csv(made / "metrics/curves/captioner.csv")
    assert tuple(curve.columns) == train_captioner.COLUMNS
    assert curve["step"].tolist() == [2, 4]
    best = curve.sort_values(["score", "step"]).iloc[-1]
    assert metrics["captioner_step"] == best["step"]
    assert metrics["captioner_word_accuracy"] == pytest.approx(best["score"], abs=1e-4)
    captioner = Captioner.load(made / "models/captioner").eval()
    val = split(made, "val")
    found = word_accuracy(captioner, Pixels(val, captioner.encoder), read_captions(val.folder))
    assert metrics["captioner_word_accuracy"] == pytest.approx(found, abs=1e-6)
    assert captioner.vocabulary.encode(["a red mug"])[0, :5].min() > 1
    assert len(captioner.encoder.clip.text_decoder.resblocks) == 1


def test_images_without_a_caption_get_the_captioners(made):
    rows = captions_file.read(made / CSV)
    people = [(name, text) for name, text, by in rows if by == "people"]
    assert people == read_captions(made / "data/text_search/train")
    train = split(made, "train")
    rest = sorted(set(train.ids) - {name for name, _ in people})
    assert len(rest) == 10
    captioner = Captioner.load(made / "models/captioner").eval()
    texts = captioner.captions(Pixels(train, captioner.encoder).get(rest))
    expected = [(name, text, "model") for name, (text,) in zip(rest, texts, strict=True) if text]
    assert rows[len(people) :] == expected
    metrics = read(made / "metrics/captions.json")
    caption_images.Metrics.model_validate(metrics)
    assert (metrics["captions_by_people"], metrics["captions_by_model"]) == (60, len(expected))
    objects = {name: train.objects(name) for name in train.ids}
    judged = [(name, [text]) for name, text, _ in expected]
    assert any(len(set(own)) < len(own) for own in objects.values())
    for name, share in (
        ("captions_true", share_true),
        ("captions_naming_only_what_is_shown", share_naming_what_is_shown),
    ):
        true = share(judged, objects)
        assert metrics.get(name) == (true if true is None else pytest.approx(true))


def weights(folder):
    return EncodedComposer.load(folder).encoder.state_dict()


def test_composed_queries_are_measured_before_and_after(made):
    metrics = read(made / "metrics/text_finetune.json")
    images, triplets = (of(made / "data/retrieval/val") for of in (ImageShards, read_triplets))
    edits = [Edit(triplet.text, triplet.add, triplet.remove) for triplet in triplets]
    found = []
    for name in ("encoder", "text_search"):
        model = EncodedComposer.load(made / "models" / name).eval()
        pixels = Pixels(images, model.encoder)
        found.append(gallery_accuracy(model, pixels, images.ids, triplets, edits)["accuracy"])
    assert [metrics["text_val_composed_before"], metrics["text_val_composed"]] == found


def test_before_is_the_encoder_and_after_the_mixture(project, monkeypatch):
    """Untrained ones may compose equally well: so each is told by its fingerprint."""
    names = {
        EncodedComposer.load(f"models/{name}").encoder.fingerprint(): share
        for name, share in (("encoder", 0.25), ("text_search", 0.75))
    }

    def accuracy(model, pixels, ids, triplets, edits):
        assert len(ids) == 36
        assert [edit.add for edit in edits] == [triplet.add for triplet in triplets]
        assert not model.training
        return {"accuracy": names[model.encoder.fingerprint()]}

    monkeypatch.setattr(finetune_text_search, "gallery_accuracy", accuracy)
    rows = [{"step": 2, "score": 0.5}, {"step": 4, "score": 0.5}, {"step": 6, "score": 0.1}]
    finetune_text_search.save(EncodedComposer.load("models/text_search"), rows, 0.375)
    assert read("metrics/text_finetune.json") == {
        "text_val_mrr": 0.375,
        "text_best_step": 4,
        "text_val_composed": 0.75,
        "text_val_composed_before": 0.25,
    }


def test_the_model_is_the_mixture_and_its_metrics_are_of_it(project):
    model = EncodedComposer.load(project / "models/text_search")
    val = split(project, "val")
    pixels = Pixels(val, model.encoder)
    score = caption_score(model.encoder.eval(), pixels, read_captions(val.folder))
    metrics = read(project / "metrics/text_finetune.json")
    finetune_text_search.Metrics.model_validate(metrics)
    assert metrics["text_val_mrr"] == pytest.approx(score, abs=1e-6)
    curve = pd.read_csv("metrics/curves/text_finetune.csv")
    assert tuple(curve.columns) == finetune_text_search.COLUMNS
    assert metrics["text_best_step"] == curve.sort_values(["score", "step"]).iloc[-1]["step"]
    before, mixture = weights("models/encoder"), weights("models/text_search")
    change("finetune_text_search", share=1.0)
    finetune_text_search.main()
    after = weights("models/text_search")
    moved = 0
    for name, weight in after.items():
        expected = 0.4 * before[name] + 0.6 * weight
        torch.testing.assert_close(mixture[name], expected, atol=1e-6, rtol=1e-5)
        moved += not torch.equal(before[name], weight)
    assert moved == len(after), "both towers and the temperature learn"
    alone = EncodedComposer.load("models/text_search").encoder.eval()
    score = caption_score(alone, Pixels(val, alone), read_captions(val.folder))
    assert read("metrics/text_finetune.json")["text_val_mrr"] == pytest.approx(score, abs=1e-6)


class Given(Exception):  # noqa: N818
    """What a stage gave to the training loop."""


@pytest.fixture
def fit_given(monkeypatch):
    """Runs a stage up to its training, and tells what the loop was given."""

    def run(stage):
        def fit(*arguments):
            raise Given(*arguments)

        monkeypatch.setattr(stage, "fit", fit)
        with pytest.raises(Given) as caught:
            stage.main()
        return caught.value.args

    return run


TRAINING = {"steps": 6, "batch_size": 5, "learning_rate": 0.01, "weight_decay": 0.03}
TRAINING |= {"optimiser": "muon"}
TRAINING |= {"warmup": 0.35, "gradient_clip": 3.0, "temperature": 0.2, "evaluate_every": 3}


def same_schedule(schedule, seed):
    assert (schedule.steps, schedule.evaluate_every, seed) == (6, 3, 17)
    assert (schedule.warmup, schedule.gradient_clip) == (0.35, 3.0)


def test_params_of_the_captioner_arrive(project, fit_given):
    change("captioner", **TRAINING, layers=2, heads=4, captioning_weight=1.5, tower_rate=0.0)
    objective, groups, batches, validate, schedule, seed, *rest = fit_given(train_captioner)
    same_schedule(schedule, seed)
    assert rest[-1] is muon_with_cosine
    assert objective.losses.caption_loss_weight == 1.5
    coca = objective.captioner.encoder.clip
    assert len(coca.text_decoder.resblocks) == len(coca.text.transformer.resblocks) == 2
    assert coca.text_decoder.resblocks[0].attn.num_heads == 4
    assert coca.logit_scale.exp().item() == pytest.approx(5)
    assert {group["lr"] for group in groups} == {0.0, 0.01}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.03}
    assert len(batches) == 6
    own = batches[0].captions
    assert [len(texts) for texts in own] == [1] * 5
    assert {text for texts in own for text in texts} <= {
        text for _, text in read_captions(Path("data/text_search/train"))
    }
    assert set(validate()) == {"score"}
    tower = EncodedComposer.load("models/encoder").encoder.clip.visual.state_dict()
    for name, weight in coca.visual.state_dict().items():
        assert torch.equal(weight, tower[name]), name


def test_params_of_the_finetuning_arrive(project, fit_given):
    change("finetune_text_search", **TRAINING, captions=1, train={"what": "all", "decay": 0.5})
    objective, groups, batches, _, schedule, seed, *rest = fit_given(finetune_text_search)
    same_schedule(schedule, seed)
    assert rest[-1] is muon_with_cosine
    assert objective.encoder.clip.logit_scale.exp().item() == pytest.approx(5)
    rates = sorted({round(group["lr"], 9) for group in groups})
    assert rates[-2:] == [0.005, 0.01]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.03}
    assert [len(own) for own in batches[0].captions] == [1] * 5


def seen_in(batches):
    """The images and the captions that training may show."""
    return set(batches._captions), {t for own in batches._captions.values() for t in own}


@pytest.mark.parametrize("use", [["people"], ["model"], ["people", "model"]])
def test_training_uses_the_captions_that_are_chosen(project, fit_given, use):
    captions_file.write(
        CSV,
        [
            *[(f"train-{n:05d}", f"said of {n}", "people") for n in range(4)],
            *[(f"train-{n:05d}", f"made of {n}", "model") for n in range(2, 9)],
        ],
    )
    change("finetune_text_search", use=use, captions=3)
    _, _, batches, *_ = fit_given(finetune_text_search)
    images, texts = seen_in(batches)
    numbers = {"people": set(range(4)), "model": set(range(2, 9))}
    assert images == {f"train-{n:05d}" for by in use for n in numbers[by]}
    words = {"people": "said", "model": "made"}
    assert texts == {f"{words[by]} of {n}" for by in use for n in numbers[by]}
    assert len(batches[0].captions) == min(8, len(images))
    most = max(len(own) for step in range(4) for own in batches[step].captions)
    assert most == len(use), "two images have a caption by either"


def test_no_captions_are_made_where_none_are_wanted(project):
    change("caption_images", each=0)
    caption_images.main()
    assert {by for _, _, by in captions_file.read(CSV)} == {"people"}
    metrics = read("metrics/captions.json")
    assert metrics["captions_by_model"] == 0
    assert metrics.get("captions_true") is None


def test_several_captions_are_drawn_at_a_temperature(project):
    change("caption_images", each=3, temperature=1.0)
    caption_images.main()
    drawn = [(name, text) for name, text, by in captions_file.read(CSV) if by == "model"]
    assert len(set(drawn)) == len(drawn)
    assert 12 < len(drawn) <= 30
    first = CSV.read_bytes()
    caption_images.main()
    assert CSV.read_bytes() == first
    change("caption_images", each=3, temperature=1.0, batch_size=4)
    caption_images.main()
    assert CSV.read_bytes() != first


@pytest.fixture
def photos(project):
    """A folder of a user's images, one of them broken, one captioned by people."""
    folder = project / "photos"
    (folder / "trip").mkdir(parents=True)
    for place, name in enumerate(["a.png", "b.png", "trip/c.png"]):
        (folder / name).write_bytes(picture(["red mug"], place, 80))
    (folder / "trip/broken.jpg").write_bytes(b"\xff\xd8 no more")
    (folder / "said.csv").write_text("image,caption\na.png,the mug of my aunt\n")
    return folder


def test_a_folder_of_images_is_captioned(photos, capsys):
    change("caption_images", folder=str(photos), people=str(photos / "said.csv"), each=2)
    change("caption_images", temperature=1.0)
    caption_images.main()
    rows = captions_file.read(CSV)
    assert rows[0] == ("a.png", "the mug of my aunt", "people")
    assert {(name, by) for name, _, by in rows[1:]} == {("b.png", "model"), ("trip/c.png", "model")}
    said = "".join(capsys.readouterr())
    assert "left out: " in said
    assert "trip/broken.jpg" in said
    metrics = read("metrics/captions.json")
    assert metrics.get("captions_true") is None
    assert (metrics["captions_by_people"], metrics["captions_by_model"]) == (1, len(rows) - 1)
    refused(
        finetune_text_search, r"captions of 3 images that are not in data/text_search/train: a\.p"
    )


def test_a_published_captioner_is_taken_as_it_is(photos, tmp_path):
    with registered(tmp_path) as checkpoint:
        change("captioner", kind="published", model=TINY, pretrained=str(checkpoint))
        train_captioner.main()
        assert read("models/captioner/captioner.json")["model"] == TINY
        loaded = Captioner.load("models/captioner").encoder.clip.state_dict()
        own = torch.load(checkpoint)
        assert all(torch.equal(loaded[name], own[name]) for name in own)
        train_captioner.Metrics.model_validate(read("metrics/captioner.json"))
        assert read("metrics/captioner.json").get("captioner_step") is None
        curve = pd.read_csv("metrics/curves/captioner.csv")
        assert tuple(curve.columns) == train_captioner.COLUMNS
        assert curve.empty
        change("caption_images", folder=str(photos))
        caption_images.main()
    assert {name for name, _, _ in captions_file.read(CSV)} == {"a.png", "b.png", "trip/c.png"}


def test_without_the_people_all_are_captioned_by_the_model(photos):
    change("caption_images", folder=str(photos))
    caption_images.main()
    assert {by for _, _, by in captions_file.read(CSV)} <= {"model"}
    assert read("metrics/captions.json")["captions_by_people"] == 0


def refused(stage, sentence):
    outputs = [*Path("metrics").glob("*.json"), *Path("models").rglob("*.*"), CSV]
    before = {path: path.read_bytes() for path in outputs if path.is_file()}
    with pytest.raises(UserError, match=sentence) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before


def test_a_name_that_a_csv_cannot_hold_is_told_of(photos, capsys):
    try:
        (photos / os.fsdecode(b"\xff.png")).write_bytes(picture(["red mug"], 9))
    except OSError:
        pytest.skip("the file system takes no such names")
    change("caption_images", folder=str(photos))
    caption_images.main()
    assert "left out: '\\udcff.png', because its name is not UTF-8" in "".join(capsys.readouterr())
    assert {name for name, _, _ in captions_file.read(CSV)} <= {"a.png", "b.png", "trip/c.png"}


def test_an_encoder_without_a_space_for_both_cannot_be_finetuned(project, monkeypatch):
    paired = PairedEncoder(GivenFeatures(4), WordLSTM.for_texts(["a red mug"], 6, 0.1))
    model = EncodedComposer(paired, arithmetic())
    monkeypatch.setattr(EncodedComposer, "load", lambda folder: model)
    refused(finetune_text_search, r"models/encoder holds two towers with a space each; captions")


def test_captions_by_people_of_absent_images(photos):
    (photos / "said.csv").write_text("image,caption\na.png,x\nz.png,y\n")
    change("caption_images", folder=str(photos), people=str(photos / "said.csv"))
    refused(caption_images, r"said\.csv has captions of 1 images that are not in .*photos: z\.png$")


def test_captioned_images_may_lie_in_a_folder_of_their_own(photos):
    """As prepare_text_search takes them: the captions beside the folder images/."""
    (photos / "images").mkdir()
    (photos / "b.png").rename(photos / "images/b.png")
    line = json.dumps({"image": "b.png", "captions": ["a mug", "my mug"]})
    (photos / "captions.JSONL").write_text(
        line + '\n{"image": "a.png", "captions": ["x"]}\n' + line.replace("b.png", "images/b.png")
    )
    change("caption_images", folder=str(photos), people=str(photos / "captions.JSONL"))
    caption_images.main()
    rows = captions_file.read(CSV)
    people = [(name, text) for name, text, by in rows if by == "people"]
    mugs = [("images/b.png", text) for text in ("a mug", "my mug")]
    assert people == [*mugs, *mugs, ("a.png", "x")]
    assert {name for name, _, by in rows if by == "model"} <= {"trip/c.png"}


def test_a_folder_without_an_image(photos):
    (photos / "empty").mkdir()
    change("caption_images", folder=str(photos / "empty"))
    refused(caption_images, r"photos/empty holds no image to caption$")
    (photos / "empty/one.png").write_bytes(b"none")
    refused(caption_images, r"none of the 1 images of folder:.*photos/empty can be read$")
    change("caption_images", folder=str(photos / "none"))
    refused(caption_images, r"photos/none is not a folder of images$")


def test_no_captions_at_all(project):
    write_captions(Path("data/text_search/train"), [])
    refused(train_captioner, r"data/text_search/train has no captions to train a captioner on; set")
    captions_file.write(CSV, [("train-00001", "x", "people")])
    change("finetune_text_search", use=["model"])
    refused(finetune_text_search, r"data/captions\.csv holds no caption by model$")
    captions_file.write(CSV, [])
    change("finetune_text_search", use=["people", "model"])
    refused(finetune_text_search, r"holds no caption by people or model$")
    CSV.unlink()
    refused(finetune_text_search, r"data/captions\.csv does not exist$")


def test_a_users_folder_becomes_the_data(photos):
    for number in range(12):
        (photos / f"p{number:02d}.png").write_bytes(picture(["blue car"], 50 + number, 70))
    lines = [f"p{number:02d}.png,car {number}" for number in range(12)]
    (photos / "captions.csv").write_text("\n".join(["image,caption", *lines]))
    section = {"val": 0.25, "test": 0.25, "max_side": 64, "rows_per_shard": 5, "workers": 1}
    change(
        "text_data", source="captioned_folder", root="photos", captions="captions.csv", **section
    )
    prepare_text_search.main()
    assert [len(split(Path(), part).ids) for part in ("train", "val", "test")] == [8, 3, 3]
    test = split(Path(), "test")
    with Image.open(io.BytesIO(test.encoded(test.ids[0]))) as image:
        assert max(image.size) == 64
    assert len(read_queries(test.folder, test.ids)) == 3
    change("text_data", source="captioned_folder", root="photos", captions="none.csv", **section)
    refused(prepare_text_search, r"photos/none\.csv does not exist")


@pytest.mark.parametrize(
    ("stage", "section", "values", "sentence"),
    [
        (prepare_text_search, "text_data", {"described": 41}, r"described \(41\) counts some of the 40 train_images"),  # noqa: E501
        (prepare_text_search, "text_data", {"test_images": 30}, r"the queries need 38 images of the gallery's 30$"),  # noqa: E501
        (prepare_text_search, "text_data", {"image_size": 16}, r"image_size must be greater than or equal to 32"),  # noqa: E501
        (prepare_text_search, "text_data", {"train_image": 3}, r'unknown key "text_data\.train_image"; did you mean "train_images"'),  # noqa: E501
        (train_captioner, "captioner", {"tower_rate": 1.5}, r"tower_rate must be less than or equal to 1"),  # noqa: E501
        (train_captioner, "captioner", {"captioning_weight": 0.0}, r"captioning_weight must be greater than 0"),  # noqa: E501
        (train_captioner, "captioner", {"kind": "published", "model": "ViTamin-Micro-64", "pretrained": "x"}, r'must be a CoCa of open_clip, got "ViTamin-Micro-64"$'),  # noqa: E501
        (train_captioner, "captioner", {"kind": "published", "model": "coca_ViT-B-32", "pretrained": None}, r'captioner\.pretrained must be a tag or a file'),  # noqa: E501
        (train_captioner, "captioner", {"heads": 7}, r"captioner\.heads must divide \d+, the width of the image tower; got 7$"),  # noqa: E501
        (caption_images, "caption_images", {"each": -1}, r"each must be greater than or equal"),
        (caption_images, "caption_images", {"temperature": -0.1}, r"temperature must be greater than"),  # noqa: E501
        (finetune_text_search, "finetune_text_search", {"share": 0.0}, r"share must be greater than 0"),  # noqa: E501
        (finetune_text_search, "finetune_text_search", {"use": []}, r"finetune_text_search\.use "),
        (finetune_text_search, "finetune_text_search", {"use": ["me"]}, r"use\.0 must be 'people' or 'model', got 'me'"),  # noqa: E501
        (finetune_text_search, "finetune_text_search", {"train": {"what": "all", "decay": 1.2}}, r"train\.decay must be less than or equal to 1"),  # noqa: E501
    ],
)  # fmt: skip
def test_bad_params_are_one_sentence(project, stage, section, values, sentence):
    change(section, **values)
    refused(stage, sentence)


def test_parts_that_leave_nothing_for_training(project):
    section = {"root": ".", "captions": "c.csv", "val": 0.5, "test": 0.5, "max_side": 64}
    change("text_data", source="captioned_folder", **section, rows_per_shard=5, workers=1)
    refused(prepare_text_search, r"val and test leave nothing for train: 0\.5 \+ 0\.5")
