"""Files for test servers: what is written passes, every kind of mistake is told with counts."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.published.datasets.circo import CIRCO
from cir.published.datasets.cirr import CIRR
from cir.published.datasets.fashioniq import FashionIQ
from cir.published.experiment.scoring import answer
from cir.published.servers import server_files
from tests.helpers import miniature_datasets as mini


def answered(query_set, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(query_set.queries) + len(query_set.gallery), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(query_set.queries)
    return answer(query_set, vectors[:count], vectors[count:])


@pytest.fixture
def cirr(tmp_path):
    return CIRR(mini.cirr_with_more_test_photos(tmp_path / "data")).query_sets("test1")[0]


@pytest.fixture
def circo(tmp_path):
    return CIRCO(mini.circo(tmp_path / "data")).query_sets("test")[0]


def test_cirr_files(cirr, tmp_path):
    answers = answered(cirr)
    recall, subset = server_files.write_cirr(tmp_path, cirr, answers)
    content = json.loads(recall.read_text())
    assert list(content) == ["version", "metric", "100", "101", "102", "103"]
    assert (content["version"], content["metric"]) == ("rc2", "recall")
    for query, top in zip(cirr.queries, answers.top, strict=True):
        assert content[query.id] == list(top)
        assert len(set(content[query.id])) == 50
        assert query.reference not in content[query.id]
    content = json.loads(subset.read_text())
    assert content["metric"] == "recall_subset"
    for query in cirr.queries:
        assert len(set(content[query.id])) == 3
        assert set(content[query.id]) < set(query.members) - {query.reference}
    for path in (recall, subset):
        server_files.check_cirr(path, cirr)


def test_circo_file(circo, tmp_path):
    answers = answered(circo)
    (path,) = server_files.write_circo(tmp_path, circo, answers)
    content = json.loads(path.read_text())
    assert list(content) == ["0", "1", "2"]
    assert content["1"] == [int(name) for name in answers.top[1]]
    server_files.check_circo(path, circo)


def test_a_file_of_the_real_size_is_accepted(cirr, tmp_path):
    """4,148 queries on 2,315 images with the longest of names."""
    gallery = tuple(f"test1-{k}-2-img1" for k in range(1000, 3315))
    queries = []
    for number in range(4148):
        members = gallery[number % 2300 : number % 2300 + 6]
        queries.append(
            replace(cirr.queries[0], id=str(10000 + number), reference=members[0], members=members)
        )
    images = dict.fromkeys(gallery, tmp_path)
    real = replace(cirr, queries=tuple(queries), gallery=gallery, images=images)
    recall, _ = server_files.write_cirr(tmp_path, real, answered(real))
    assert 4_000_000 < recall.stat().st_size < 4_500_000


def change(path, **changed):
    """Change some of the file's lists; None takes a query out."""
    content = json.loads(path.read_text())
    for key, value in changed.items():
        key = key.removeprefix("q")
        content[key] = value(content[key]) if callable(value) else value
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


REFERENCE = {"100": "test1-0-img0"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"q100": None}, r"1 of 4 queries have no answers: 100$"),
        ({"q100": "x"}, r"1 of 4 queries have no list of names: 100$"),
        ({"q100": lambda n: [1, *n[1:]]}, r"1 of 4 queries have no list of names: 100$"),
        ({"q100": lambda n: n[1:]}, r"1 of 4 queries do not have 50 answers: 100 \(49\)$"),
        ({"q101": lambda n: [n[1], *n[1:]]}, r"1 of 4 queries have an answer twice: 101 \(test1-"),
        ({"q101": lambda n: ["no", *n[1:]]}, r"outside the 72 gallery images: 101 \(no\)$"),
        (
            {"q100": lambda n: [REFERENCE["100"], *n[1:]]},
            r"1 of 4 queries have their own reference among the answers: 100 \(test1-0-img0\)$",
        ),
        ({"q999": ["a"]}, r"1 keys are not queries of the split: 999$"),
        ({"version": "rc1"}, '"version" is \'rc1\', expected "rc2"'),
        ({"metric": None}, '"metric" is None, expected "recall" or "recall_subset"'),
    ],
)
def test_mistakes_in_a_cirr_file(cirr, tmp_path, changed, sentence):
    path, _ = server_files.write_cirr(tmp_path, cirr, answered(cirr))
    change(path, **changed)
    with pytest.raises(UserError, match=rf"recall\.json: .*{sentence}"):
        server_files.check_cirr(path, cirr)


def test_subset_answers_from_the_set_alone(cirr, tmp_path):
    _, path = server_files.write_cirr(tmp_path, cirr, answered(cirr))
    change(path, q100=lambda names: [*names[:2], "test1-11-img1"])
    with pytest.raises(UserError, match=r"1 of 4 queries answer with images outside their image"):
        server_files.check_cirr(path, cirr)


