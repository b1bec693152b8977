"""Encoders measured alike: what they find, how memory and failures stay their own, the stage."""

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
from cir.core.processes import in_own_process, peak_memory
from cir.encoders import Encoder
from cir.encoders.paired import PairedEncoder
from cir.encoders.words import WordLSTM
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import graded_figures
from cir.retrieval.ranking.ranking import rank_by_grade
from cir.text_search.data.queries import read_queries, relevance_matrix
from cir.text_search.scoring import encoder_comparison as encoder_benchmark
from cir.text_search.scoring.encoder_comparison import check_all, compare, measure_here
from cir.text_search.scoring.params import BenchmarkEncoders, Blip, Folder, OpenClip
from cir.text_search.scoring.reranking import rerank
from cir.text_search.scoring.scoring import load_shared_space, text_vectors
from stages.text_search import compare_encoders as benchmark_encoders
from tests.helpers.composers import arithmetic
from tests.helpers.text_images import save_blip, write_text_split

pytestmark = pytest.mark.recipes

MICRO = "ViTamin-Micro-64"


def open_clip(name, model, pretrained=None):
    return OpenClip(kind="open_clip", name=name, model=model, pretrained=pretrained, prompt=None)


def saved(name, path, prompt=None):
    return Folder(kind="folder", name=name, path=str(path), prompt=prompt)


def settings(*models):
    return BenchmarkEncoders(batch_size=8, least_grade=3, resamples=200, models=models)


def measured(candidate, split, seed=1):
    return measure_here(candidate, split, settings(candidate), seed)


@pytest.fixture(scope="module")
def project(tmp_path_factory, encoder):
    """A folder with a split, saved encoders and a BLIP, as the stage wants it."""
    folder = tmp_path_factory.mktemp("encoders")
    write_text_split(folder / "data/text_search/test")
    for name in ("models/encoder", "models/blip"):
        (folder / name).mkdir(parents=True)
    EncodedComposer(encoder, arithmetic()).save(folder / "models/encoder")
    save_blip(folder / "models/blip")
    return folder


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def split(project):
    return project / "data/text_search/test"


@pytest.fixture
def in_this_process(monkeypatch):
    """A process of its own takes seconds to begin; one test of the measurement has one."""
    monkeypatch.setattr(
        encoder_benchmark, "in_own_process", lambda function, *arguments: function(*arguments)
    )


def quality(result):
    """The figures of a result, by their names in the metrics file."""
    return result.model_dump(by_alias=True, include={"ndcg_at_10", "r_at_10", "mrr"})


def test_the_figures_are_those_of_the_vectors(project, split):
    candidate = saved("saved", project / "models/encoder", "a photo of a {}")
    (result,) = measured(candidate, split)
    encoder = Encoder.load(project / "models/encoder").to(DEVICE).eval()
    images = ImageShards(split)
    queries = read_queries(split, images.ids)
    with torch.inference_mode():
        pixels = [encoder.preprocess(images.image(name)) for name in images.ids]
        gallery = encoder.encode_images(torch.from_numpy(np.stack(pixels))).cpu().numpy()
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    texts = text_vectors(encoder, [query.text for query in queries], "a photo of a {}")
    ranking = rank_by_grade(
        lambda rows: texts[rows] @ gallery.T, relevance_matrix(queries, images.ids)
    )
    found = graded_figures(ranking.hit_ranks, ranking.hit_grades, 3)
    expected = {name: values.mean() for name, values in found.items()}
    for name, value in quality(result).items():
        assert value == pytest.approx(expected[name], abs=1e-6), name
    low, high = result.ndcg_interval
    assert low <= result.ndcg_at_10 <= high
    assert result.parameters == sum(weights.numel() for weights in encoder.parameters())
    assert (result.dim, result.image_size) == (256, (64, 64))
    assert (result.queries, result.gallery_size) == (12, 30)
    assert result.protocol.text == "a photo of a {}"
    assert result.protocol.least_grade == 3
    assert 0 < result.images_per_second_decoded < result.images_per_second
    assert 0 < result.memory_before_mb <= result.peak_memory_mb
    assert (result.gpu_memory_mb is None) is not torch.cuda.is_available()


