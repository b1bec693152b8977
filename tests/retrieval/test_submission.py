"""The exported folder, run in a process of its own, against the pipeline on the same images."""

import importlib.util
import os
import shutil
import subprocess
import sys
import types
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image, ImageDraw

import cir
from cir.composers import create
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.imports import needed_modules
from cir.core.records import Triplet
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.encoders import Encoder
from cir.images import decoding as images
from cir.images import shards
from cir.retrieval.ranking.embedding import Embeddings, embed
from cir.retrieval.retriever import Retriever
from cir.retrieval.scoring import Task, query_vectors, score
from cir.retrieval.submission import export as exporting
from cir.retrieval.submission import sources
from cir.retrieval.submission.export import export
from cir.retrieval.submission.weights_file import take_apart
from tests.helpers.composers import params

ROOT = Path(cir.__file__).resolve().parents[1]
BATCH = 16
COUNT = 40
WORDS = "add remove swap hat cup dog ball red teal a the for and".split()

# Nothing but the folder and the installed packages, and no way out of the machine.
OUTSIDE = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("the submission used the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
folder, root = sys.argv[1:]
sys.path.insert(0, folder)
import os
import numpy as np, pandas as pd
from generate_embeds import encode_database, encode_queries
frame = pd.read_csv("queries.csv")
queries = encode_queries(frame)
database = encode_database(pd.read_csv("database.csv"))
os.environ["IMAGE_ROOT"] = "pictures"
frame["query_image"] = frame["query_image"].str.removeprefix("pictures/")
np.savez("vectors.npz", queries=queries, database=database, under_root=encode_queries(frame))
assert "cir" not in sys.modules
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
ours = [f for f in files if f.startswith(root) and "site-packages" not in f]
assert not ours, ours
"""


def save_models(folder, seed=0):
    torch.manual_seed(seed)
    encoder = Encoder.create("ViTamin-Micro-64", None, "a photo of a {}")
    encoder.inference = "fp32"
    composer = create(
        params(
            "corrected_arithmetic",
            text="sentence",
            hidden=8,
            normalise_image=True,
            normalise_objects=True,
            image_weight=0.3,
        ),
        encoder.dim,
        encoder.dim,
    )
    torch.nn.init.normal_(composer.value.weight, std=0.01)
    (folder / "encoder").mkdir(parents=True)
    EncodedComposer(encoder, composer).save(folder / "encoder")
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    tagger, tokenizer = fresh_model(size, WORDS, seed)
    tagger.save_pretrained(folder / "tagger")
    tokenizer.save_pretrained(folder / "tagger")


def write_split(folder):
    """Pictures of one disc each, sentences of random words, any target."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(COUNT):
        image = Image.new("RGB", (80, 70), tuple(rng.integers(0, 256, 3)))
        x, y, r = rng.integers(10, 60, 3)
        ImageDraw.Draw(image).ellipse((x, y, x + r, y + r), fill=tuple(rng.integers(0, 256, 3)))
        rows.append((f"{number:03d}.jpg", images.encode(image), ()))
    names = [name for name, _, _ in rows]
    triplets = [
        Triplet(f"q{n}", name, " ".join(rng.choice(WORDS, 6)), names[(n + 1) % COUNT])
        for n, name in enumerate(names)
    ]
    shards.write(folder, rows, triplets, {})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models, a test split whose targets are found about half the time, and the export."""
    place = tmp_path_factory.mktemp("submission")
    save_models(place / "models")
    write_split(place / "test")
    retriever = Retriever.load(place / "models/encoder", place / "models/tagger", BATCH)
    split = shards.ImageShards(place / "test")
    embed(retriever.encoder, split.shards(), place / "vectors", place / "work", BATCH)
    embeddings = Embeddings.load(place / "vectors", retriever.encoder.fingerprint())
    triplets = shards.read_triplets(place / "test")
    edits = retriever.tagger.tag([t.text for t in triplets])
    queries = query_vectors(retriever, split, triplets, edits)
    first = (queries @ embeddings.vectors.T).argmax(axis=1)
    triplets = [
        t if row % 2 else Triplet(t.id, t.reference, t.text, embeddings.ids[first[row]])
        for row, t in enumerate(triplets)
    ]
    scores = score(retriever, split, Task(triplets, embeddings), seed=0)
    export(place / "models/encoder", place / "models/tagger", place / "export", BATCH)
    return place, triplets, split, queries, embeddings, scores


def run(script, *arguments, folder, python=sys.executable):
    """Run a script in a process that sees no variables of this one; it must say nothing."""
    kept = {k: v for k, v in os.environ.items() if k != "IMAGE_ROOT" and k[:6] != "PYTHON"}
    command = [str(python), "-I", "-B", "-c", script, *map(str, arguments)]
    ran = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def run_outside(place, triplets, split, python=sys.executable):
    """Run the exported folder from another one, on image files."""
    outside = place / "elsewhere"
    (outside / "pictures").mkdir(parents=True, exist_ok=True)
    for name in split.ids:
        (outside / "pictures" / name).write_bytes(split.encoded(name))
    pd.DataFrame(
        {
            "query_image": ["pictures/" + t.reference for t in triplets],
            "query_text": [t.text for t in triplets],
        }
    ).to_csv(outside / "queries.csv", index=False)
    pd.DataFrame({"target_image": ["pictures/" + name for name in split.ids]}).to_csv(
        outside / "database.csv", index=False
    )
    run(OUTSIDE, place / "export", ROOT, folder=outside, python=python)
    return np.load(outside / "vectors.npz")


def test_gives_the_pipelines_vectors_and_accuracy(place):
    place, triplets, split, queries, embeddings, scores = place
    found = run_outside(place, triplets, split)
    # The pipeline encodes other batches of names and images, so sums may differ in the last bits.
    np.testing.assert_allclose(found["queries"], queries, atol=1e-5)
    np.testing.assert_allclose(found["database"], embeddings.vectors, atol=1e-5)
    np.testing.assert_array_equal(found["under_root"], found["queries"])
    first = (found["queries"] @ found["database"].T).argmax(axis=1)
    answers = [split.ids[index] for index in first]
    accuracy = np.mean([answer == t.target for answer, t in zip(answers, triplets, strict=True)])
    assert accuracy == scores.metrics.accuracy
    assert 0.4 < accuracy < 1


def test_what_is_in_the_folder(place):
    folder = place[0] / "export"
    names = {path.name for path in folder.iterdir()}
    assert {"model.py", "generate_embeds.py", "weights.pth", "requirements.txt"} <= names
    weights = torch.load(folder / "weights.pth", weights_only=True)
    assert set(weights) == {"tagger", "encoder", "composer"}
    listed = (folder / "requirements.txt").read_text().splitlines()
    assert {line.split("==")[0] for line in listed} >= {"torch", "open_clip_torch", "transformers"}
    assert not [line for line in listed if "+" in line]
    assert not list(folder.rglob("*.safetensors"))
    assert not list(folder.rglob("__pycache__"))


def test_only_what_inference_uses_is_taken_along(place):
    (runtime,) = (place[0] / "export").glob(f"{sources.RENAMED}*")
    taken = {path.relative_to(runtime).as_posix() for path in runtime.rglob("*.py")}
    used = {"edits/reading/tagger.py", "retrieval/retriever.py", "images/decoding.py"}
    assert used | {"composers/arithmetic.py"} <= taken
    unused = {"training/shared/loop.py", "retrieval/scoring.py", "datasets/scenes/__init__.py"}
    assert not unused & taken
    assert "from cir." not in "".join(path.read_text() for path in runtime.rglob("*.py"))


def test_too_large_a_submission_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_BYTES", 10_000)
    models = place[0] / "models"
    with pytest.raises(UserError, match="GB"):
        export(models / "encoder", models / "tagger", tmp_path / "export", BATCH)
    assert not list(tmp_path.iterdir())


def test_imports_are_followed_and_renamed(tmp_path):
    package = tmp_path / "cir"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep/__init__.py").write_text("from cir.deep.b import y\n")
    (package / "deep/b.py").write_text("y = 1\n")
    (package / "deep/names.json").write_text("{}")
    (package / "unused.py").write_text("")
    (package / "a.py").write_text("def f():\n    from cir import deep as cir\n    return cir\n")
    script = tmp_path / "script.py"
    script.write_text("from cir.a import (\n    f,\n)\n")
    modules = needed_modules([script], tmp_path, [sources.PACKAGE])
    assert modules == ["cir", "cir.a", "cir.deep", "cir.deep.b"]
    assert sources.runtime_name(modules, tmp_path).startswith(sources.RENAMED)
    sources.copy_renamed(modules, tmp_path, tmp_path / "out", "cir_runtime")
    runtime = tmp_path / "out/cir_runtime"
    assert "from cir_runtime import deep as cir\n    return cir" in (runtime / "a.py").read_text()
    assert (runtime / "deep/names.json").is_file()
    assert not (runtime / "unused.py").exists()
    before = sources.runtime_name(modules, tmp_path)
    (package / "unused.py").write_text("x = 1\n")
    assert sources.runtime_name(modules, tmp_path) == before
    (package / "deep/b.py").write_text("y = 2\n")
    assert sources.runtime_name(modules, tmp_path) != before


def functions_of(folder):
    """Import the exported functions into this process."""
    path = folder / "generate_embeds.py"
    spec = importlib.util.spec_from_file_location("generate_embeds", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exported(place):
    return functions_of(place[0] / "export")


def test_a_sentence_that_is_blank_or_absent_is_an_empty_one(place, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGE_ROOT", str(tmp_path))
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    texts = ["add a hat", "", float("nan"), None, "  \n", "add a \ud800", "add a ?"]
    found = exported.encode_queries(
        pd.DataFrame({"query_image": ["red.png"] * len(texts), "query_text": texts})
    )
    retriever = Retriever.load(place[0] / "models/encoder", place[0] / "models/tagger", BATCH)
    reds = [Image.new("RGB", (64, 64), "red")] * 3
    expected = retriever.encode_queries(reds, ["add a hat", "", "add a ?"])
    np.testing.assert_allclose(found, expected[[0, 1, 1, 1, 1, 2, 2]], atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_rows_that_cannot_be_read_are_named_before_any_work(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGE_ROOT", str(tmp_path))
    monkeypatch.setattr(exported.model, "load", lambda: pytest.fail("the model was loaded"))
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    (tmp_path / "page.jpg").write_text("<html>")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "cut.jpg").write_bytes(images.encode(Image.fromarray(noise))[:2000])
    paths = ["red.png", "none.png", "red.png", "page.jpg", "cut.jpg", None, "red.png"]
    frame = pd.DataFrame({"query_image": paths, "query_text": "", "target_image": paths})
    for encode in (exported.encode_queries, exported.encode_database):
        with pytest.raises(Exception, match=r"cannot be read in row 1: .*none\.png") as caught:
            encode(frame)
        assert type(caught.value).__name__ == "UserError"
        said = str(caught.value)
        assert [row for row in range(7) if f"row {row}: " in said] == [1, 3, 4, 5]
        assert "row 5: there is no path" in said
    with pytest.raises(Exception, match="expected the column query_text, got query_image"):
        exported.encode_queries(frame[["query_image"]])
    with pytest.raises(Exception, match="expected the column target_image, got target_image, tar"):
        exported.encode_database(frame[["target_image", "target_image"]])
    with pytest.raises(Exception, match="query_text holds lists in 1 rows, such as 1: "):
        exported.encode_queries(frame[:2].assign(query_text=["a", ["b", "c"]]))


def test_two_exports_in_one_process_do_not_meet(place, exported, tmp_path, monkeypatch):
    foreign = types.ModuleType("model")
    monkeypatch.setitem(sys.modules, "model", foreign)
    save_models(tmp_path / "models", seed=1)
    models = [tmp_path / "models" / name for name in ("encoder", "tagger")]
    ours = shutil.ignore_patterns("encoder", "tagger", "weights.pth")
    shutil.copytree(place[0] / "export", tmp_path / "export", ignore=ours)
    take_apart(*models, BATCH, tmp_path / "export")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    frame = pd.DataFrame({"query_image": [str(tmp_path / "red.png")], "query_text": "add a hat"})
    found = [one.encode_queries(frame) for one in (exported, functions_of(tmp_path / "export"))]
    first = Retriever.load(place[0] / "models/encoder", place[0] / "models/tagger", BATCH)
    for vectors, alone in zip(found, (first, Retriever.load(*models, BATCH)), strict=True):
        expected = alone.encode_queries([Image.new("RGB", (64, 64), "red")], ["add a hat"])
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1
    assert sys.modules["model"] is foreign


def link_requirements(folder, listed):
    """Link the distributions that `listed` names, and all that they need, from this environment."""
    waiting, done = list(listed), set()
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        if name in done or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        done.add(name)
        found = distribution(name)
        assert wanted.specifier.contains(found.version.split("+")[0], prereleases=True), wanted
        waiting += found.requires or []
        for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))
    return done


@pytest.mark.recipes
def test_runs_in_an_environment_of_its_own_requirements_alone(place, tmp_path):
    place, triplets, split, queries, *_ = place
    venv.create(tmp_path / "fresh")
    (folder,) = (tmp_path / "fresh").glob("lib/python*/site-packages")
    linked = link_requirements(folder, (place / "export/requirements.txt").read_text().splitlines())
    assert not {"cir", "dvc", "fastapi"} & linked
    found = run_outside(place, triplets, split, python=tmp_path / "fresh/bin/python")
    np.testing.assert_allclose(found["queries"], queries, atol=1e-5)
