"""Graded rankings and their figures: by hand, against ir-measures and against the obvious loop."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, nDCG

from cir.retrieval.ranking.metrics import GRADED_KS, graded_figures, ndcg_at_k
from cir.retrieval.ranking.ranking import TIE, rank_by_grade


def answers(**grade_at_rank):
    """Ranks and grades from r1=3, r4=1: a grade at each rank."""
    ranks = [int(name[1:]) for name in grade_at_rank]
    return np.array(ranks), np.array(list(grade_at_rank.values()))


def figures(queries, least_grade):
    """The figures of pairs of ranks and grades."""
    return graded_figures(*zip(*queries, strict=True), least_grade)


def of_matrix(matrix):
    matrix = np.asarray(matrix)
    return lambda rows: matrix[rows]


def relevance_with_answers(rng, queries, images, top_grade=3):
    """Random grades; every query has an answer of the highest one."""
    relevance = rng.integers(0, top_grade + 1, (queries, images))
    relevance *= rng.random((queries, images)) < 0.4
    relevance[np.arange(queries), rng.integers(0, images, queries)] = top_grade
    return relevance


def test_figures_by_hand():
    one = answers(r1=1, r3=3, r4=1, r8=2)
    found = figures([one], 1)
    assert (found["p@1"], found["p@5"], found["r@5"], found["mrr"]) == (1, 3 / 5, 3 / 4, 1)
    found = figures([one], 2)
    assert (found["p@5"], found["r@5"], found["mrr"]) == (1 / 5, 1 / 2, 1 / 3)
    assert found["map"][0] == pytest.approx((1 / 3 + 2 / 8) / 2)
    # log2 of 2, 4, 5 is 1, 2, 2.3219; the best order is 3, 2, 1, 1, by log2 of 2, 3, 4, 5.
    gain = 1 / 1 + 3 / 2 + 1 / 2.321928
    best = 3 / 1 + 2 / 1.584963 + 1 / 2 + 1 / 2.321928
    assert ndcg_at_k(*one, 5) == pytest.approx(gain / best)
    assert ndcg_at_k(*one, 1) == pytest.approx(1 / 3)


def test_the_gain_is_the_grade_and_not_a_power_of_two():
    """With 2^g − 1 it would be 7 against 1."""
    assert ndcg_at_k(*answers(r1=1, r2=3), 1) == pytest.approx(1 / 3)


def test_few_answers_cannot_fill_the_first_k():
    one = answers(r1=2)
    found = figures([one], 1)
    assert (found["p@10"], found["r@1"], found["ndcg@10"]) == (0.1, 1, 1)


def test_best_and_worst():
    best, worst = answers(r1=3, r2=3, r3=1), answers(r98=1, r99=3, r100=3)
    assert {name: values[0] for name, values in figures([best], 1).items() if "p@" not in name} == {
        **{"r@1": pytest.approx(1 / 3), "r@5": 1, "r@10": 1},
        **{"ndcg@1": 1, "ndcg@5": 1, "ndcg@10": 1, "mrr": 1, "map": 1},
    }
    found = figures([worst], 3)
    assert found["mrr"][0] == 1 / 99
    assert found["ndcg@10"][0] == found["r@10"][0] == 0
    assert found["map"][0] == pytest.approx((1 / 99 + 2 / 100) / 2)


def literal_order(scores, grades):
    """Sort pairs one by one: higher first, but of a tie the lower grade, then the earlier one."""
    levels = sorted(set(grades))
    lowered = [float(s) - levels.index(g) * TIE for s, g in zip(scores, grades, strict=True)]
    return sorted(range(len(scores)), key=lambda image: (-lowered[image], image))


@pytest.mark.parametrize("block", [64, 7, 1])
@pytest.mark.parametrize("ties", [False, True])
def test_same_as_sorting_one_by_one(block, ties):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((30, 50)).astype(np.float32)
    if ties:
        scores = np.round(scores)
    relevance = relevance_with_answers(rng, 30, 50)
    ranking = rank_by_grade(of_matrix(scores), relevance, k=7, block=block)
    for query in range(30):
        order = literal_order(scores[query], relevance[query].tolist())
        assert ranking.top_indices[query].tolist() == order[:7]
        np.testing.assert_array_equal(ranking.top_scores[query], scores[query, order[:7]])
        grades = relevance[query, order]
        places = [place for place, g in enumerate(grades, 1) if g]
        assert ranking.hit_ranks[query].tolist() == places
        assert ranking.hit_grades[query].tolist() == [g for g in grades if g]
    assert ranking.gallery_size == 50


def test_of_what_ties_the_lower_grade_goes_first():
    """Grades 3, 0, 1 and 0; all are within TIE of each other but the last."""
    scores = [[0.5 + 4e-7, 0.5, 0.5 + 4e-7, 0.5 - 4e-6]]
    ranking = rank_by_grade(of_matrix(scores), np.array([[3, 0, 1, 0]]), k=9)
    assert ranking.top_indices.tolist() == [[1, 2, 0, 3]]
    assert ranking.hit_grades[0].tolist() == [1, 3]


def test_a_model_that_knows_nothing_earns_nothing():
    """All scores are equal: the answers stand at the end, the best of them last."""
    relevance = np.array([[3, 1, 0, 0, 0], [0, 0, 0, 0, 2]])
    ranking = rank_by_grade(of_matrix(np.zeros((2, 5), np.float32)), relevance)
    assert [own.tolist() for own in ranking.hit_ranks] == [[4, 5], [5]]
    assert ranking.hit_grades[0].tolist() == [1, 3]


def test_grades_far_apart_do_not_widen_a_tie():
    """A step is one TIE however large the grade."""
    relevance = np.array([[0, 1000]])
    ranking = rank_by_grade(of_matrix([[0.5, 0.5 + 3e-6]]), relevance)
    assert ranking.hit_ranks[0].tolist() == [1]


def oracle(scores, relevance, measure):
    """ir-measures, query by query. It breaks ties by names, so there must be none."""
    qrels = [
        ir_measures.Qrel(f"q{q}", f"i{i}", int(relevance[q, i]))
        for q, i in np.ndindex(relevance.shape)
    ]
    run = [
        ir_measures.ScoredDoc(f"q{q}", f"i{i}", float(scores[q, i]))
        for q, i in np.ndindex(relevance.shape)
    ]
    found = {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([found[f"q{q}"] for q in range(len(relevance))])


@pytest.mark.parametrize("least", [1, 2, 3])
def test_the_same_as_ir_measures(least):
    rng = np.random.default_rng(least)
    scores = rng.permuted(np.tile(np.linspace(-1, 1, 60), (25, 1)), axis=1)
    relevance = relevance_with_answers(rng, 25, 60)
    ranked = rank_by_grade(of_matrix(scores), relevance)
    found = graded_figures(ranked.hit_ranks, ranked.hit_grades, least)
    measures = {"mrr": RR(rel=least), "map": AP(rel=least)}
    for k in GRADED_KS:
        measures |= {f"p@{k}": P(rel=least) @ k, f"r@{k}": R(rel=least) @ k}
        measures[f"ndcg@{k}"] = nDCG @ k
    assert found.keys() == measures.keys()
    for name, measure_of in measures.items():
        expected = oracle(scores, relevance, measure_of)
        np.testing.assert_allclose(found[name], expected, atol=1e-12, err_msg=name)


def loop(grades, k, least):
    """P, R, nDCG at k, reciprocal rank and average precision of grades in ranked order."""
    hits, gain, precisions, first = 0, 0.0, [], None
    at_k = None
    for rank, grade in enumerate(grades, 1):
        if rank <= k:
            gain += grade / np.log2(rank + 1)
        if grade >= least:
            hits += 1
            precisions.append(hits / rank)
            first = first or rank
        if rank == k:
            at_k = hits
    at_k = hits if at_k is None else at_k
    ideal = sum(g / np.log2(r + 1) for r, g in enumerate(sorted(grades, reverse=True)[:k], 1))
    return at_k / k, at_k / hits, gain / ideal, 1 / first, sum(precisions) / hits


@settings(deadline=None)
@given(
    grades=st.lists(st.integers(0, 4), min_size=1, max_size=25).filter(any),
    k=st.sampled_from(GRADED_KS),
    data=st.data(),
)
def test_the_same_as_a_loop_over_the_ranking(grades, k, data):
    least = data.draw(st.integers(1, max(grades)))
    scores = -np.arange(len(grades), dtype=np.float32)[None]
    ranked = rank_by_grade(of_matrix(scores), np.array([grades]))
    found = graded_figures(ranked.hit_ranks, ranked.hit_grades, least)
    found = {name: values[0] for name, values in found.items()}
    names = (f"p@{k}", f"r@{k}", f"ndcg@{k}", "mrr", "map")
    expected = loop(grades, k, least)
    assert [found[name] for name in names] == pytest.approx(list(expected))
    assert all(0 <= value <= 1 + 1e-12 for value in found.values())


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(any), st.data())
def test_a_better_image_moved_up_never_hurts(grades, data):
    place = data.draw(st.integers(0, len(grades) - 2))
    swapped = list(grades)
    swapped[place], swapped[place + 1] = sorted(grades[place : place + 2], reverse=True)
    before, after = (
        figures([(np.flatnonzero(g) + 1, np.array(g)[np.flatnonzero(g)])], 1)
        for g in (grades, swapped)
    )
    for name in before:
        assert after[name][0] >= before[name][0] - 1e-12, name


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: figures([answers(r1=1)], 2), "grade of 2 or more"),
        (lambda: rank_by_grade(of_matrix([[0, 1]]), np.array([[0, 0]])), "no hits"),
        (lambda: rank_by_grade(of_matrix([[np.nan, 1]]), np.array([[1, 0]])), "not finite"),
        (lambda: rank_by_grade(of_matrix([[1.0]]), np.array([[1, 0]])), "shape"),
    ],
)
def test_what_cannot_be_is_an_assertion(call, complaint):
    with pytest.raises(AssertionError, match=complaint):
        call()
