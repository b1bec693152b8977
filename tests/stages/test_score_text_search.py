"""The stage that measures search by words before and after fine-tuning."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from cir.commands import gate
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import graded_figures
from cir.retrieval.ranking.ranking import rank_by_grade
from cir.text_search.data.queries import read_queries, relevance_matrix
from cir.text_search.scoring.scoring import text_vectors
from stages.text_search import score as score_text_search
from tests.helpers.composers import arithmetic
from tests.helpers.copied_project import work_in_copy
from tests.helpers.text_images import write_text_split

SECTION = {"batch_size": 8, "workers": 1, "least_grade": 3, "resamples": 200, "rows": 2}


def write_params(**changes):
    params = {"seed": 1, "score_text_search": {**SECTION, **changes}}
    YAML().dump(params, Path("params.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder):
    """A project in which the stage has run; the encoder after is another one than before."""
    folder = tmp_path_factory.mktemp("text_search")
    torch.manual_seed(7)
    other = Encoder.create("ViTamin-Micro-64", None, "a photo of a {}")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.delenv("CIR_CHECKPOINTS", raising=False)
        write_text_split(Path("data/text_search/test"))
        for name, model in (("encoder", encoder), ("text_search", other)):
            Path("models", name).mkdir(parents=True)
            EncodedComposer(model, arithmetic()).save(Path("models", name))
        write_params()
        score_text_search.main()
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, to change."""
    return work_in_copy(made, tmp_path, monkeypatch)


def metrics_of(folder):
    return json.loads((folder / "metrics/text_search.json").read_text())


def test_every_output_is_there_and_nothing_else(made):
    found = {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    found = {name for name in found if not name.startswith(("data/", "models/"))}
    assert found == {
        "params.yaml",
        "metrics/text_search.json",
        "metrics/curves/text_search.csv",
        "metrics/pictures/text_search.jpg",
    }
    assert list((made / ".checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "what", "folder", "prompt"),
    [
        (0, "before", "encoder", "{}"),
        (1, "before, in the prompt", "encoder", "a photo of a {}"),
        (2, "after", "text_search", "{}"),
    ],
)
def test_a_row_is_that_of_its_encoder_and_prompt(made, place, what, folder, prompt):
    result = metrics_of(made)["results"][place]
    assert result["what"] == what
    assert result["protocol"]["text"] == ("as written" if prompt == "{}" else prompt)
    model = EncodedComposer.load(made / "models" / folder).encoder.to(DEVICE).eval()
    images = ImageShards(made / "data/text_search/test")
    queries = read_queries(images.folder, images.ids)
    pixels = np.stack([model.preprocess(images.image(name)) for name in images.ids])
    with torch.inference_mode():
        gallery = model.encode_images(torch.from_numpy(pixels)).cpu().numpy()
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    texts = text_vectors(model, [query.text for query in queries], prompt)
    relevance = relevance_matrix(queries, images.ids)
    ranking = rank_by_grade(lambda rows: texts[rows] @ gallery.T, relevance)
    found = graded_figures(ranking.hit_ranks, ranking.hit_grades, 3)
    kinds = np.array([query.kind for query in queries])
    # On a GPU, vectors of another batch differ in the digits of bf16, and near ties change places.
    rounding = 1e-6 if DEVICE == "cpu" else 0.05
    for name, values in found.items():
        assert result[name] == pytest.approx(values.mean(), abs=rounding), name
        for of_kind in result["by_kind"]:
            expected = values[kinds == of_kind["kind"]].mean()
            assert of_kind[name] == pytest.approx(expected, abs=rounding), name
    assert [one["kind"] for one in result["by_kind"]] == ["Pair of objects", "one object"]


def test_metrics_fit_their_schema_and_tell_of_the_last_row(made):
    metrics = metrics_of(made)
    score_text_search.Metrics.model_validate(metrics)
    after = metrics["results"][-1]
    scalars = {name: value for name, value in metrics.items() if not isinstance(value, list)}
    assert scalars == {
        "text_ndcg@10": after["ndcg@10"],
        "text_mrr": after["mrr"],
        "text_map": after["map"],
        "text_ndcg@10_pair_of_objects": after["by_kind"][0]["ndcg@10"],
        "text_ndcg@10_one_object": after["by_kind"][1]["ndcg@10"],
    }
    prints = [one["fingerprint"] for one in metrics["fingerprints"]]
    assert len(set(prints)) == 2


def test_another_kind_of_metric_is_no_part_of_the_schema(made):
    with pytest.raises(ValueError, match="less than or equal to 1"):
        score_text_search.Metrics.model_validate({**metrics_of(made), "images_per_second": 900.0})


def test_the_gate_can_limit_a_kind(made, tmp_path):
    file = "metrics/text_search.json"
    value = metrics_of(made)["text_ndcg@10_one_object"]
    (tmp_path / "gate.yaml").write_text(
        f"{file}:\n  text_ndcg@10_one_object: {{floor: {value - 0.01}, drop: 0.02}}\n"
        f"  text_ndcg@10_colours: {{floor: 0.5, drop: 0.02}}\n"
    )
    limits = gate.read_limits(tmp_path / "gate.yaml")
    verdicts = gate.judge(limits, gate.present([file], made), None)
    assert gate.problems(verdicts) == [f"{file}: text_ndcg@10_colours is missing"]


def test_the_plot_has_a_line_for_each_kind_and_system(made):
    table = pd.read_csv(made / "metrics/curves/text_search.csv")
    assert list(table) == ["system", "kind", "queries", "ndcg_10"]
    assert len(table) == 6
    last = metrics_of(made)["results"][-1]["by_kind"][-1]
    assert table.iloc[-1].to_dict() == {
        **{"system": "after", "kind": last["kind"], "queries": last["queries"]},
        "ndcg_10": pytest.approx(last["ndcg@10"]),
    }


def test_the_same_again(project, made):
    score_text_search.main()
    for name in ("text_search.json", "curves/text_search.csv", "pictures/text_search.jpg"):
        assert (project / "metrics" / name).read_bytes() == (made / "metrics" / name).read_bytes()


def test_it_goes_on_after_a_kill(project, monkeypatch):
    """What was embedded is not embedded again: the second try sees but the last shard."""
    before = metrics_of(project)
    seen, encode = [], Encoder.encode_images

    def dying(self, pixels):
        if sum(seen) >= 20:
            raise KeyboardInterrupt
        seen.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(Encoder, "encode_images", dying)
    with pytest.raises(KeyboardInterrupt):
        score_text_search.main()
    seen.clear()

    def counting(self, pixels):
        seen.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(Encoder, "encode_images", counting)
    score_text_search.main()
    assert sum(seen) == 10 + 30
    assert metrics_of(project) == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"least_grade": 4}, "12 of 12 queries have no answer of a grade of 4 or more"),
        ({"least_grade": 0}, "score_text_search.least_grade must be greater than 0"),
        ({"row": 2}, 'unknown key "score_text_search.row"; did you mean "rows"'),
    ],
)
def test_wrong_params_are_told_before_any_work(project, changes, sentence, monkeypatch):
    monkeypatch.setattr(score_text_search, "load_shared_space", None)
    write_params(**changes)
    with pytest.raises(UserError, match=sentence):
        score_text_search.main()


def test_names_of_metrics():
    assert score_text_search.key("Colours of a pair (2×)") == "colours_of_a_pair_2"
    assert score_text_search.key("place") == "place"
