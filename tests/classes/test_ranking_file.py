"""Files of answers by class: what is written passes, every kind of mistake is told with counts."""

import json

import pytest

from cir.classes.scoring import ranking_file as class_submission
from cir.core.errors import UserError

QUERIES = ["q0", "q1", "q2"]
GALLERY = ["g0", "g1", "g2", "g3"]
FINE = {"q0": ["g0", "g1"], "q1": ["g3", "g2"], "q2": ["g1", "g0"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "answers.json"


def check(path):
    return class_submission.check(path, QUERIES, GALLERY, 2)


def save(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_what_is_written_is_right(path):
    class_submission.write(path, QUERIES, [("g0", "g1"), ["g3", "g2"], ("g1", "g0")])
    assert json.loads(path.read_text()) == FINE
    assert list(json.loads(path.read_text())) == QUERIES
    assert check(path) == f"{path} answers 3 queries with 2 gallery ids each"
    assert [file.name for file in path.parent.iterdir()] == ["answers.json"]


def test_large_counts_are_readable(path):
    queries, gallery = [f"q{n}" for n in range(1500)], [f"é{n}" for n in range(1510)]
    class_submission.write(path, queries, [gallery[n : n + 10] for n in range(1500)])
    told = class_submission.check(path, queries, gallery, 10)
    assert told.endswith("answers 1,500 queries with 10 gallery ids each")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"q1": None}, "1 of 3 queries are missing: q1$"),
        ({"q9": ["g0", "g1"], "": ["g0", "g1"]}, "2 keys are no query: q9, $"),
        ({"q1": ["g0", "h"]}, r"1 of 3 lists have ids outside the 4 gallery images: q1 \(h\)$"),
        ({"q0": ["g0", "g0"]}, r"1 of 3 lists have an id twice: q0 \(g0\)$"),
        (
            {"q0": ["g0"], "q2": []},
            r"2 of 3 lists are shorter than 2: q0 \(1\), q2 \(0\)$",
        ),
        ({"q2": ["g0", "g1", "g2"]}, r"1 of 3 lists are longer than 2: q2 \(3\)$"),
        ({"q0": "g0"}, "1 of 3 keys have no list of strings: q0$"),
        ({"q0": ["g0", 1]}, "1 of 3 keys have no list of strings: q0$"),
        ({"q0": {}}, "1 of 3 keys have no list of strings: q0$"),
        ({"q0": {"g0": 1, "g1": 2}}, "1 of 3 keys have no list of strings: q0$"),
    ],
)
def test_mistakes(path, changed, sentence):
    save(path, {k: v for k, v in (FINE | changed).items() if v is not None})
    with pytest.raises(UserError, match=rf"answers\.json: {sentence}"):
        check(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([["g0"]], "a list"),
        ("null", "null"),
        ('"q0"', "a string"),
        ("3", "a number"),
        ("3.5", "a number"),
        ("true", "true or false"),
    ],
)
def test_no_object(path, content, kind):
    save(path, content)
    with pytest.raises(UserError, match=rf"list of gallery ids for every query, got {kind}$"):
        check(path)


def test_a_key_that_comes_twice(path):
    save(path, json.dumps(FINE)[:-1] + ', "q1": ["g0", "g1"], "q1": ["g1", "g0"]}')
    with pytest.raises(UserError, match=r"json: 1 queries are answered more than once: q1 \(3 tim"):
        check(path)


def test_all_mistakes_are_told_at_once(path):
    wrong = {"q0": ["g0", "g0", "x", "y"], "q7": ["g0", "g1"], "q2": ["g1"]}
    save(path, json.dumps(wrong)[:-1] + ', "q7": 4}')
    with pytest.raises(UserError) as caught:
        check(path)
    assert str(caught.value) == (
        f"{path}: 1 of 4 keys have no list of strings: q7; 1 of 3 queries are missing: q1; "
        "1 keys are no query: q7; 1 queries are answered more than once: q7 (2 times); "
        "1 of 3 lists are shorter than 2: q2 (1); 1 of 3 lists are longer than 2: q0 (4); "
        "1 of 3 lists have an id twice: q0 (g0); "
        "1 of 3 lists have ids outside the 4 gallery images: q0 (x, y)"
    )


def test_files_that_are_no_json(path):
    with pytest.raises(UserError, match="does not exist"):
        check(path)
    save(path, json.dumps(FINE)[:-5])
    with pytest.raises(UserError, match="is not a JSON file"):
        check(path)


@pytest.mark.parametrize(
    ("queries", "lists", "sentence"),
    [
        ([], [], "there are no queries to answer"),
        (["q0"], [[]], "the list of q0 is empty"),
        (["q0", "q0"], [["g0"], ["g1"]], r"1 queries are answered more than once: q0 \(2 times\)"),
        (["q0", "q1"], [["g0"], ["g0", "g1"]], r"1 of 2 lists are longer than 1: q1 \(2\)"),
        (["q0", "q1"], [["g0", "g1"], []], r"1 of 2 lists are shorter than 2: q1 \(0\)"),
        (["q0"], [["g0", "g0"]], r"1 of 1 lists have an id twice: q0 \(g0\)"),
        (["q0"], [[3]], "1 of 1 keys have no list of strings: q0"),
        ([7], [["g0"]], "1 of 1 query ids are no strings: 7"),
    ],
)
def test_what_is_wrong_is_never_written(path, queries, lists, sentence):
    with pytest.raises(UserError, match=rf"answers\.json: .*{sentence}"):
        class_submission.write(path, queries, lists)
    assert not path.exists()
