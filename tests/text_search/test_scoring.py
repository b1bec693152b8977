"""Text search measured: rows by hand, their kinds, and what is refused."""

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.retrieval.ranking.metrics import bootstrap_interval, graded_figures
from cir.text_search.data.queries import TextQuery, relevance_matrix
from cir.text_search.scoring.results import TextProtocol
from cir.text_search.scoring.scoring import (
    measure,
    require_answers,
    result,
    text_vectors,
    unit_text_rows,
)

PROTOCOL = TextProtocol(text="as written", least_grade=2)


def of_matrix(matrix):
    matrix = np.asarray(matrix)
    return lambda rows: matrix[rows]


QUERIES = [
    TextQuery("q0", "red mug", "one object", {"a": 3}),
    TextQuery("q1", "two mugs", "count", {"b": 3, "a": 1}),
    TextQuery("q2", "blue car", "one object", {"c": 2, "d": 2}),
]
IDS = ["a", "b", "c", "d", "e"]
SCORES = [[5, 4, 3, 2, 1], [5, 4, 3, 2, 1], [5, 4, 3, 2, 1]]


def test_a_row_by_hand():
    """q0 finds its answer first, q1 its good one second, q2 its two at 3 and 4."""
    measured = measure("mine", of_matrix(np.array(SCORES, float)), QUERIES, IDS, PROTOCOL)
    found = result(measured, QUERIES, seed=1, resamples=500)
    assert found.what == "mine"
    assert found.mrr == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.p_at_1 == pytest.approx(1 / 3)
    second = (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3))
    third = (2 / 2 + 2 / np.log2(5)) / (2 + 2 / np.log2(3))
    assert found.ndcg_at_10 == pytest.approx((1 + second + third) / 3)
    low, high = found.ndcg_interval
    assert third == pytest.approx(low)
    assert high == pytest.approx(1)
    assert (found.queries, found.gallery_size) == (3, 5)
    assert found.protocol.least_grade == 2
    assert [(one.kind, one.queries) for one in found.by_kind] == [
        ("one object", 2),
        ("count", 1),
    ]
    assert found.by_kind[0].ndcg_at_10 == pytest.approx((1 + third) / 2)
    assert found.by_kind[1].mrr == 0.5
    assert found.by_kind[1].mrr_interval == (0.5, 0.5)


def test_the_kinds_add_up_to_the_whole():
    rng = np.random.default_rng(5)
    relevance = rng.integers(0, 4, (40, 30)) * (rng.random((40, 30)) < 0.4)
    relevance[:, 7] = 3
    ids = [f"i{n}" for n in range(30)]
    queries = [
        TextQuery(f"q{q}", "", "abc"[q % 3], {ids[i]: int(g) for i, g in enumerate(of) if g})
        for q, of in enumerate(relevance)
    ]
    np.testing.assert_array_equal(relevance_matrix(queries, ids), relevance)
    measured = measure("x", of_matrix(rng.standard_normal((40, 30))), queries, ids, PROTOCOL)
    found = result(measured, queries, 1, 100).model_dump(by_alias=True)
    ranking = measured.ranking
    per_query = graded_figures(ranking.hit_ranks, ranking.hit_grades, 2)
    for name in per_query:
        parts = [one[name] * one["queries"] for one in found["by_kind"]]
        assert sum(parts) / 40 == pytest.approx(found[name])
    assert found["map_interval95"] == bootstrap_interval(per_query["map"], 1, 100)


def test_queries_without_a_relevant_answer_are_named():
    with pytest.raises(
        UserError, match=r"2 of 3 queries have no answer of a grade of 4 or more.*: q0, q1"
    ):
        require_answers([*QUERIES[:2], TextQuery("q9", "x", "k", {"a": 4})], 4)
    with pytest.raises(UserError, match="q2"):
        measure(
            "x", of_matrix(SCORES), QUERIES, IDS, TextProtocol(text="as written", least_grade=3)
        )
    with pytest.raises(UserError, match="no queries"):
        require_answers([], 1)


def test_texts_are_put_into_the_prompt(encoder):
    """Braces in a query are letters like others."""
    names = ["red mug", "{0} {} mug", "red mug"]
    found = text_vectors(encoder, names, "a photo of a {}", batch_size=2)
    asked = ["a photo of a red mug", "a photo of a {0} {} mug"]
    expected = unit_text_rows(encoder.encode_texts(asked).detach(), asked)
    np.testing.assert_allclose(found, expected[[0, 1, 0]], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    bare = text_vectors(encoder, names[:1])
    assert np.abs(bare[0] - found[0]).max() > 1e-3


def test_a_text_whose_vector_has_no_direction_is_named(encoder):
    features = encoder.encode_texts(["a", "b", "c"]).detach()
    features[1], features[2] = 0, float("nan")
    with pytest.raises(UserError, match=r'2 texts vectors without a direction.*first for "b"'):
        unit_text_rows(features, ["a", "b", "c"])
