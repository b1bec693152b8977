"""Rankings by class and their figures: by hand, and against slow and foreign versions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_r_precision,
)

import cir  # noqa: F401  (before pytorch_metric_learning, which imports torchvision)
from cir.core.errors import UserError
from cir.retrieval.ranking.metrics import by_class, class_figures, recall_curve
from cir.retrieval.ranking.ranking import TIE, HitRanking, cosine, leave_one_out, rank_by_class


def unit(rng, rows, dim=12):
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ranks(*values):
    return np.array(values)


def given_scores(matrix):
    matrix = np.array(matrix, np.float32)
    return lambda rows: matrix[rows]


def literal(scores, query_classes, gallery_classes, excluded=None):
    """Sort every row; a hit comes after whatever is as high as it but for TIE."""
    orders, hit_ranks = [], []
    for query, row in enumerate(np.asarray(scores, np.float64)):
        images = [g for g in range(len(row)) if excluded is None or excluded[query] != g]
        hit = [name == query_classes[query] for name in gallery_classes]
        order = sorted(images, key=lambda g: (-(row[g] - TIE if hit[g] else row[g]), g))
        orders.append(order)
        hit_ranks.append([place for place, g in enumerate(order, 1) if hit[g]])
    return orders, hit_ranks


@pytest.mark.parametrize("block", [64, 7, 1])
@pytest.mark.parametrize("ties", [False, True])
def test_same_as_sorting_everything(block, ties):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((30, 80)).astype(np.float32)
    if ties:
        scores = np.round(scores)
    queries, gallery = (rng.choice(list("abcde"), count).tolist() for count in (30, 80))
    ranking = rank_by_class(given_scores(scores), queries, gallery, k=7, block=block)
    orders, hit_ranks = literal(scores, queries, gallery)
    assert ranking.top_indices.tolist() == [order[:7] for order in orders]
    assert [row.tolist() for row in ranking.hit_ranks] == hit_ranks
    rows = np.arange(30)[:, None]
    np.testing.assert_array_equal(ranking.top_scores, scores[rows, ranking.top_indices])
    assert ranking.gallery_size == 80


@given(st.data())
def test_top_images_and_hit_ranks_tell_the_same(data):
    levels = st.sampled_from([0.5, 0.5 + 4e-7, 0.5 - 4e-7, 0.25, -0.1])
    images = data.draw(st.integers(1, 9))
    row = data.draw(st.lists(levels, min_size=images, max_size=images))
    classes = data.draw(st.lists(st.sampled_from("ab"), min_size=images, max_size=images))
    ranking = rank_by_class(given_scores([row]), [classes[0]], classes, k=images)
    names = [classes[index] for index in ranking.top_indices[0]]
    assert sorted(ranking.top_indices[0].tolist()) == list(range(images))
    found = [place for place, name in enumerate(names, 1) if name == classes[0]]
    assert ranking.hit_ranks[0].tolist() == found


def test_what_ties_with_a_hit_goes_before_it():
    scores = given_scores([[0.5, 0.5, 0.5 + 5e-7, 0.9, 0.5 - 5e-7, 0.5 - 2e-6]])
    ranking = rank_by_class(scores, ["a"], list("abaabb"), k=10)
    assert ranking.hit_ranks[0].tolist() == [1, 4, 5]
    assert ranking.top_indices.tolist() == [[3, 1, 4, 2, 0, 5]]


def test_cosine_and_its_checks():
    rng = np.random.default_rng(2)
    queries, gallery = unit(rng, 5), unit(rng, 9)
    np.testing.assert_allclose(cosine(queries, gallery)(slice(1, 3)), queries[1:3] @ gallery.T)
    with pytest.raises(AssertionError, match="another length than one"):
        cosine(queries, 2 * gallery)
    with pytest.raises(AssertionError):
        cosine(queries, gallery[:, :4])


def test_leave_one_out_is_a_ranking_of_the_others():
    rng = np.random.default_rng(3)
    vectors = np.repeat(unit(rng, 20), 2, axis=0)  # copies tie, within a class and between two
    classes = rng.permutation(np.repeat(list("abcd"), 10)).tolist()
    got = leave_one_out(vectors, classes, block=7)
    _, expected = literal(vectors @ vectors.T, classes, classes, excluded=range(40))
    assert [row.tolist() for row in got] == expected


def test_classes_without_a_hit_are_refused():
    scores = given_scores(np.zeros((4, 3)))
    with pytest.raises(UserError, match=r"^3 of 4 queries are of a class that none of .*: d, e$"):
        rank_by_class(scores, list("aeed"), list("abc"))
    vectors = unit(np.random.default_rng(0), 5)
    with pytest.raises(UserError, match=r"^1 of 3 classes have one image and .* it: lamp$"):
        leave_one_out(vectors, ["mug", "mug", "lamp", "hat", "hat"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": given_scores(np.zeros((2, 4)))},
        {"scores": given_scores(np.full((2, 3), np.nan))},
        {"query_classes": []},
        {"gallery_classes": []},
        {"k": 0},
    ],
)
def test_impossible_input_is_refused(wrong):
    fine = {
        "scores": given_scores(np.zeros((2, 3))),
        "query_classes": ["a", "b"],
        "gallery_classes": ["a", "b", "b"],
        "k": 2,
    }
    assert rank_by_class(**fine).hit_ranks[1].tolist() == [2, 3]
    with pytest.raises(AssertionError):
        rank_by_class(**(fine | wrong))


def test_a_ranking_is_checked():
    fine = {
        "top_indices": np.array([[1, 0]]),
        "top_scores": np.array([[0.9, 0.1]]),
        "hit_ranks": (ranks(1, 2),),
        "hit_grades": (ranks(1, 3),),
        "gallery_size": 2,
    }
    HitRanking(**fine)
    for wrong in (
        {"top_indices": np.array([[2, 0]])},
        {"top_scores": np.array([0.9])},
        {"hit_ranks": ()},
        {"hit_ranks": (ranks(),)},
        {"hit_ranks": (ranks(2, 1),)},
        {"hit_ranks": (ranks(1, 3),)},
        {"hit_grades": (ranks(1, 0),)},
        {"hit_grades": (ranks(1),)},
    ):
        with pytest.raises(AssertionError):
            HitRanking(**(fine | wrong))


# ---- figures

HITS = [ranks(1, 3, 6), ranks(2), ranks(6, 7), ranks(1, 2)]


def test_figures_by_hand():
    got = class_figures(HITS)
    assert list(got) == ["recall@1", "recall@5", "recall@10", "map", "map@r"]
    assert (got["recall@1"], got["recall@5"], got["recall@10"]) == (2 / 4, 3 / 4, 1.0)
    precisions = [(1 + 2 / 3 + 3 / 6) / 3, 1 / 2, (1 / 6 + 2 / 7) / 2, 1]
    assert got["map"] == pytest.approx(sum(precisions) / 4)
    # The first three of the first hold two hits, at 1 and 3; the first one of the second none.
    assert got["map@r"] == pytest.approx(((1 + 2 / 3) / 3 + 0 + 0 + 1) / 4)
    assert recall_curve(HITS, [1, 2, 6, 100]) == {1: 2 / 4, 2: 3 / 4, 6: 1.0, 100: 1.0}


def test_figures_by_class():
    rows = by_class(HITS, ["mug", "hat", "cup", "mug"], ["mug"] * 3 + ["hat"] + ["cup", "pen"] * 2)
    assert [row["class"] for row in rows] == ["cup", "hat", "mug"]
    assert [row["queries"] for row in rows] == [1, 1, 2]
    assert [row["gallery_images"] for row in rows] == [2, 1, 3]
    assert [row["recall@1"] for row in rows] == [0, 0, 1]
    whole = class_figures(HITS)
    for name in ("recall@1", "recall@5", "map", "map@r"):
        total = sum(row["queries"] * row[name] for row in rows)
        assert total / 4 == pytest.approx(whole[name])


@pytest.fixture
def retrieval():
    """Queries and gallery of unequal classes, with labels as numbers."""
    rng = np.random.default_rng(5)
    centres = unit(rng, 6)
    queries = rng.integers(0, 6, 25)
    gallery = np.concatenate([np.arange(6), rng.integers(0, 6, 60)])

    def around(labels):
        vectors = centres[labels] + 0.4 * rng.standard_normal((len(labels), 12)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return around(queries), queries, around(gallery), gallery


def hit_ranks_of(retrieval):
    vectors, labels, images, image_labels = retrieval
    names, image_names = ([f"class {n}" for n in some] for some in (labels, image_labels))
    return rank_by_class(cosine(vectors, images), names, image_names).hit_ranks


def test_figures_are_those_of_pytorch_metric_learning(retrieval):
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    def sorted_whole(query, k, reference, ref_includes_query):
        scores = query @ reference.T
        if ref_includes_query:
            scores.fill_diagonal_(-2)
        found = scores.sort(dim=1, descending=True)
        return found.values[:, :k], found.indices[:, :k]

    names = ("precision_at_1", "mean_average_precision", "mean_average_precision_at_r")
    vectors, labels, images, image_labels = map(torch.from_numpy, retrieval)
    calculator = AccuracyCalculator(include=names, k=len(images), knn_func=sorted_whole)
    theirs = calculator.get_accuracy(vectors, labels, images, image_labels)
    ours = class_figures(hit_ranks_of(retrieval))
    assert 0.2 < ours["map@r"] < ours["map"] < 0.95
    assert [theirs[name] for name in names] == pytest.approx(
        [ours["recall@1"], ours["map"], ours["map@r"]], abs=1e-6
    )
    calculator = AccuracyCalculator(include=names, k=len(images) - 1, knn_func=sorted_whole)
    theirs = calculator.get_accuracy(images, image_labels)
    ours = class_figures(leave_one_out(retrieval[2], [f"class {n}" for n in retrieval[3]]))
    assert [theirs[name] for name in names] == pytest.approx(
        [ours["recall@1"], ours["map"], ours["map@r"]], abs=1e-6
    )


def test_figures_are_those_of_torchmetrics(retrieval):
    vectors, labels, images, image_labels = map(torch.from_numpy, retrieval)
    hit_ranks = hit_ranks_of(retrieval)
    for query, own in enumerate(hit_ranks):
        # Raised, as torchmetrics counts no image with a score of 0 or less as a hit.
        scores, relevant = 2 + images @ vectors[query], image_labels == labels[query]
        got = class_figures([own])
        expected = retrieval_average_precision(scores, relevant).item()
        assert got["map"] == pytest.approx(expected, abs=1e-6)
        for k in (1, 5, 10):
            assert got[f"recall@{k}"] == retrieval_hit_rate(scores, relevant, top_k=k).item()
        share = (own <= len(own)).mean()  # mAP@R is no more than R-precision
        assert share == pytest.approx(retrieval_r_precision(scores, relevant).item())
        assert got["map@r"] <= share + 1e-6
