"""python -m cir data score, answers, check-answers: saved models on miniature datasets."""

import json

import numpy as np
import pytest
import torch

from cir.commands.main import main
from cir.composers import create
from cir.composers.base import made_of
from cir.composers.model import EncodedComposer
from cir.core.records import Edit
from cir.edits.reading.tagger import Tagger
from cir.encoders.paired import PairedEncoder
from cir.encoders.resnet import ResNet18
from cir.encoders.words import WordLSTM
from cir.published.datasets import DATASETS
from cir.published.experiment.scoring import answer, averaged, results
from cir.retrieval.retriever import Retriever
from tests.helpers import miniature_datasets as mini
from tests.helpers.composers import arithmetic

WORDS = ["is longer", "has no sleeves", "has dogs", "shows people", "ripe red castle"]


@pytest.fixture(scope="module")
def models(tmp_path_factory, encoder):
    """query_set/ as the stage of that name saves it, and encoder/ of our own retriever."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    paired = PairedEncoder(ResNet18(8, 4, 4), WordLSTM.for_texts(WORDS, 6, 0.1))
    composer = create({"name": "tirg", "text": "sentence"}, 8, 6)
    for name, model in (
        ("benchmark", EncodedComposer(paired, composer)),
        ("encoder", EncodedComposer(encoder, arithmetic(added_weight=0.5, removed_weight=2.0))),
    ):
        (folder / name).mkdir()
        model.save(folder / name)
    return folder


@pytest.fixture
def run(models, capsys):
    """Run a data command on a root with the model of stage query_set, unless told otherwise."""

    def run_it(command, name, root, *options):
        given = ["data", command, name, *options[:1], "--root", root, *options[1:]]
        if command != "check-answers":
            given = ["data", command, name, "--root", root, *options]
            given += [] if "--model" in options else ["--model", models / "benchmark"]
        capsys.readouterr()
        status = main([str(word) for word in given])
        return status, *capsys.readouterr()

    return run_it


@pytest.fixture
def never(monkeypatch):
    """Fail where a model is loaded: what is refused is refused before."""

    def load(folder):
        raise AssertionError(f"{folder} was loaded")

    monkeypatch.setattr(EncodedComposer, "load", load)


@pytest.mark.parametrize(
    ("name", "part", "queries"),
    [
        ("mit_states", "test", [7]),
        ("fashion200k", "test", [2]),
        ("fashioniq", "val", [3, 3, 3, 9]),
        ("fashioniq", "val dress", [3, 3]),
        ("cirr", "val", [4]),
        ("circo", "val", [3]),
    ],
)
def test_labelled_parts_are_scored(run, tmp_path, name, part, queries):
    out = tmp_path / "figures.json"
    root = mini.WRITERS[name](tmp_path / "data")
    status, printed, _ = run("score", name, root, "--part", part, "--out", out)
    rows = json.loads(out.read_text())["results"]
    assert status == 0
    assert [row["queries"] for row in rows] == queries
    assert {row["protocol"]["query"] for row in rows} == {"image and sentence"}
    assert [line.split(":")[0] for line in printed.splitlines()] == [row["what"] for row in rows]


def test_drawn_scenes_are_scored_without_a_root(models, capsys):
    small = ["queries=4", "gallery=10", "train_images=10"]
    command = ["data", "score", "drawn_attributes", "--part", "val", "--set", *small]
    assert main([*command, "--model", str(models / "benchmark")]) == 0
    assert capsys.readouterr().out.endswith("of 4 queries\n")


class TaggerOfTheEnds:
    """Adds the last word and removes the first."""

    def tag(self, texts):
        return [Edit(text, (text.split()[-1],), (text.split()[0],)) for text in texts]


def test_our_own_retriever_reads_tagged_edits(run, models, tmp_path, monkeypatch):
    """The figures are those of its vectors, one query after another."""
    monkeypatch.setattr(Tagger, "load", lambda folder, device: TaggerOfTheEnds())
    root, out = mini.fashioniq(tmp_path / "data"), tmp_path / "figures.json"
    own = ("--model", models / "encoder", "--tagger", models / "tagger")
    options = ("captions=searle", "gallery=pooled", "reference_kept=false")
    run("score", "fashioniq", root, "--part", "val", "--out", out, *own, "--set", *options)
    dataset = DATASETS["fashioniq"](root, "pooled", "searle", reference_kept=False)
    retriever = Retriever.load(models / "encoder", models / "tagger")
    query_sets, by_input = dataset.query_sets("val"), []
    for query_set in query_sets:
        asked = [(query.reference, text) for query in query_set.queries for text in query.texts]
        images = [dataset.picture(name, query_set.images) for name, _ in asked]
        both = [
            retriever.encode_queries([image], [text])[0]
            for image, (_, text) in zip(images, asked, strict=True)
        ]
        edits = [names_alone(retriever.encoder, text) for _, text in asked]
        gallery = [dataset.picture(name, query_set.images) for name in query_set.gallery]
        vectors = {
            "both": both,
            "edit_alone": edits,
            "image_alone": retriever.encode_gallery(images),
        }
        in_gallery = retriever.encode_gallery(gallery)
        by_input.append(
            {
                name: answer(query_set, averaged(query_set, np.stack(own)), in_gallery)
                for name, own in vectors.items()
            }
        )
    answers = [given["both"] for given in by_input]
    expected = results(query_sets, answers, "image and edit", "tagged", by_input)
    assert json.loads(out.read_text())["results"] == json.loads(json.dumps(expected))
    plain = results(query_sets, answers, "image and edit", "tagged")
    for row, without in zip(expected, plain, strict=True):
        assert without.items() <= row.items()
        added = {"composition_gap", "edit_alone", "image_alone"}
        assert row.keys() - without.keys() - {"composition"} == added


@torch.inference_mode()
def names_alone(encoder, text):
    """Half the last word minus twice the first, as the composer of `models` weighs them."""
    first, *_, last = text.split()
    added, removed = encoder.encode_names([last, first])
    return torch.nn.functional.normalize(0.5 * added - 2 * removed, dim=0).cpu().numpy()


def test_what_queries_are_made_of():
    def of(name, text=None):
        settings = {"name": name} if text is None else {"name": name, "text": text}
        return made_of(create(settings, 8, 8))

    assert of("tirg", "sentence") == ("image and sentence", "none")
    assert of("tirg", "objects") == ("image and edit", "tagged")
    assert of("text_only", "sentence") == ("sentence", "none")
    assert of("text_only", "edit") == ("edit", "tagged")
    assert of("image_only") == ("image", "none")
    assert made_of(arithmetic()) == ("image and edit", "tagged")


@pytest.mark.parametrize(
    ("name", "write", "files"),
    [
        ("cirr", mini.cirr_with_more_test_photos, ("recall.json", "recall_subset.json")),
        ("circo", mini.circo, ("circo.json",)),
    ],
)
def test_files_for_a_test_server_are_written_and_checked(run, tmp_path, name, write, files):
    root = write(tmp_path / "data")
    status, printed, _ = run("answers", name, root, "--out", tmp_path / "out")
    assert status == 0
    assert printed.splitlines() == [str(tmp_path / "out" / file) for file in files]
    for photo in [path for path in root.rglob("*") if path.suffix in (".png", ".jpg")]:
        photo.unlink()  # the check looks at the lists alone
    for file in files:
        path = tmp_path / "out" / file
        status, printed, _ = run("check-answers", name, root, path)
        count = 4 if name == "cirr" else 3
        assert (status, printed) == (
            0,
            f"{path}: {count} queries, as the test server wants them\n",
        )
        content = json.loads(path.read_text())
        del content["100" if name == "cirr" else "0"]
        path.write_text(json.dumps(content))
        status, _, err = run("check-answers", name, root, path)
        assert status == 1
        assert f"{path}: 1 of {count} queries have no answers: " in err


def test_answers_to_a_labelled_part_have_the_same_form(run, tmp_path):
    root = mini.circo(tmp_path / "data")
    assert run("answers", "circo", root, "--part", "val", "--out", tmp_path)[0] == 0
    assert run("check-answers", "circo", root, tmp_path / "circo.json", "--part", "val")[0] == 0


@pytest.mark.parametrize(
    ("command", "name", "options", "sentence"),
    [
        (
            "score",
            "cirr",
            ("--part", "test1"),
            "CIRR test1 cannot be scored: the answers of all its 4 queries are withheld; for the "
            "files that its test server scores: "
            "python -m cir data answers cirr --root {root} --part test1 --out FOLDER",
        ),
        (
            "score",
            "fashioniq",
            ("--part", "val", "test"),
            "FashionIQ test dress cannot be scored: the answers of all its 3 queries are withheld, "
            "and it has no test server",
        ),
        (
            "score",
            "fashioniq",
            ("--part", "train"),
            "FashionIQ has no split train to be measured by: it has val, test",
        ),
        (
            "answers",
            "fashioniq",
            ("--part", "test dress", "--out", "x"),
            "FashionIQ has no test server",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_encoded(
    run, never, tmp_path, command, name, options, sentence
):
    root = mini.WRITERS[name](tmp_path)
    status, _, err = run(command, name, root, *options)
    assert (status, err) == (1, f"error: {sentence.format(root=root)}\n")


def test_absent_images_are_refused_or_left_out_and_told(run, tmp_path):
    root, out = mini.circo(tmp_path / "data"), tmp_path / "figures.json"
    (root / "COCO2017_unlabeled/unlabeled2017/000000001001.jpg").unlink()
    for command in (("score", "--part", "val"), ("answers", "--out", tmp_path / "out")):
        status, _, err = run(command[0], "circo", root, *command[1:])
        assert status == 1
        assert "1 of 60 images are not there: " in err
    assert not (tmp_path / "out").exists()
    status, _, err = run("score", "circo", root, "--part", "val", "--leave-out", "--out", out)
    left_out = "1 of 3 queries and 1 of 60 gallery images"
    assert status == 0
    assert f"CIRCO val: {left_out} are left out: their images are absent or broken\n" in err
    (row,) = json.loads(out.read_text())["results"]
    assert (row["queries"], row["protocol"]["left_out"]) == (2, left_out)


def test_bad_options_and_folders_without_a_model(run, models, tmp_path):
    root = mini.cirr(tmp_path / "data")
    status, _, err = run("score", "cirr", root, "--part", "val", "--model", tmp_path / "none")
    assert status == 1
    assert str(tmp_path / "none") in err
    own = ("--model", models / "encoder", "--tagger", tmp_path / "none")
    status, _, err = run("score", "cirr", root, "--part", "val", *own)
    assert status == 1
    assert f"{tmp_path / 'none'} contains no tagger" in err
    status, _, err = run("score", "cirr", root, "--part", "val", "--set", "kept=true")
    assert (status, err) == (1, "error: CIRR has no option kept: it has reference_kept\n")
    with pytest.raises(SystemExit):
        run("score", "cirr", root, "--part", "val", "--set", "reference_kept")