def test_blip_ranks_and_ranks_again(project, split):
    """The second result is what matching every pair of the first three gives."""
    candidate = Blip(
        kind="blip", name="blip", model=str(project / "models/blip"), prompt=None, rerank=3
    )
    plain, again = measured(candidate, split)
    assert plain.protocol.ranking == "cosine"
    assert again.protocol.ranking == "cosine, the first 3 then by matching"
    assert min(plain.queries_per_second, again.queries_per_second) > 0
    images = ImageShards(split)
    queries = read_queries(split, images.ids)
    model = candidate.load().eval()
    texts = [query.text for query in queries]
    with torch.inference_mode():
        pixels = [model.preprocess(images.image(name)) for name in images.ids]
        pixels = torch.from_numpy(np.stack(pixels))
        unit = torch.nn.functional.normalize
        cosines = (
            unit(model.encode_texts(texts), dim=1) @ unit(model.encode_images(pixels), dim=1).T
        )
        states = model.image_states(pixels)
        order = []
        for row, text in enumerate(texts):
            first = cosines[row].argsort(descending=True)
            fits = [model.match(states[[place]], [text]).item() for place in first[:3].tolist()]
            order.append([*(first[i].item() for i in np.argsort(fits)[::-1]), *first[3:].tolist()])
    assert any(own[:3] != cosines[row].topk(3).indices.tolist() for row, own in enumerate(order))
    scores = -np.argsort(order, axis=1).astype(float)
    ranking = rank_by_grade(lambda rows: scores[rows], relevance_matrix(queries, images.ids))
    expected = graded_figures(ranking.hit_ranks, ranking.hit_grades, 3)
    for name, value in quality(again).items():
        assert value == pytest.approx(expected[name].mean()), name
    assert plain.r_at_10 == again.r_at_10


class Matcher:
    """Fits are told by a table; it counts the images that it encodes and the pairs at a time."""

    def __init__(self, table):
        self.table, self.encoded, self.pairs = table, [], []

    def preprocess(self, image):
        return np.full((3, 1, 1), np.asarray(image)[0, 0, 0], np.uint8)

    def image_states(self, pixels):
        self.encoded += pixels[:, 0, 0, 0].tolist()
        return pixels[:, 0, 0, 0]

    def match(self, states, texts):
        self.pairs.append(len(texts))
        return torch.tensor(
            [self.table[int(t), s] for t, s in zip(texts, states.tolist(), strict=True)]
        )


class Coloured:
    """Image number n is of the grey n."""

    ids = tuple(f"i{n}" for n in range(6))

    def image(self, name):
        return Image.new("RGB", (1, 1), (int(name[1:]),) * 3)


def test_reranked_images_stand_above_all_others_in_the_order_of_their_match():
    table = np.array([[-50.0, 9, 3, 0, 0, 0], [1, 2, 3, 4, 5, -60]])
    cosines = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    first = np.array([[0, 1, 2], [5, 4, 3]])
    model = Matcher(table)
    scores = rerank(model, Coloured(), ["0", "1"], first, cosines.astype(np.float32), 2)
    assert np.argsort(-scores, axis=1).tolist() == [[1, 2, 0, 3, 4, 5], [4, 3, 5, 2, 1, 0]]
    assert model.encoded == [0, 1, 2, 3, 4, 5]
    assert max(model.pairs) <= 2
    np.testing.assert_allclose(scores[0, 3:], cosines[0, 3:], atol=1e-7)


def test_an_image_of_many_texts_is_encoded_once():
    model = Matcher(np.zeros((4, 6)))
    cosines = np.zeros((4, 6), np.float32)
    rerank(model, Coloured(), list("0123"), np.array([[2, 5]] * 4), cosines, 3)
    assert model.encoded == [2, 5]
    assert model.pairs == [3, 3, 2]


def test_a_process_has_its_own_peak():
    """Though this one has taken a lot: ru_maxrss of a new process would begin with it."""
    large = np.ones(100_000_000)
    assert peak_memory() > large.nbytes
    assert 10_000_000 < in_own_process(peak_memory) < large.nbytes


def test_a_process_that_is_killed_is_told_of():
    with pytest.raises(UserError, match="its process was ended by the signal SIGABRT"):
        in_own_process(os.abort)


def test_in_a_process_of_its_own_the_same_is_found(split):
    candidate = open_clip("untrained", MICRO)
    ((result,),) = compare(settings(candidate), split, 1)
    (here,) = measured(candidate, split)
    machine = {"device", "images_per_second", "images_per_second_decoded", "queries_per_second"}
    machine |= {"peak_memory_mb", "memory_before_mb", "gpu_memory_mb"}
    assert result.model_dump(exclude=machine) == here.model_dump(exclude=machine)
    (other,) = measured(candidate, split, seed=2)
    assert quality(other) != quality(result), "weights are random, as the seed has it"
    assert result.memory_before_mb < result.peak_memory_mb


def test_an_unforeseen_error_is_a_sentence(capfd):
    with pytest.raises(UserError, match=r"^ZeroDivisionError: integer division or modulo by zero$"):
        in_own_process(divmod, 1, 0)
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        (open_clip("x", "ViT-Z-99"), 'x: open_clip knows no model "ViT-Z-99"'),
        (
            open_clip("x", "ViT-B-32", "opnai"),
            'x: "opnai" is neither a file nor published weights of ViT-B-32, .* openai',
        ),
        (open_clip("x", "ViT-B/32", "opnai"), "of ViT-B/32, for which .* openai"),
        (open_clip("x", MICRO, "laion2b"), "for which open_clip knows none"),
        (open_clip("x", "local-dir:/nowhere"), "x: /nowhere is no folder with"),
        (saved("x", Path("/nowhere")), "x: there is no encoder in /nowhere"),
    ],
)
def test_what_is_certain_to_fail_is_known_early(candidate, sentence):
    with pytest.raises(UserError, match=sentence):
        check_all([saved("fine", Path()), candidate])


