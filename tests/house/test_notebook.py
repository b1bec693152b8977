"""The notebook, executed top to bottom on miniature data."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from cir.composers import create
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.tagger import Tagger
from cir.training.composer_alone import rank_split
from cir.training.composer_comparison import Trained, save_trained
from cir.training.encoded_split import encode_folder
from tests.helpers import ROOT
from tests.helpers.drawn_split import write_drawn_split

NOTEBOOK = json.loads((ROOT / "notebooks" / "composers.ipynb").read_text(encoding="utf-8"))
COMPARED = YAML(typ="safe").load(ROOT / "params.yaml")["composers"]
SOURCES = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, encoder):
    """What the pipeline would have made: models that have learned nothing, and a few scenes."""
    folder = tmp_path_factory.mktemp("notebook")
    for part in ("data/retrieval/test", "models/encoder_base", "models/tagger"):
        (folder / part).mkdir(parents=True)
    write_drawn_split(folder / "data/retrieval/test", queries=6, seed=2)
    encoder.save(folder / "models/encoder_base")
    torch.manual_seed(4)
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    for part in fresh_model(size, ["replace", "the", "with", "a"], seed=0):
        part.save_pretrained(folder / "models/tagger")
    for name, settings in COMPARED.items():
        if name != "combiner":  # one that was not trained
            (folder / "models/composers" / name).mkdir(parents=True)
            composer = create(settings, encoder.dim, encoder.text_dim)
            save_trained([Trained(composer, 0.0, 0.0)], folder / "models/composers" / name)
    return folder


def run(source, names):
    """Execute a cell; return the value of its last expression, as a notebook would show it."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    return (
        None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    )


def test_it_runs_from_top_to_bottom(project, encoder, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names, shown = {}, []
    for source in SOURCES:
        value = run(source, names)
        if isinstance(value, Image.Image):
            shown.append((source, value))
    printed = capsys.readouterr().out
    assert "6 queries, a gallery of 18 images" in printed
    assert (
        "combiner is not trained here: dvc repro stages/composers/dvc.yaml:train@combiner"
        in printed
    )
    assert set(names["answered"]) == set(COMPARED) - {"combiner"}
    assert len(shown) == 2 + len(COMPARED) - 1
    tagger = Tagger.load("models/tagger")
    test = encode_folder(Path("data/retrieval/test"), encoder, tagger, whole_gallery=True)
    composer = create(COMPARED["arithmetic"], encoder.dim, encoder.text_dim).eval()
    expected = rank_split(composer, test, k=5)
    assert names["answered"]["arithmetic"].top_ids(0) == expected.top_ids(0)
    rank = expected.target_ranks[0]
    assert f"arithmetic: rank {rank} here" in printed


def test_it_shows_every_composer_that_is_compared():
    calls = [source for source in SOURCES if source.startswith("show(")]
    assert [call.removeprefix('show("').removesuffix('")') for call in calls] == list(COMPARED)


def test_it_is_kept_without_results():
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