def test_all_mistakes_are_told_at_once(cirr, tmp_path):
    path, _ = server_files.write_cirr(tmp_path, cirr, answered(cirr))
    change(path, q100=None, q101=lambda n: n[1:], q102=lambda n: n[1:])
    with pytest.raises(UserError) as caught:
        server_files.check_cirr(path, cirr)
    assert "1 of 4 queries have no answers: 100; 2 of 4 queries do not have 50" in str(caught.value)


def test_too_large_and_broken_files(cirr, tmp_path):
    path, _ = server_files.write_cirr(tmp_path, cirr, answered(cirr))
    whole = path.read_text()
    path.write_text(whole + " " * 5_000_000)
    with pytest.raises(
        UserError, match=r"it has 5,0\d\d,\d\d\d bytes, and the server takes 5,000,"
    ):
        server_files.check_cirr(path, cirr)
    path.write_text(whole[:-30])
    with pytest.raises(UserError, match="is not a JSON file"):
        server_files.check_cirr(path, cirr)
    path.write_text("[]")
    with pytest.raises(UserError, match="expected an object with a list of answers"):
        server_files.check_cirr(path, cirr)
    with pytest.raises(UserError, match="does not exist"):
        server_files.check_cirr(tmp_path / "none.json", cirr)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"q0": None}, "1 of 3 queries have no answers: 0"),
        ({"q0": lambda n: [str(k) for k in n]}, "1 of 3 queries have no list of whole numbers: 0"),
        ({"q0": lambda n: n[:10]}, r"1 of 3 queries do not have 50 answers: 0 \(10\)"),
        ({"q0": lambda n: [*n[:49], n[0]]}, r"1 of 3 queries have an answer twice: 0 \(10"),
        ({"q0": lambda n: [5, *n[1:]]}, r"outside the 60 gallery images: 0 \(5\)"),
        ({"q7": [1]}, "1 keys are not queries of the split: 7"),
    ],
)
def test_mistakes_in_a_circo_file(circo, tmp_path, changed, sentence):
    (path,) = server_files.write_circo(tmp_path, circo, answered(circo))
    change(path, **changed)
    with pytest.raises(UserError, match=sentence):
        server_files.check_circo(path, circo)


def test_circos_reference_counts_as_the_protocol_says(circo, tmp_path):
    (path,) = server_files.write_circo(tmp_path, circo, answered(circo))
    change(path, q0=lambda names: [1000, *(n for n in names if n != 1000)][:50])
    server_files.check_circo(path, circo)
    removed = replace(circo, protocol=replace(circo.protocol, reference_kept=False))
    with pytest.raises(UserError, match=r"own reference among the answers: 0 \(1000\)"):
        server_files.check_circo(path, removed)


def test_what_is_wrong_is_never_written(circo, cirr, tmp_path):
    short = answered(cirr)
    short = replace(short, top=tuple(names[:9] for names in short.top))
    with pytest.raises(UserError, match="4 of 4 queries do not have 50 answers"):
        server_files.write_cirr(tmp_path / "out", cirr, short)
    assert not list((tmp_path / "out").glob("*.json"))
    with pytest.raises(UserError, match="a file for CIRCO holds answers to its queries, not CIRR"):
        server_files.write_circo(tmp_path, cirr, answered(cirr))


def test_files_for_some_of_the_queries_are_refused(cirr, circo, tmp_path):
    """Neither written nor found right: the server would refuse them, or count them as wrong."""
    (path,) = server_files.write_circo(tmp_path, circo, answered(circo))
    recall, _ = server_files.write_cirr(tmp_path, cirr, answered(cirr))
    fewer = circo.without({"1000", "1050"})
    sentence = r"CIRCO test: the server wants every query .*: 1 of 3 queries and 2 of 60 gallery"
    with pytest.raises(UserError, match=sentence):
        server_files.write_circo(tmp_path / "new", fewer, answered(fewer))
    with pytest.raises(UserError, match=sentence):
        server_files.check_circo(path, fewer)
    fewer = cirr.without({"test1-3-img1"})
    sentence = r"CIRR test1: the server wants every query .*: 2 of 4 queries and 1 of 72 gallery"
    with pytest.raises(UserError, match=sentence):
        server_files.write_cirr(tmp_path / "new", fewer, answered(fewer))
    with pytest.raises(UserError, match=sentence):
        server_files.check_cirr(recall, fewer)
    assert not (tmp_path / "new").exists()


def test_datasets_without_a_test_server(tmp_path):
    dataset = FashionIQ(mini.fashioniq(tmp_path))
    with pytest.raises(UserError, match="FashionIQ has no test server"):
        server_files.part_for_server(dataset)
    with pytest.raises(UserError, match=r"scores FashionIQ test dress: CIRR and CIRCO have one"):
        server_files.server_of(dataset.query_sets("test dress")[0])
    assert server_files.part_for_server(CIRR(tmp_path)) == "test1"