def test_what_may_load_passes_the_early_check(tmp_path):
    (tmp_path / "weights.pt").touch()
    check_all(
        [
            open_clip("a", "ViT-B-32", "openai"),
            open_clip("b", "ViT-B/32", str(tmp_path / "weights.pt")),
            open_clip("f", "ViT-B/32", "openai"),
            open_clip("g", "ViT-B-32", "laion2b-s34b-b79k"),
            open_clip("h", "ViT-B/32", "LAION2B-s34b_b79k"),
            open_clip("c", "hf-hub:owner/name"),
            open_clip("d", f"local-dir:{tmp_path}"),
            open_clip("e", MICRO),
        ]
    )


def test_two_of_one_name_are_refused():
    with pytest.raises(UserError, match="two encoders to compare have the name a"):
        check_all([open_clip("a", MICRO)] * 2)


def test_a_local_open_clip_checkpoint_is_measured(project, split, encoder):
    """Saved with random weights, as a file beside a model's name and as a folder."""
    weights = project / "weights.pt"
    torch.save(encoder.clip.state_dict(), weights)
    by_file = open_clip("file", MICRO, str(weights))
    by_folder = open_clip("folder", f"local-dir:{project / 'models/encoder'}")
    (one,), (other,) = (measured(own, split) for own in (by_file, by_folder))
    assert quality(one) == quality(other)


def test_towers_of_two_spaces_are_refused(tmp_path):
    words = WordLSTM(["mug"], 8, 0.0)
    PairedEncoder(Encoder.create(MICRO, None, "a {}"), words).save(tmp_path)
    with pytest.raises(UserError, match="holds two towers with a space each"):
        load_shared_space(tmp_path)


# The stage.

MODELS = [
    {"name": "saved", "kind": "folder", "path": "models/encoder", "prompt": "a photo of a {}"},
    {"name": "blip", "kind": "blip", "model": "models/blip", "prompt": None, "rerank": 3},
    {
        **{"name": "empty", "kind": "open_clip", "model": "local-dir:data"},
        **{"pretrained": None, "prompt": None},
    },
]


def write_params(models, **changes):
    section = {"batch_size": 8, "least_grade": 3, "resamples": 100, "models": models, **changes}
    YAML().dump({"seed": 1, "benchmark_encoders": section}, Path("params.yaml"))


def test_the_stage_writes_table_metrics_and_plot(here, in_this_process, capsys):
    write_params(MODELS)
    benchmark_encoders.main()
    metrics = json.loads(Path("metrics/encoders.json").read_text())
    benchmark_encoders.Metrics.model_validate(metrics)
    assert [row["name"] for row in metrics["encoders"]] == ["saved", "blip", "blip"]
    (failure,) = metrics["failures"]
    assert failure["name"] == "empty"
    assert failure["reason"].startswith('Cannot load encoder "local-dir:data"')
    table = pd.read_csv("metrics/encoders.csv")
    assert table["ndcg@10"].tolist() == pytest.approx(
        [row["ndcg@10"] for row in metrics["encoders"]], rel=1e-5
    )
    assert table["image_size_h"].tolist() == [64, 32, 32]
    assert Image.open("metrics/pictures/encoders.png").size == (700, 400)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert said[2].startswith("blip (cosine, the first 3 then by matching): nDCG@10 0.")
    assert said[3].startswith("empty: not measured: Cannot load")


def test_nothing_measured_is_an_error_and_leaves_no_files(here, in_this_process):
    write_params(MODELS[2:])
    before = read_all("metrics")
    with pytest.raises(UserError, match=r"none of the encoders could be measured: empty: Cannot"):
        benchmark_encoders.main()
    assert read_all("metrics") == before


def read_all(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("models", "changes", "sentence"),
    [
        ([{**MODELS[0], "prompt": "a photo"}], {}, r"must hold one \{\} for the query or be null"),
        ([{**MODELS[0], "kind": "clip"}], {}, "kind must be one of 'open_clip', 'blip', 'folder'"),
        ([{**MODELS[0], "rerank": 3}], {}, 'unknown key "benchmark_encoders.models.0.rerank"'),
        ([], {}, "models List should have at least 1 item"),
        ([MODELS[0], MODELS[0]], {}, "two encoders to compare have the name saved"),
        ([{**MODELS[0], "path": "models/none"}], {}, "saved: there is no encoder in models/none"),
        (MODELS, {"least_grade": 4}, "12 of 12 queries have no answer of a grade of 4 or more"),
    ],
)
def test_wrong_params_are_told_before_any_work(here, models, changes, sentence, monkeypatch):
    monkeypatch.setattr(benchmark_encoders, "compare", None)  # calling it would raise TypeError
    write_params(models, **changes)
    with pytest.raises(UserError, match=sentence):
        benchmark_encoders.main()
