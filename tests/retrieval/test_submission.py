"""The exported folder, run in a process of its own, against the pipeline on the same images."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
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


def save_models(folder):
    torch.manual_seed(0)
    encoder = Encoder.create("ViTamin-Micro-64", None, "a photo of a {}")
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
    tagger, tokenizer = fresh_model(size, WORDS, seed=0)
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


def run_outside(place, triplets, split):
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
    kept = {k: v for k, v in os.environ.items() if k != "IMAGE_ROOT" and k[:6] != "PYTHON"}
    subprocess.run(
        [sys.executable, "-I", "-B", "-c", OUTSIDE, str(place / "export"), str(ROOT)],
        cwd=outside,
        env=kept,
        check=True,
    )
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
    runtime = place[0] / "export" / sources.RENAMED
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
    sources.copy_renamed(modules, tmp_path, tmp_path / "out")
    runtime = tmp_path / "out/cir_runtime"
    assert "from cir_runtime import deep as cir\n    return cir" in (runtime / "a.py").read_text()
    assert (runtime / "deep/names.json").is_file()
    assert not (runtime / "unused.py").exists()
