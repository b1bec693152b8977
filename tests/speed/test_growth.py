"""How cost grows: exponents by hand, and the stages in an order in which they can run."""

import pytest
from ruamel.yaml import YAML

from cir.core.errors import UserError
from speed import growth
from speed.growth import Use
from tests.helpers import ROOT
from tools.pipeline import read_stages


def test_exponents_by_hand():
    # 10 s to start, and 3 s, 6 s, 12 s, 24 s: linear. 5 + n²: 6, 9, 21, 69. It does not grow: 7.
    assert growth.exponent([13, 16, 22, 34], 1) == "1.00"
    assert growth.exponent([6, 9, 21, 69], 1) == "2.00"
    assert growth.exponent([7, 7.2, 6.9, 7.1], 1) == "-"
    assert growth.exponent([10, 10.2, 10.4, 20], 1) == "-"  # the first difference is noise
    root = [10 * n**0.5 for n in (1, 2, 4, 8)]
    assert growth.exponent(root, 1) == "0.50"


def test_a_line_of_the_table():
    uses = {"embed": [Use(13, 500), Use(16, 600), Use(22, 800), Use(34, 1200)]}
    uses["train"] = [Use(9, 700)] * 4
    head, embed, train = growth.table(uses)
    assert head.split() == "1x s 2x s 4x s 8x s e 1x MB 2x MB 4x MB 8x MB e".split()
    assert embed.split() == "embed 13.0 16.0 22.0 34.0 1.00 500 600 800 1200 1.00".split()
    assert train.split() == "train 9.0 9.0 9.0 9.0 - 700 700 700 700 -".split()


def test_every_stage_comes_after_what_it_needs():
    found = growth.commands(ROOT)
    names = [name for name, _ in found]
    assert len({name.partition("@")[0] for name in names}) == len(read_stages())
    for before, after in (
        ("expand_templates", "prepare_data"),  # it needs one file of the folder
        ("prepare_data", "pretrain_encoder"),
        ("train_tagger", "score"),
        ("pretrain_encoder", "finetune_encoder"),
        ("finetune_encoder", "embed_gallery"),
        ("embed_gallery", "score"),
        ("classes: embed", "classes: score"),
        ("composers: encode", "composers: train@tirg"),
        ("composers: train@tirg", "composers: score"),
        ("score", "report"),
    ):
        assert names.index(before) < names.index(after)
    assert dict(found)["score"] == ["python", "-m", "stages.score"]
    assert dict(found)["finetune_encoder"] == ["python", "-m", "stages.finetune_encoder"]
    assert dict(found)["composers: train@tirg"][-1] == "tirg"


def test_a_stage_alone_brings_what_it_needs():
    names = [name for name, _ in growth.commands(ROOT, ["embed_gallery"])]
    assert set(names) == {
        "expand_templates",
        "prepare_data",
        "pretrain_encoder",
        "finetune_encoder",
        "embed_gallery",
    }
    assert [name for name, _ in growth.commands(ROOT, ["prepare_data"])] == [
        "expand_templates",
        "prepare_data",
    ]
    with pytest.raises(UserError, match="there is no stage embed; there are "):
        growth.commands(ROOT, ["embed"])


def test_one_composer_is_left(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("seed: 1\ncomposers:\n  a: {x: 1}\n  b: {x: 2}\n")
    growth.keep_one_composer(params)
    assert YAML(typ="safe").load(params.read_text()) == {"seed": 1, "composers": {"b": {"x": 2}}}


def test_a_stage_that_fails_is_said_with_its_last_lines(tmp_path):
    module = tmp_path / "stage.py"
    module.write_text("import sys\nprint('begun')\nsys.exit('error: no data')\n")
    with pytest.raises(UserError, match=r"ended with 1: \[.*error: no data"):
        growth.run(tmp_path, ["python", "stage.py"])
    module.write_text("sum(range(10**6))\n")
    used = growth.run(tmp_path, ["python", "stage.py"])
    assert used.seconds > 0
    assert used.megabytes > 1
